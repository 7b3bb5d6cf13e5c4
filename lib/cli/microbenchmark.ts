// SPDX-License-Identifier: Apache-2.0
// `eagleray microbenchmark`: a few figures of this machine, in half a minute.

import { performance } from 'node:perf_hooks'
import { init, shutdown } from '../api/init.js'
import { get, put } from '../api/objects.js'
import { remote } from '../api/remote.js'
import { INTERNAL_NAMESPACE } from '../run/job.js'
import { ADDRESS, type Command, numberOf, print, textOf, UsageError, type Values } from './command.js'
import { formatOf } from './list.js'
import { json, table } from './table.js'

const DEFAULT_SECONDS = 2
const BATCH = 1_000

export const microbenchmark: Command = {
  name: 'microbenchmark',
  takes: '',
  counts: [0, 0],
  summary: 'Measures tasks, actor calls and objects on this machine.',
  details: 'Without --address, in a cluster of its own that ends with the command.',
  options: {
    address: { type: 'string', value: 'host:port', help: `${ADDRESS.address?.help.split('.')[0]}, in which to measure` },
    seconds: { type: 'string', value: 'N', help: `for each figure. Default: ${DEFAULT_SECONDS}` },
    format: { type: 'string', value: 'table|json', help: 'default: table' },
  },
  run,
}

/** How many of these were done in a second. */
type Measured = () => Promise<number>

async function run(values: Values): Promise<number> {
  const seconds = numberOf(values, 'seconds') ?? DEFAULT_SECONDS
  if (!(seconds > 0)) throw new UsageError(`--seconds must be more than 0, not ${seconds}`)
  const asJson = formatOf(values) === 'json'
  await init({ address: textOf(values, 'address') ?? 'local', namespace: INTERNAL_NAMESPACE })
  try {
    const rows: Record<string, unknown>[] = []
    for (const [what, once] of Object.entries(figures())) {
      const perSecond = await rate(once, seconds * 1_000)
      rows.push({ what, perSecond: Math.round(perSecond * 10) / 10 })
    }
    print(asJson ? json(rows) : table(rows, ['what', 'perSecond']))
    return 0
  } finally {
    await shutdown()
  }
}

function figures(): Record<string, Measured> {
  const nothing = remote(function nothing() {})
  const Counter = remote(
    class Counter {
      add() {}
    },
  )
  const counter = Counter.remote()
  const small = put(1)
  const large = new Uint8Array(64 << 20)
  return {
    'task, one at a time': async () => {
      await get(nothing.remote())
      return 1
    },
    'tasks, many at once': async () => {
      await get(Array.from({ length: BATCH }, () => nothing.remote()))
      return BATCH
    },
    'actor call, one at a time': async () => {
      await get(counter.add.remote())
      return 1
    },
    'actor calls, many at once': async () => {
      await get(Array.from({ length: BATCH }, () => counter.add.remote()))
      return BATCH
    },
    'put of a number': async () => {
      put(1)[Symbol.dispose]()
      return 1
    },
    'get of a number': async () => {
      await get(small)
      return 1
    },
    'put of 64 MiB, in GB': async () => {
      put(large)[Symbol.dispose]()
      return large.byteLength / 1e9
    },
  }
}

async function rate(once: Measured, ms: number): Promise<number> {
  await once()
  const began = performance.now()
  let done = 0
  do done += await once()
  while (performance.now() - began < ms)
  return (done * 1_000) / (performance.now() - began)
}
