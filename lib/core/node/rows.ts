// SPDX-License-Identifier: Apache-2.0
// What the node tells of itself to people: its workers, and what the requests of a class or of an actor wait for.

import type { NodeId, WorkerId } from '../../wire/messages.js'
import { placementOf } from '../environment.js'
import type { Environments } from './environments.js'
import type { Lease, Leases } from './leases.js'
import type { Ledger } from './ledger.js'
import type { Request } from './requests.js'
import type { Workers } from './workers.js'

export interface WorkerRow {
  workerId: WorkerId | null
  pid: number | null
  nodeId: NodeId
  state: string
}

export function workerRows(workers: Workers, leases: Leases, nodeId: NodeId): WorkerRow[] {
  const rows: WorkerRow[] = []
  for (const { workerId, pid, state } of workers.all()) {
    const leased = workerId === null ? undefined : leases.of(workerId)
    rows.push({ workerId, pid, nodeId, state: leased === undefined || state !== 'leased' ? state : leaseState(leased) })
  }
  return rows
}

export interface WaitingRow {
  owner: WorkerId
  name: string
  count: number
  /** In words: the end of a sentence. */
  waitsFor: string
  /** A whole sentence, when it can never be served; else null. */
  impossible: string | null
  /** Its runtime environment is not ready. */
  isSettingUp: boolean
}

/** Why it is not served, other than for resources or a worker here. */
export interface Elsewhere {
  /** What it waits for, in words. */
  why(request: Request): string | null
  /** That no node can ever serve it, as a sentence. */
  impossible(request: Request): string | null
}

/** `what`: the key of a class, or `placementOf` an actor. */
export function waitingRows(
  what: string,
  requests: Iterable<Request>,
  ledger: Ledger,
  environments: Environments,
  elsewhere: Elsewhere,
): WaitingRow[] {
  const rows: WaitingRow[] = []
  for (const request of requests) {
    const { actor, key, environment, owner, name, count } = request
    if ((actor === null ? key : placementOf(actor.actorId)) !== what) continue
    const isSettingUp = !environments.isReady(environment)
    const waitsFor = reasonOf(request, ledger, environments, elsewhere)
    rows.push({ owner, name, count, waitsFor, impossible: elsewhere.impossible(request), isSettingUp })
  }
  return rows
}

function reasonOf(request: Request, ledger: Ledger, environments: Environments, elsewhere: Elsewhere): string {
  const { environment } = request
  if (environment !== null && !environments.isReady(environment)) return environments.describe(environment)
  const reason = elsewhere.why(request)
  if (reason !== null) return reason
  const lacking = ledger.lacking(request.need)
  if (lacking.length > 0) return `${lacking.join(', ')}, of which its node has too little free`
  return environment === null ? 'a worker' : 'a worker process of its runtime environment'
}

function leaseState(lease: Lease): string {
  return lease.phase === 'running' ? 'leased' : lease.phase
}
