// SPDX-License-Identifier: Apache-2.0
// Checker: no owner believes that a node has a copy of which it knows that it is dead.

import { objectId } from '#lib/ids.js'
import type { Observed } from './observed.js'

export function checkLocations(world: Observed): void {
  for (const { id, owner, deadNodes } of world.living()) {
    if (deadNodes.size === 0) continue
    for (const entry of owner.references.owned.values()) {
      const dead = owner.locations.of(entry).find(node => deadNodes.has(node))
      if (dead !== undefined)
        throw new Error(`locations: ${objectId(id, entry.seq)} is said to be on ${dead}, which its owner knows is dead`)
    }
  }
}
