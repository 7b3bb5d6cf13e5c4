// SPDX-License-Identifier: Apache-2.0
// Ray's microbenchmark: the rows on tasks.

import { get, remote } from 'eagleray'
import type { Row } from '../row.js'

const group = 'ray microbenchmark'

const smallValue = remote(() => Uint8Array.of(111, 107))

const Submitter = remote(
  class {
    smallValueBatch(n: number): Promise<void> {
      return get(Array.from({ length: n }, () => smallValue.remote())).then(() => undefined)
    }
  },
  { numCpus: 0 },
)

const tasksByClient = 10_000
const clientCount = 4

export const taskRows: Row[] = [
  {
    name: 'single client tasks sync',
    group,
    unit: '/s',
    multiplier: 1,
    inner: 10,
    prepare: () => ({ run: () => get(smallValue.remote()) }),
  },
  {
    name: 'single client tasks async',
    group,
    unit: '/s',
    multiplier: 1000,
    prepare: () => ({ run: () => get(Array.from({ length: 1000 }, () => smallValue.remote())) }),
  },
  {
    name: 'multi client tasks async',
    group,
    unit: '/s',
    multiplier: tasksByClient * clientCount,
    prepare() {
      const submitters = Array.from({ length: clientCount }, () => Submitter.remote())
      return {
        run: () => get(submitters.map(submitter => submitter.smallValueBatch.remote(tasksByClient))),
        stop: () => submitters.forEach(submitter => void submitter[Symbol.dispose]()),
      }
    },
  },
]
