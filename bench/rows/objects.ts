// SPDX-License-Identifier: Apache-2.0
// Ray's microbenchmark: the rows on objects. Where Python drops a reference at the end of a statement, these dispose it.

import { get, put, remote, wait } from 'eagleray'
import type { Row } from '../row.js'

const group = 'ray microbenchmark'

const smallValue = remote(() => Uint8Array.of(111, 107))

const doPutSmall = remote(() => {
  for (let i = 0; i < 100; i++) put(0)[Symbol.dispose]()
})

const doPut = remote(() => {
  for (let i = 0; i < 10; i++) put(new BigInt64Array(10 * 1024 * 1024))[Symbol.dispose]()
})

const createObjectContainingRefs = remote(() => Array.from({ length: 10_000 }, () => put(1)))

export const objectRows: Row[] = [
  {
    name: 'single client get calls (Plasma Store)',
    group,
    unit: '/s',
    multiplier: 1,
    inner: 100,
    prepare() {
      const value = put(0)
      return { run: () => get(value) }
    },
  },
  {
    name: 'single client put calls (Plasma Store)',
    group,
    unit: '/s',
    multiplier: 1,
    inner: 100,
    prepare: () => ({ run: () => put(0)[Symbol.dispose]() }),
  },
  {
    name: 'multi client put calls (Plasma Store)',
    group,
    unit: '/s',
    multiplier: 1000,
    prepare: () => ({ run: () => get(Array.from({ length: 10 }, () => doPutSmall.remote())) }),
  },
  {
    name: 'single client put gigabytes',
    group,
    unit: '/s',
    multiplier: 8 * 0.1,
    prepare() {
      const array = new BigInt64Array(100 * 1024 * 1024)
      return { run: () => put(array)[Symbol.dispose]() }
    },
  },
  {
    name: 'single client tasks and get batch',
    group,
    unit: '/s',
    multiplier: 1,
    prepare: () => ({ run: () => get(Array.from({ length: 1000 }, () => smallValue.remote())) }),
  },
  {
    name: 'multi client put gigabytes',
    group,
    unit: '/s',
    multiplier: 10 * 8 * 0.1,
    prepare: () => ({ run: () => get(Array.from({ length: 10 }, () => doPut.remote())) }),
  },
  {
    name: 'single client get object containing 10k refs',
    group,
    unit: '/s',
    multiplier: 1,
    prepare() {
      const containing = createObjectContainingRefs.remote()
      return { run: () => get(containing) }
    },
  },
  {
    name: 'single client wait 1k refs',
    group,
    unit: '/s',
    multiplier: 1,
    prepare: () => ({
      async run() {
        let pending = Array.from({ length: 1000 }, () => smallValue.remote())
        for (let i = 0; i < 1000; i++) [, pending] = await wait(pending, { fetchLocal: i === 0 })
      },
    }),
  },
]
