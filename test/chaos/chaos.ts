// SPDX-License-Identifier: Apache-2.0
// Chaos: a cluster of real processes under a mixed load, whose workers, nodes, drivers and head are killed at random. Every answer
// is checked; at the end nothing may be left: no object, lease, actor or job, every resource is free again, and when the cluster
// has ended, no process and no file.
//
//   npx tsx test/chaos/chaos.ts [--seconds 600] [--callers 4] [--drivers 2] [--nodes 2] [--every 2000] [--seed N] [--verbose]
//
// `--callers` of this driver, and half as many of each of the `--drivers`; `--every`: how long after one fault the next comes, on
// average (ms). It goes on for longer than `--seconds` where not every kind of fault has come by then, or not every kind of work was done. Exit code 0 when all
// held, 1 when not. A seed gives the same load and the same faults in the same order, but not the same moments: the processes are real.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { explain, get, getRuntimeContext, init, nodeAffinity, remote, shutdown, state } from 'eagleray'
import { Cluster } from 'eagleray/testing'
import { marked, waitFor } from '../e2e/support.js'
import { Random } from '../sim/random.js'
import { Drivers } from './drivers.js'
import { Killer } from './killer.js'
import { endDetached, inCluster, onMachine, spilled } from './leftovers.js'
import { NAMESPACE } from './load/actors.js'
import { caller, type Done, didAll } from './load.js'
import { Weather } from './scene.js'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    callers: { type: 'string', default: '4' },
    drivers: { type: 'string', default: '2' },
    nodes: { type: 'string', default: '2' },
    every: { type: 'string', default: '2000' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    verbose: { type: 'boolean', default: false },
  },
})
const [seconds, callers, count, nodes, everyMs, seed] = (['seconds', 'callers', 'drivers', 'nodes', 'every', 'seed'] as const).map(name =>
  Number(values[name]),
) as [number, number, number, number, number, number]

/** What a failure is shown with. */
const SAID_LAST = 40
const PROGRESS_MS = 10_000
const began = performance.now()
const said: string[] = []
const say = (text: string): void => {
  const line = `${((performance.now() - began) / 1000).toFixed(1)} s: ${text}`
  said.push(line)
  if (said.length > SAID_LAST) said.shift()
  if (values.verbose) console.log(line)
}

function sum(all: readonly Done[]): Done {
  const total: Done = {}
  for (const each of all) for (const [kind, times] of Object.entries(each)) total[kind] = (total[kind] ?? 0) + times
  return total
}

/** What a process has in memory of its own (MB). */
function memoryOf(pid: number | null): number {
  try {
    return Math.round(Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024)
  } catch {
    return 0
  }
}

const here = remote((): string => getRuntimeContext().nodeId)

/** What the cluster says of itself, for who looks for the cause of a failure. */
async function situation(): Promise<string> {
  const lists = { nodes: state.listNodes, workers: state.listWorkers, groups: state.listPlacementGroups, jobs: state.listJobs }
  const shown = async (name: string, list: () => Promise<unknown[]>, rows = list()): Promise<string> =>
    `${name}:\n${(await rows).map(row => `  ${JSON.stringify(row)}`).join('\n')}`
  const living = async () => (await state.listActors()).filter(each => !/dead/i.test(each.state))
  const pending = async () => (await state.listTasks()).filter(each => !/finished|failed/i.test(each.state))
  // Which of the living nodes does anything when it is asked to.
  const reached = async () => {
    const living = (await state.listNodes()).filter(each => each.alive)
    const asked = living.map(({ nodeId }) => here.options({ numCpus: 0, schedulingStrategy: nodeAffinity({ nodeId }) }).remote())
    return Promise.all(asked.map(ref => get(ref, { timeoutMs: 5_000 }).catch(async error => `${error}; ${(await explain(ref)).reason}`)))
  }
  const all = Promise.all([
    shown('reached', reached),
    ...Object.entries(lists).map(([name, list]) => shown(name, list)),
    shown('actors', living),
    shown('tasks', pending),
  ])
  return (await Promise.race([all, new Promise<string[]>(resolve => setTimeout(resolve, 20_000, ['the cluster does not answer']))])).join(
    '\n',
  )
}

