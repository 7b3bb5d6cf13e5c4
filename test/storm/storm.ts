// SPDX-License-Identifier: Apache-2.0
// A storm: many callers at once do everything there is to do, while workers are killed; afterwards nothing may be left:
// no object, no pin, no lease, no actor, and every resource is available again.
//
//   npx tsx test/storm/storm.ts [--seconds 60] [--callers 10] [--kills 1] [--seed N]      exit 0 when all held, 1 when not

import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { availableResources, clusterResources, get, init, remote, shutdown, state } from 'eagleray'
import { native } from '#lib/native.js'
import { collect } from '../e2e/programs/by-reference.ts'
import { waitFor } from '../e2e/support.ts'
import { Caller, Tally } from './caller.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    callers: { type: 'string', default: '10' },
    kills: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
  },
})
const [seconds, callers, kills, seed] = [values.seconds, values.callers, values.kills, values.seed].map(Number) as [
  number,
  number,
  number,
  number,
]
const collectThere = remote(collect, { numCpus: 0 })
const suicide = remote((): void => void process.kill(process.pid, 'SIGKILL'), { maxRetries: 0, name: 'suicide' })

/** Nine callers in actors of their own, one in the driver, and a killer of workers. */
async function storm(): Promise<Record<string, number>> {
  const tally = remote(Tally).remote()
  const RemoteCaller = remote(Caller, { numCpus: 0 })
  const actors = Array.from({ length: callers - 1 }, (_, i) => RemoteCaller.remote(`caller ${i}`, seed + i, tally))
  const here = new Caller('driver', seed - 1, tally)
  let over = false
  const killer = (async () => {
    while (kills > 0 && !over) {
      await get(suicide.remote()).catch(() => {})
      await new Promise(resolve => setTimeout(resolve, 500 / kills))
    }
  })()
  const results = await Promise.all([here.run(1000 * seconds), ...actors.map(actor => get(actor.run.remote(1000 * seconds)))])
  over = true
  await killer

  const totals = await get(tally.totals.remote())
  for (const [i, { calls }] of results.entries()) {
    const name = i === 0 ? 'driver' : `caller ${i - 1}`
    if ((totals[name] ?? 0) !== calls) throw new Error(`the tally counted ${totals[name]} calls of ${name}, which made ${calls}`)
  }
  const done: Record<string, number> = {}
  for (const result of results) for (const [name, count] of Object.entries(result.done)) done[name] = (done[name] ?? 0) + count
  return done
}

/** What is left; empty when nothing is. */
async function left(store: ReturnType<typeof native.openStore>): Promise<string[]> {
  await collect()
  const sweeps = [collectThere.remote(), collectThere.remote(), collectThere.remote()]
  await get(sweeps)
  const ours = new Set(sweeps.map(sweep => sweep.id))
  for (const sweep of sweeps) sweep[Symbol.dispose]()
  // The leases of the sweeps themselves run out when nobody asks for more.
  await waitFor(async () => (await state.listWorkers()).every(each => /idle|driver/i.test(each.state)), 'workers idle', 3000).catch(
    () => {},
  )
  const found: string[] = []
  for (const each of await state.listObjects())
    if (!ours.has(each.objectId)) found.push(`object ${each.objectId} ${each.sizeBytes} B: ${each.reason} ${each.callSite}`)
  for (const each of await state.listActors()) if (!/dead/i.test(each.state)) found.push(`actor ${each.className} ${each.state}`)
  for (const each of await state.listWorkers()) if (!/idle|driver/i.test(each.state)) found.push(`worker ${each.pid} ${each.state}`)
  const { objects, pins, creating, deleting } = store.stats()
  if (objects + pins + creating + deleting > 0)
    found.push(`store: ${objects} objects, ${pins} pins, ${creating} creating, ${deleting} deleting`)
  const [total, available] = [await clusterResources(), await availableResources()]
  for (const name of Object.keys(total))
    if (name !== 'objectStoreMemory' && total[name] !== available[name]) found.push(`${name}: ${available[name]} of ${total[name]}`)
  const broken = store.check()
  if (broken !== null) found.push(`store: ${broken}`)
  return found
}

console.log(`seed=${seed} seconds=${seconds} callers=${callers} kills=${kills}`)
const { sessionDir } = await init({ address: 'local', numCpus: 2, objectStoreBytes: 512 << 20 })
const inMemory = join('/dev/shm', basename(dirname(sessionDir)), basename(sessionDir))
const folder = [inMemory, join(inMemory, 'store'), sessionDir, join(sessionDir, 'store')].find(each => existsSync(join(each, 'segment')))
if (folder === undefined) throw new Error(`no segment of the session ${sessionDir} was found`)
const store = native.openStore(folder)
try {
  const done = await storm()
  console.log(JSON.stringify(done))
  await waitFor(async () => (await left(store)).length === 0, 'nothing left', 20_000).catch(() => {})
  const rest = await left(store)
  console.log(rest.length === 0 ? 'nothing left' : `LEFT:\n${rest.slice(0, 50).join('\n')}`)
  if (rest.length > 0) process.exitCode = 1
} catch (error) {
  console.log(`FAILED: ${(error as Error).stack}`)
  process.exitCode = 1
}
await shutdown()
