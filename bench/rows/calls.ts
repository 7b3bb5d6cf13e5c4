// SPDX-License-Identifier: Apache-2.0
// Calls into other processes as a thread pool's user would make them; bench/peers/piscina.ts does the same with threads.

import { get, remote } from 'eagleray'
import type { Row } from '../row.js'

const group = 'calls'

const increment = remote((n: number) => n + 1)
const echo = remote((array: Float64Array) => array)

export const callRows: Row[] = [
  {
    name: 'one call at a time',
    group,
    unit: '/s',
    multiplier: 1,
    inner: 10,
    prepare: () => ({ run: () => get(increment.remote(1)) }),
  },
  {
    name: '1,000 calls in flight',
    group,
    unit: '/s',
    multiplier: 1000,
    prepare: () => ({ run: () => get(Array.from({ length: 1000 }, (_, i) => increment.remote(i))) }),
  },
  {
    name: '100 MB Float64Array there and back',
    group,
    unit: 'ms',
    multiplier: 1,
    prepare() {
      const array = new Float64Array(12_500_000).fill(1.5)
      return {
        async run() {
          const ref = echo.remote(array)
          const back = await get(ref)
          if (back.length !== array.length || back[back.length - 1] !== 1.5) throw new Error('the array came back changed')
          ref[Symbol.dispose]()
        },
      }
    },
  },
]