async function chaos(cluster: Cluster, folder: string): Promise<void> {
  const weather = new Weather()
  let failure: Error | null = null
  let over = false
  const fail = (error: Error): void => {
    failure ??= error
    over = true
  }
  const drivers = new Drivers({ address: cluster.address, folder, callers: Math.ceil(callers / 2), seed }, fail)
  const killer = new Killer(cluster, drivers, weather, new Random(seed), say)
  await killer.begin(nodes)
  await init({ address: cluster.address })
  for (let i = 0; i < count; i++) drivers.start(`driver ${i}`)
  const own: Done = {}
  const scenes = Array.from({ length: callers }, (_, i) => ({ random: new Random(seed + i), name: `caller ${i}`, folder, weather }))
  const load = Promise.all(scenes.map(scene => caller(scene, () => over, own).catch(fail)))
  const progress = (): void => {
    const memory = { driver: memoryOf(process.pid), node: memoryOf(cluster.headNode.pid), head: memoryOf(cluster.headPid) }
    const text = JSON.stringify({ faults: killer.killed, done: sum([own, ...drivers.done]), memory, spilled: spilled(traces) })
    console.log(`${((performance.now() - began) / 1000).toFixed(0)} s: ${text}`)
  }
  const showing = setInterval(progress, PROGRESS_MS)
  const pauses = new Random(seed ^ 0x9a)
  const until = performance.now() + 1000 * seconds
  const hasSeenAll = (): boolean => killer.sawAll && didAll(sum([own, ...drivers.done]))
  while (!over && (performance.now() < until || !hasSeenAll())) {
    await new Promise(resolve => setTimeout(resolve, pauses.int(2 * everyMs)))
    traces.note()
    if (!over) await killer.once()
  }
  say('no more faults')
  over = true
  if (failure === null) await Promise.all([killer.end(), load, drivers.end()])
  clearInterval(showing)
  progress()
  if (failure !== null) {
    // What was under way fails with the end of the session, and nobody waits for it.
    process.on('unhandledRejection', () => {})
    console.log(await situation())
    throw failure
  }
  await endDetached(NAMESPACE)
  // What a missed message left is found by a look that nodes take a minute apart at most.
  await waitFor(async () => (await inCluster(traces)).length === 0, 'nothing left', 100_000).catch(() => {})
  const left = await inCluster(traces)
  report('in the cluster', left)
  if (left.length > 0) console.log(await situation())
}

function report(where: string, left: readonly string[]): void {
  console.log(left.length === 0 ? `nothing left ${where}` : `LEFT ${where}:\n${left.slice(0, 50).join('\n')}`)
  if (left.length > 0) process.exitCode = 1
}

console.log(`seed=${seed} seconds=${seconds} callers=${callers} drivers=${count} nodes=${nodes} every=${everyMs}`)
const [folder, temporary] = [mkdtempSync(join(tmpdir(), 'chaos-notes-')), mkdtempSync(join(tmpdir(), 'chaos-'))]
process.env.TMPDIR = temporary
const traces = marked()
// Some freezes are longer; a machine on which everything is late must not be: the node beside the head may not be lost.
const cluster = await Cluster.start({ head: { numCpus: 1, objectStoreBytes: 64 << 20, nodeTimeoutMs: 5_000 } })
const watchdog = setTimeout(
  () => {
    console.log(`FAILED: it hangs\n${said.join('\n')}`)
    process.exit(1)
  },
  1000 * seconds + 400_000,
)
try {
  await chaos(cluster, folder)
} catch (error) {
  console.log(`FAILED after ${((performance.now() - began) / 1000).toFixed(1)} s, seed ${seed}: ${(error as Error).stack}`)
  for (let { cause } = error as Error; cause instanceof Error; { cause } = cause) console.log(`because: ${cause.stack}`)
  console.log(`what was done to it last:\n${said.join('\n')}`)
  process.exitCode = 1
}
await shutdown()
await cluster.shutdown()
clearTimeout(watchdog)
const folders = [temporary, process.env.EAGLERAY_HOME as string]
await waitFor(() => onMachine(traces, folders).length === 0, 'nothing left', 10_000).catch(() => {})
report('on the machine', onMachine(traces, folders))
for (const each of [folder, temporary]) rmSync(each, { recursive: true, force: true })
process.exit()
