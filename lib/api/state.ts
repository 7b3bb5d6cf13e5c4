// SPDX-License-Identifier: Apache-2.0
// The state API: lists of what there is, as plain objects.

import { decodeError } from '../codec/error-value.js'
import { INTERNAL_NAMESPACE } from '../run/job.js'
import type { TaskStatus } from '../run/requests.js'
import { type NodeRow, nodes } from './context.js'
import { currentOrStarted } from './init.js'

export interface WorkerRow {
  workerId: string
  pid: number
  nodeId: string
  state: string
}
export interface TaskRow {
  taskId: string
  name: string
  /** SUBMITTED_TO_WORKER: sent ahead, behind another that its worker runs first. */
  state: TaskStatus
  attempt: number
  /** Where it runs, or ran last; null: it was sent nowhere. */
  nodeId: string | null
  workerId: string | null
  error: string | null
}
export interface ActorRow {
  actorId: string
  name: string | null
  namespace: string
  className: string
  state: string
  nodeId: string | null
  pid: number | null
  numRestarts: number
  deathCause: string | null
}
export interface ObjectRow {
  objectId: string
  sizeBytes: number
  owner: string
  holders: string[]
  reason: string
  callSite: string | null
  /** Whose stores have it. */
  nodeIds: string[]
  spilled: boolean
}
export interface JobRow {
  jobId: string
  /** Where the names of its actors live. */
  namespace: string
  /** The driver's id. */
  driver: string
  state: 'RUNNING' | 'ENDED'
}

async function rows<T>(what: 'jobs' | 'workers' | 'tasks' | 'actors' | 'objects' | 'groups'): Promise<T[]> {
  return (await (await currentOrStarted()).requests.query(what)) as T[]
}

export interface PlacementGroupRow {
  placementGroupId: string
  name: string | null
  namespace: string
  strategy: string
  /** 'pending', 'created', 'rescheduling' (it has lost bundles since) or 'removed'. */
  state: string
  bundles: Record<string, number>[]
  /** By bundle; null while it has no node. */
  nodeIds: (string | null)[]
  /** Why it was removed, or is not there yet. */
  reason: string | null
}

export const state = {
  listPlacementGroups: (): Promise<PlacementGroupRow[]> => rows('groups'),
  listNodes: (): Promise<NodeRow[]> => nodes(),
  listWorkers: (): Promise<WorkerRow[]> => rows('workers'),
  listTasks: (): Promise<TaskRow[]> => rows('tasks'),
  listActors: async (): Promise<ActorRow[]> => {
    const list = await rows<Omit<ActorRow, 'deathCause'> & { deathCause: Uint8Array | null }>('actors')
    return list.map(row => ({ ...row, deathCause: row.deathCause === null ? null : decodeError(row.deathCause).message }))
  },
  listObjects: (): Promise<ObjectRow[]> => rows('objects'),
  /** Drivers, those that run and those that ended. */
  listJobs: async (): Promise<JobRow[]> => (await rows<JobRow>('jobs')).filter(row => row.namespace !== INTERNAL_NAMESPACE),
  /** How many tasks of each name are in each state. */
  summarizeTasks: async (): Promise<Record<string, Record<string, number>>> => {
    const summary: Record<string, Record<string, number>> = {}
    for (const task of await state.listTasks()) {
      summary[task.name] ??= {}
      const byState = summary[task.name] as Record<string, number>
      byState[task.state] = (byState[task.state] ?? 0) + 1
    }
    return summary
  },
}
