// SPDX-License-Identifier: Apache-2.0
// What a load has left behind: in the cluster while that runs, and on the machine when it has ended.

import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { availableResources, clusterResources, getActor, kill, state } from 'eagleray'
import { type NativeStore, native } from '#lib/native.js'
import { collect } from '../e2e/programs/by-reference.js'
import type { Traces } from '../e2e/support.js'

/** Ends the detached actors, which nothing else does. */
export async function endDetached(namespace: string): Promise<void> {
  for (const { name, namespace: where, state: is } of await state.listActors())
    if (where === namespace && name !== null && !/dead/i.test(is))
      await getActor(name, { namespace }).then(
        actor => kill(actor),
        () => {},
      )
}

/** What is left in the cluster, as lines; none when nothing is. */
export async function inCluster(traces: Traces): Promise<string[]> {
  await collect()
  const found: string[] = []
  for (const each of await state.listObjects())
    found.push(
      `object ${each.objectId} ${each.sizeBytes} B on ${each.nodeIds.join(' ')}, held by ${each.holders.join(' ') || 'nobody'}: ${each.reason} ${each.callSite}`,
    )
  for (const each of await state.listActors()) if (!/dead/i.test(each.state)) found.push(`actor ${each.className} ${each.state}`)
  for (const each of await state.listWorkers())
    if (!/idle|driver|starting/i.test(each.state)) found.push(`worker ${each.pid} ${each.state}`)
  for (const each of await state.listPlacementGroups())
    if (each.state !== 'removed') found.push(`placement group ${each.placementGroupId} ${each.state}`)
  const jobs = (await state.listJobs()).filter(each => each.state === 'RUNNING')
  if (jobs.length > 1) found.push(`${jobs.length} jobs that run`)
  const [total, available] = [await clusterResources(), await availableResources()]
  for (const name of Object.keys(total))
    if (name !== 'objectStoreMemory' && total[name] !== available[name]) found.push(`${name}: ${available[name]} of ${total[name]}`)
  return [...found, ...inStores(traces)]
}

/** How many objects the stores that are there have put on disk, ever. */
export function spilled(traces: Traces): number {
  return eachStore(traces, (_, store) => store.stats().spilledObjects).reduce((sum, count) => sum + count, 0)
}

function eachStore<T>(traces: Traces, look: (folder: string, store: NativeStore) => T): T[] {
  return traces.folders.flatMap(folder => {
    try {
      const store = native.openStore(folder)
      try {
        return [look(folder, store)]
      } finally {
        store.close()
      }
    } catch {
      // There is none, or none any more.
      return []
    }
  })
}

/** Of every store that is there: objects, pins, and what its own check finds. */
function inStores(traces: Traces): string[] {
  traces.note()
  return eachStore(traces, (folder, store) => {
    const { objects, pins, creating, deleting } = store.stats()
    const broken = store.check()
    const found = broken === null ? [] : [`store ${folder}: ${broken}`]
    if (objects + pins + creating + deleting > 0)
      found.push(`store ${folder}: ${objects} objects, ${pins} pins, ${creating} creating, ${deleting} deleting`)
    return found
  }).flat()
}

/** Processes of ours, and files of any kind: sockets, FIFOs, segments, locks, sessions, records. `folders` are ours alone. */
export function onMachine(traces: Traces, folders: readonly string[]): string[] {
  return [...new Set([...traces.leftovers(), ...folders.flatMap(filesBelow)])].filter(path => !isKept(path))
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return []
  const all = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(name => join(folder, name))
  return all.filter(path => !statSync(path, { throwIfNoEntry: false })?.isDirectory())
}

/** The folder for clusters of tests stays, empty; so does what tsx has compiled. */
function isKept(path: string): boolean {
  return path.includes('/tsx-') || (path.endsWith('/test-clusters') && readdirSync(path).length === 0)
}
