// SPDX-License-Identifier: Apache-2.0
// Leases: which worker serves which owner, and what it holds meanwhile. A lease lives from its grant until the owner
// returns it or the worker is dead.
//
// Invariants: a worker has at most one lease; a lease is in `resuming` exactly while its phase says so, in the order in
// which its task asked to go on; CPU is lent exactly in the phases 'blocked' and 'resuming'.

import type { SchedulingClass, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Holding } from './ledger.js'

export interface Lease {
  readonly id: number
  readonly owner: WorkerId
  readonly workerId: WorkerId
  readonly class: SchedulingClass
  readonly holding: Holding
  phase: 'running' | 'blocked' | 'resuming'
}

export class Leases {
  #nextId = 1
  readonly #byId = new Map<number, Lease>()
  readonly #byWorker = new Map<WorkerId, Lease>()
  readonly #byOwner = new Map<WorkerId, Set<Lease>>()
  /** Tasks that could go on but for their CPU, longest waiting first. */
  readonly resuming = new Set<Lease>()

  get size(): number {
    return this.#byId.size
  }

  begin(owner: WorkerId, workerId: WorkerId, schedulingClass: SchedulingClass, holding: Holding): Lease {
    assert(!this.#byWorker.has(workerId), 'a worker was leased twice')
    const lease: Lease = { id: this.#nextId++, owner, workerId, class: schedulingClass, holding, phase: 'running' }
    this.#byId.set(lease.id, lease)
    this.#byWorker.set(workerId, lease)
    const mine = this.#byOwner.get(owner)
    if (mine === undefined) this.#byOwner.set(owner, new Set([lease]))
    else mine.add(lease)
    return lease
  }

  end(lease: Lease): void {
    this.#byId.delete(lease.id)
    this.#byWorker.delete(lease.workerId)
    const mine = this.#byOwner.get(lease.owner)
    mine?.delete(lease)
    if (mine?.size === 0) this.#byOwner.delete(lease.owner)
    this.resuming.delete(lease)
  }

  get(id: number): Lease | undefined {
    return this.#byId.get(id)
  }

  of(workerId: WorkerId): Lease | undefined {
    return this.#byWorker.get(workerId)
  }

  all(): IterableIterator<Lease> {
    return this.#byId.values()
  }

  owners(): IterableIterator<[WorkerId, Set<Lease>]> {
    return this.#byOwner.entries()
  }

  ownedBy(owner: WorkerId): Lease[] {
    return [...(this.#byOwner.get(owner) ?? [])]
  }

  invariants(): void {
    assert(this.#byId.size === this.#byWorker.size, 'leases and leased workers differ in number')
    for (const lease of this.#byId.values()) {
      assert(this.#byWorker.get(lease.workerId) === lease, 'a lease is not that of its worker')
      assert(this.#byOwner.get(lease.owner)?.has(lease), 'a lease is not among those of its owner')
      assert(this.resuming.has(lease) === (lease.phase === 'resuming'), 'a lease waits for its CPU and is not in line, or the reverse')
      assert(lease.holding.cpuLent === (lease.phase !== 'running'), 'CPU is lent by a running task, or kept by a waiting one')
    }
  }
}
