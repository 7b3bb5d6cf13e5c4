// SPDX-License-Identifier: Apache-2.0
// Checker: at rest no machine keeps anything of what is over, but for what it says that it keeps. It looks at every table there is, by
// way of the debugger, which sees private fields: so no table can be forgotten here.

import { type Runtime, Session } from 'node:inspector'
import { limits } from '#lib/options.js'

/** Tables that remember what is over, and of how much at most. */
const KEPT: Record<string, number> = {
  'ActorTable.#byId': limits.deadActorsKept,
  'ActorTable.#dead': limits.deadActorsKept,
  'ActorTable.#byCreator': limits.deadActorsKept,
  'ClusterView.#dead': limits.deadNodesKept,
  'ClusterView.#sent': limits.wantMax,
  'GroupWork.#views': limits.groupViewsKept,
  'Groups.#byId': limits.removedGroupsKept,
  'Groups.#removed': limits.removedGroupsKept,
  'Jobs.#ended': limits.endedJobsKept,
  'Locality.#near': limits.nearClassesKept,
  'HeadLink.#dead': limits.deadNodesKept,
  'Nodes.#dead': limits.deadNodesKept,
  'Nodes.#entries': limits.deadNodesKept,
  'Orphans.dead': limits.deadOwnersKept,
  'References.deadNodes': limits.deadNodesKept,
  'References.deadOwners': limits.deadOwnersKept,
  'Tasks.finished': 2 * limits.finishedTasksKept,
}
/** Tables of processes or nodes that live. All others are empty at rest. */
const OF_THE_LIVING = new Set([
  ...[
    'ClusterView.#others',
    'HeadLink.#known',
    'Jobs.#running',
    'Leases.lanes',
    'Drivers.#jobs',
    'HeadLink.#others',
    'Pools.#main',
    'References.lent',
  ],
  ...['References.lentTo', 'Workers.#byId', 'Workers.#byKey', 'Workers.#idle'],
])

/** By table: how many entries it has. A table is named by its class and its field. */
type Sizes = Map<string, number>

/** Tables of that machine that keep more than they may, as words. `living`: processes and nodes. */
export function overfull(machine: object, living: number): string[] {
  return [...sizesOf(machine)].flatMap(([table, size]) => {
    const most = KEPT[table] ?? (OF_THE_LIVING.has(table) ? living : 0)
    return size > most ? [`tables: ${table} has ${size} entries at rest, and may have ${most}`] : []
  })
}

type Remote = Runtime.RemoteObject
/** Which the types of Node leave out. */
type Properties = Runtime.GetPropertiesReturnType & { privateProperties?: Runtime.PropertyDescriptor[] }

const GROUP = 'tables'
const session = new Session()
let isConnected = false

/** Of that machine and the parts it is made of, each class once. */
function sizesOf(machine: object): Sizes {
  if (!isConnected) session.connect()
  isConnected = true
  const sizes: Sizes = new Map()
  const seen = new Set<string>()
  const work: Remote[] = [handleOf(machine)]
  for (let part = work.pop(); part !== undefined; part = work.pop()) {
    const { className = '', objectId } = part
    if (objectId === undefined || seen.has(className)) continue
    seen.add(className)
    for (const { name, value } of propertiesOf(objectId)) {
      if (value?.type !== 'object') continue
      const size = /^(?:Map|Set|Array)\((\d+)\)$/.exec(value.description ?? '')
      if (size !== null) sizes.set(`${className}.${name}`, Number(size[1]))
      else if (value.subtype === undefined && value.className !== 'Object') work.push(value)
    }
  }
  session.post('Runtime.releaseObjectGroup', { objectGroup: GROUP })
  return sizes
}

function handleOf(machine: object): Remote {
  const scope = globalThis as { tablesOf?: object }
  scope.tablesOf = machine
  let handle: Remote = { type: 'undefined' }
  session.post('Runtime.evaluate', { expression: 'globalThis.tablesOf', objectGroup: GROUP }, (error, answer) => {
    if (error === null) handle = answer.result
  })
  delete scope.tablesOf
  return handle
}

function propertiesOf(objectId: string): Pick<Runtime.PropertyDescriptor, 'name' | 'value'>[] {
  let all: Pick<Runtime.PropertyDescriptor, 'name' | 'value'>[] = []
  session.post('Runtime.getProperties', { objectId, ownProperties: true }, (error, answer: Properties) => {
    if (error === null) all = [...answer.result, ...(answer.privateProperties ?? [])]
  })
  return all
}
