// SPDX-License-Identifier: Apache-2.0
// Chaos: a cluster of real processes under a mixed load, whose workers, nodes and head are killed at random. Every answer is
// checked; at the end nothing may be left: no object, no lease, no actor, and every resource is free again.
//
//   npx tsx test/chaos/chaos.ts [--seconds 600] [--callers 6] [--nodes 2] [--every 2000] [--seed N] [--verbose]
//
// `--every`: how long after one kill the next comes, on average (ms). Exit code 0 when all held, 1 when not. A seed gives the
// same load and the same kinds of kills, but not the same moments: the processes are real.

import { parseArgs } from 'node:util'
import { availableResources, clusterResources, init, shutdown, state } from 'eagleray'
import { Cluster } from 'eagleray/testing'
import { collect } from '../e2e/programs/by-reference.js'
import { waitFor } from '../e2e/support.js'
import { Random } from '../sim/random.js'
import { Killer } from './killer.js'
import { caller } from './load.js'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    callers: { type: 'string', default: '6' },
    nodes: { type: 'string', default: '2' },
    every: { type: 'string', default: '2000' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    verbose: { type: 'boolean', default: false },
  },
})
const [seconds, callers, nodes, everyMs, seed] = [values.seconds, values.callers, values.nodes, values.every, values.seed].map(Number) as [
  number,
  number,
  number,
  number,
  number,
]
const began = performance.now()
const say = (text: string): void => {
  if (values.verbose) console.log(`${((performance.now() - began) / 1000).toFixed(1)} s: ${text}`)
}

/** What is left of the load, as lines; empty when nothing is. */
async function left(): Promise<string[]> {
  await collect()
  const found: string[] = []
  for (const each of await state.listObjects())
    found.push(`object ${each.objectId} ${each.sizeBytes} B on ${each.nodeIds.join(' ')}: ${each.reason} ${each.callSite}`)
  for (const each of await state.listActors()) if (!/dead/i.test(each.state)) found.push(`actor ${each.className} ${each.state}`)
  for (const each of await state.listWorkers())
    if (!/idle|driver|starting/i.test(each.state)) found.push(`worker ${each.pid} ${each.state}`)
  const [total, available] = [await clusterResources(), await availableResources()]
  for (const name of Object.keys(total))
    if (name !== 'objectStoreMemory' && total[name] !== available[name]) found.push(`${name}: ${available[name]} of ${total[name]}`)
  return found
}

async function chaos(cluster: Cluster): Promise<void> {
  const killer = new Killer(cluster, new Random(seed), say)
  await killer.begin(nodes)
  await init({ address: cluster.address })
  let over = false
  const load = Promise.all(Array.from({ length: callers }, (_, i) => caller(seed + i, () => over)))
  load.catch(() => {
    over = true
  })
  const pauses = new Random(seed ^ 0x9a)
  const until = performance.now() + 1000 * seconds
  while (!over && performance.now() < until) {
    await new Promise(resolve => setTimeout(resolve, pauses.int(2 * everyMs)))
    await killer.once()
  }
  over = true
  say('no more kills')
  const done: Record<string, number> = {}
  for (const each of await load) for (const [kind, count] of Object.entries(each)) done[kind] = (done[kind] ?? 0) + count
  console.log(JSON.stringify({ killed: killer.killed, done }))
  // What a missed message left is found by a look that nodes take a minute apart at most.
  await waitFor(async () => (await left()).length === 0, 'nothing left', 100_000).catch(() => {})
  const rest = await left()
  console.log(rest.length === 0 ? 'nothing left' : `LEFT:\n${rest.slice(0, 50).join('\n')}`)
  if (rest.length > 0) process.exitCode = 1
}

console.log(`seed=${seed} seconds=${seconds} callers=${callers} nodes=${nodes} every=${everyMs}`)
const cluster = await Cluster.start({ head: { numCpus: 1, objectStoreBytes: 128 << 20, nodeTimeoutMs: 3_000 } })
const watchdog = setTimeout(
  () => {
    console.log('FAILED: it hangs')
    process.exit(1)
  },
  1000 * seconds + 200_000,
)
try {
  await chaos(cluster)
} catch (error) {
  console.log(`FAILED after ${((performance.now() - began) / 1000).toFixed(1)} s: ${(error as Error).stack}`)
  process.exitCode = 1
}
await shutdown()
await cluster.shutdown()
clearTimeout(watchdog)
