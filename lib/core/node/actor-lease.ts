// SPDX-License-Identifier: Apache-2.0
// What an actor holds, as a lease, so that a method that waits gives its CPU back as a task does.

import { ACTOR_LEASE, type JobSpec, type WorkerId } from '../../wire/messages.js'
import type { Lease } from './leases.js'
import { HEAD } from './requests.js'
import type { Worker } from './workers.js'

/** Undefined where that is no actor's process. */
export function actorLease(worker: Worker | undefined): Lease | undefined {
  const actor = worker?.actor
  if (worker === undefined || actor === undefined || actor === null) return undefined
  const { amounts } = actor.holding
  const job = worker.job as JobSpec
  actor.lease ??= {
    id: ACTOR_LEASE,
    owner: HEAD,
    workerId: worker.workerId as WorkerId,
    class: { key: actor.actorId, resources: amounts, freshWorker: false, maxCalls: 0, environment: null, job, where: null, near: null },
    holding: actor.holding,
    phase: 'running',
  }
  return actor.lease
}
