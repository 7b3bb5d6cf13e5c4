// SPDX-License-Identifier: Apache-2.0
// What a program can learn of itself and of the cluster.

import { assignedGpuIds, assignedResources } from '../run/accelerators.js'
import { currentContext } from '../run/task-context.js'
import { current, currentOrStarted, jobOf, namespaceOf } from './init.js'

export interface RuntimeContext {
  nodeId: string
  jobId: string
  /** Null in the driver. */
  taskId: string | null
  actorId: string | null
  workerId: string
  namespace: string
  assignedResources: Record<string, number>
  acceleratorIds: { GPU: string[] }
  /** 0 the first time a task runs. */
  attempt: number
  /** Aborted when the task is cancelled. */
  signal: AbortSignal
  isCanceled: boolean
}

/** Where this code runs: node, job, task, actor, what it was given, and whether it was cancelled. */
export function getRuntimeContext(): RuntimeContext {
  const runtime = current()
  const context = currentContext()
  const inTask = runtime.runner !== null
  return {
    nodeId: runtime.self.slice(0, 10),
    jobId: jobOf(),
    taskId: context?.taskId() ?? null,
    actorId: runtime.actorId,
    workerId: runtime.self,
    namespace: namespaceOf(),
    assignedResources: inTask ? assignedResources() : {},
    acceleratorIds: { GPU: assignedGpuIds() },
    attempt: context?.attempt ?? 0,
    signal: context?.signal ?? NEVER.signal,
    get isCanceled() {
      return context?.isCanceled ?? false
    },
  }
}

const NEVER = new AbortController()

/** The GPUs this task or actor was given; CUDA_VISIBLE_DEVICES names the same. Empty in the driver. */
export function getGpuIds(): string[] {
  return assignedGpuIds()
}

/** The address of this node. */
export function getNodeIpAddress(): string {
  return current().welcome?.nodeIp ?? '127.0.0.1'
}

export interface NodeRow {
  nodeId: string
  address: string
  alive: boolean
  resources: Record<string, number>
  available: Record<string, number>
  labels: Record<string, string>
}

/** The nodes of the cluster. */
export async function nodes(): Promise<NodeRow[]> {
  return (await (await currentOrStarted()).requests.query('nodes')) as NodeRow[]
}

function sum(rows: NodeRow[], pick: (row: NodeRow) => Record<string, number>): Record<string, number> {
  const total: Record<string, number> = {}
  for (const row of rows) if (row.alive) for (const [name, amount] of Object.entries(pick(row))) total[name] = (total[name] ?? 0) + amount
  return total
}

/** All resources of all live nodes. */
export async function clusterResources(): Promise<Record<string, number>> {
  return sum(await nodes(), row => row.resources)
}

/** What is not held by a task or actor now. */
export async function availableResources(): Promise<Record<string, number>> {
  return sum(await nodes(), row => row.available)
}
