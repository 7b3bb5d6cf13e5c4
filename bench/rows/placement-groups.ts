// SPDX-License-Identifier: Apache-2.0
// Ray's microbenchmark: the row on placement groups.

import { placementGroup, removePlacementGroup } from 'eagleray'
import type { Row } from '../row.js'

const GROUPS = 100

export const placementGroupRows: Row[] = [
  {
    name: 'placement group create/removal',
    group: 'ray microbenchmark',
    unit: '/s',
    multiplier: GROUPS,
    prepare: () => ({
      async run() {
        const groups = Array.from({ length: GROUPS }, () => placementGroup([{ CPU: 0.001 }]))
        await Promise.all(groups.map(group => group.wait()))
        for (const group of groups) removePlacementGroup(group)
      },
    }),
  },
]
