// SPDX-License-Identifier: Apache-2.0
// What `list` and `get` can show: by which call, which columns, and which field names one.

import { state } from '../api/state.js'
import { UsageError } from './command.js'
import type { Row } from './table.js'

export interface Kind {
  rows(): Promise<Row[]>
  columns: string[]
  id: string
}

const as = (rows: Promise<unknown[]>): Promise<Row[]> => rows as Promise<Row[]>

export const kinds: Readonly<Record<string, Kind>> = {
  tasks: {
    rows: () => as(state.listTasks()),
    columns: ['taskId', 'name', 'state', 'attempt', 'nodeId', 'workerId', 'error'],
    id: 'taskId',
  },
  actors: {
    rows: () => as(state.listActors()),
    columns: ['actorId', 'className', 'name', 'namespace', 'state', 'nodeId', 'pid', 'numRestarts', 'deathCause'],
    id: 'actorId',
  },
  objects: {
    rows: () => as(state.listObjects()),
    columns: ['objectId', 'sizeBytes', 'owner', 'reason', 'callSite', 'nodeIds', 'spilled'],
    id: 'objectId',
  },
  nodes: {
    rows: () => as(state.listNodes()),
    columns: ['nodeId', 'address', 'alive', 'resources', 'available', 'labels'],
    id: 'nodeId',
  },
  workers: { rows: () => as(state.listWorkers()), columns: ['workerId', 'pid', 'nodeId', 'state'], id: 'workerId' },
  'placement-groups': {
    rows: () => as(state.listPlacementGroups()),
    columns: ['placementGroupId', 'name', 'strategy', 'state', 'bundles', 'nodeIds', 'reason'],
    id: 'placementGroupId',
  },
  jobs: { rows: () => as(state.listJobs()), columns: ['jobId', 'state', 'namespace', 'driver'], id: 'jobId' },
}

export function kindOf(name: string): Kind {
  const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined
  if (kind === undefined) throw new UsageError(`there are no ${JSON.stringify(name)}; there are: ${Object.keys(kinds).join(', ')}`)
  return kind
}
