// SPDX-License-Identifier: Apache-2.0
// Who gets a worker next. One pass after every event: tasks that could go on but for their CPU come first, then requests
// in turns between owners, those of tasks that wait for their children before the rest (finish what was begun, or nested
// tasks multiply processes), but not more than a few times in a row while what else waits would not multiply them (`begun.ts`).
// For what is left owners are asked to return leases.
//
// Invariants: nothing is granted that is not there; what a request waits for is only resources, or a worker that starts.

import type { Want, WorkerId, Yields } from '../../wire/messages.js'
import { holdsMore } from '../fair.js'
import type { Millis } from '../machine.js'
import { fromAmounts } from '../resources.js'
import { Begun } from './begun.js'
import type { Pool } from './bundles.js'
import type { ClusterView } from './cluster-view.js'
import type { Environments } from './environments.js'
import type { NodeEffect } from './events.js'
import type { Lease, Leases } from './leases.js'
import type { Ledger } from './ledger.js'
import type { Pools } from './pools.js'
import type { Waiting } from './reclaim-plan.js'
import { Reclaims } from './reclaims.js'
import type { Request, Requests } from './requests.js'
import { SoftCap } from './soft-cap.js'
import type { Spillover } from './spillover.js'
import type { Shortage, Worker, Workers } from './workers.js'

/** Grants in a row to tasks that waiting tasks need, before one of the others is served. */
const URGENT_IN_A_ROW = 8

export interface SchedulerParts {
  readonly cluster: ClusterView
  readonly pools: Pools
  readonly spillover: Spillover
  readonly leases: Leases
  readonly workers: Workers
  readonly requests: Requests
  readonly environments: Environments
}

export class Scheduler {
  readonly #cluster: ClusterView
  readonly #pools: Pools
  readonly #leases: Leases
  readonly #workers: Workers
  readonly #requests: Requests
  readonly #environments: Environments
  readonly #spillover: Spillover
  readonly #cap: SoftCap
  /** Asks owners for leases that others wait for. */
  readonly #reclaims: Reclaims
  readonly #begun: Begun
  #urgentInARow = 0
  #deadline: Millis = Number.POSITIVE_INFINITY

  constructor({ cluster, pools, spillover, leases, workers, requests, environments }: SchedulerParts) {
    this.#cluster = cluster
    this.#pools = pools
    this.#spillover = spillover
    this.#leases = leases
    this.#workers = workers
    this.#requests = requests
    this.#environments = environments
    this.#reclaims = new Reclaims(leases)
    this.#begun = new Begun(leases, requests, cluster.own.total.CPU ?? 0)
    this.#cap = new SoftCap(fromAmounts(cluster.own.total).CPU ?? 0)
  }

  /** Grants what can be granted, starts the workers that lack, and asks for leases back where others wait. */
  pass(now: Millis, out: NodeEffect[]): void {
    this.#deadline = Number.POSITIVE_INFINITY
    this.#pools.settle()
    this.#resume(out)
    this.#spillover.pass(now, out)
    this.#workers.refill(this.#grant(now, out), this.#environments.isReady(this.#workers.warm), now, out)
    this.#reclaim(now, out)
    this.#deadline = Math.min(this.#deadline, this.#begun.deadline)
  }

  /** When the next pass is due though nothing happens. */
  deadline(): Millis | null {
    const next = Math.min(this.#deadline, this.#pools.changesAt, this.#spillover.deadline() ?? Number.POSITIVE_INFINITY)
    return next === Number.POSITIVE_INFINITY ? null : next
  }

  /** The lease is over; what it held is free. */
  end(lease: Lease): void {
    if (isCpuless(lease.class.resources) && lease.phase === 'running') this.#cap.ended(lease.class.key)
    this.#leases.end(lease)
    this.#reclaims.ended(lease)
    this.#requests.gaveBack(lease.owner, lease.class.key)
    lease.holding.ledger.give(lease.holding)
  }

  /** An owner says how many leases it has when it wants more. One that wants none may have some that it does not use. */
  wants(owner: WorkerId, { count, held }: Want, now: Millis): void {
    if (count === 0) this.#reclaims.forget(owner)
    else if (held > 0) this.#reclaims.holds(owner, held, now)
  }

  /** An owner says what comes back. */
  yields(owner: WorkerId, message: Yields, now: Millis, out: NodeEffect[]): void {
    this.#reclaims.yields(owner, message, now, out)
    this.pass(now, out)
  }

  ownerGone(owner: WorkerId): void {
    this.#reclaims.ownerGone(owner)
  }

  invariants(): void {
    this.#reclaims.invariants()
  }

  block(lease: Lease): void {
    if (lease.phase === 'resuming') {
      this.#leases.resuming.delete(lease)
      lease.phase = 'blocked'
    }
    if (lease.phase !== 'running') return
    lease.phase = 'blocked'
    lease.holding.ledger.lendCpu(lease.holding)
    if (isCpuless(lease.class.resources)) this.#cap.ended(lease.class.key)
  }

  unblock(lease: Lease): void {
    if (lease.phase !== 'blocked') return
    lease.phase = 'resuming'
    this.#leases.resuming.add(lease)
  }

  #resume(out: NodeEffect[]): void {
    const exhausted = new Set<Ledger>()
    for (const lease of this.#leases.resuming) {
      const { ledger } = lease.holding
      if (exhausted.has(ledger)) continue
      if (!ledger.retakeCpu(lease.holding)) {
        exhausted.add(ledger)
        continue
      }
      this.#leases.resuming.delete(lease)
      lease.phase = 'running'
      if (isCpuless(lease.class.resources)) this.#cap.began(lease.class.key)
      out.push({ is: 'send', to: lease.workerId, message: { is: 'resumed', leaseId: lease.id } })
    }
  }

  /** Requests that nothing but resources or a worker keeps waiting, and for which these are to be gathered. */
  *#ready(now: Millis): Generator<Request> {
    for (const request of this.#requests.all())
      if (this.#environments.isReady(request.environment) && !this.#begun.multiplies(request, now)) yield request
  }

  /** Gives, by make, the requests that have their resources and wait for a worker only. */
  #grant(now: Millis, out: NodeEffect[]): Map<string, Shortage> {
    this.#begun.look(request => this.#environments.isReady(request.environment))
    this.#pools.begin(() => this.#ready(now), now)
    for (const request of this.#requests.all()) request.expected = 0
    const short = new Map<string, Shortage>()
    for (;;) {
      const next = this.#next(now)
      if (next === null) break
      const { request, pool } = next
      this.#pools.reserve(pool, request.need)
      const worker = this.#workers.take(request, request.actor === null ? 'leased' : 'actor')
      if (worker === null) {
        request.expected++
        const make = this.#workers.makeFor(request)
        const missing = short.get(make.key)
        if (missing === undefined) short.set(make.key, { make, count: 1 })
        else missing.count++
      } else {
        this.#serve(request, pool, worker, now, out)
      }
    }
    this.#prepare(short, now)
    return short
  }

  /**
   * Adds the workers for which leases are about to come back, where theirs will not do: a process may have to be started, and until it has that
   * CPU would be idle.
   */
  #prepare(short: Map<string, Shortage>, now: Millis): void {
    let promised = 0
    const coming = new Map<string, number>()
    for (const [scheduling, count] of this.#reclaims.promised(now)) {
      promised += count
      const key = this.#usersOf(scheduling)
      if (!scheduling.freshWorker) coming.set(key, (coming.get(key) ?? 0) + count)
    }
    if (promised === 0) return
    // Who has least is served first.
    for (const request of [...this.#requests.all()].sort((a, b) => a.held - b.held)) {
      if (request.notHere || !this.#environments.isReady(request.environment)) continue
      const count = Math.min(promised, request.count - request.expected)
      promised -= count
      const key = this.#usersOf(request)
      const there = request.freshWorker ? 0 : Math.min(count, coming.get(key) ?? 0)
      coming.set(key, (coming.get(key) ?? 0) - there)
      const missing = count - there - this.#workers.idleFor(request)
      if (missing <= 0) continue
      const make = this.#workers.makeFor(request)
      const known = short.get(make.key)
      if (known === undefined) short.set(make.key, { make, count: missing })
      else known.count += missing
    }
  }

  /** Requests for which this is equal are served by the same workers. */
  #usersOf(work: Pick<Request, 'environment' | 'job'>): string {
    return `${work.job.jobId} ${this.#workers.makeFor(work).key}`
  }

  #next(now: Millis): Next | null {
    const isUrgent = (request: Request): boolean => this.#begun.isUrgent(request.owner) && !this.#begun.multiplies(request, now)
    const urgent = this.#first(isUrgent, now)
    if (urgent === null || this.#urgentInARow >= URGENT_IN_A_ROW) {
      const other = this.#first(request => !isUrgent(request) && !this.#isHeld(request, urgent, now), now)
      if (other !== null) this.#urgentInARow = 0
      if (other !== null || urgent === null) return other
    }
    this.#urgentInARow++
    return urgent
  }

  /** What is begun after what can be finished, as far as it has to do with it. */
  #isHeld(request: Request, urgent: Next | null, now: Millis): boolean {
    if (!this.#begun.multiplies(request, now)) return false
    return urgent?.request.job.jobId === request.job.jobId || this.#begun.isFull(request)
  }

  /** Whose turn it is of those, unless another has clearly less. */
  #first(among: (request: Request) => boolean, now: Millis): Next | null {
    let first: Next | null = null
    for (const [, mine] of this.#requests.owners()) {
      for (const request of mine.values()) {
        if (first !== null && !holdsMore(first.request.held, request.held)) continue
        if (!among(request)) continue
        const pool = this.#poolFor(request, now)
        if (pool === null) continue
        first = { request, pool }
        break
      }
    }
    return first
  }

  /** What it can be served from now; null when it cannot. */
  #poolFor(request: Request, now: Millis): Pool | null {
    if (request.notHere || request.expected >= request.count) return null
    if (!this.#environments.isReady(request.environment)) return null
    const pool = this.#pools.withRoom(request)
    if (pool === null || request.class === null || !isCpuless(request.need)) return pool
    if (this.#cap.room(request.key, now) > request.expected) return pool
    this.#deadline = Math.min(this.#deadline, this.#cap.growsAt(request.key))
    return null
  }

  #serve(request: Request, { ledger }: Pool, worker: Worker, now: Millis, out: NodeEffect[]): void {
    const holding = ledger.take(request.need)
    const workerId = worker.workerId as WorkerId
    this.#requests.served(request, now)
    if (request.actor !== null) {
      worker.actor = { ...request.actor, holding }
      const placed = { is: 'placed', ...request.actor, workerId, pid: worker.pid as number, gpuIds: holding.gpuIds } as const
      out.push({ is: 'toHead', event: placed })
      return
    }
    const schedulingClass = request.class as NonNullable<Request['class']>
    const lease = this.#leases.begin(request.owner, workerId, schedulingClass, holding)
    if (isCpuless(request.need)) this.#cap.began(request.key)
    const message = {
      is: 'grant',
      classKey: request.key,
      leaseId: lease.id,
      workerId,
      gpuIds: holding.gpuIds,
      nodeId: this.#cluster.own.nodeId,
    } as const
    out.push({ is: 'send', to: request.owner, message })
  }

  /** What owners are asked for because it lacks here: as much as that, of who has most. */
  #reclaim(now: Millis, out: NodeEffect[]): void {
    const waiting: Waiting[] = []
    for (const request of this.#ready(now)) {
      if (request.notHere || request.expected >= request.count) continue
      const lacking = this.#pools.lacking(request)
      if (lacking.size > 0) waiting.push({ request, count: request.count, lacking, must: this.#mustHave(request) })
    }
    this.#reclaims.pass(waiting, now, out)
    this.#deadline = Math.min(this.#deadline, this.#reclaims.deadline ?? Number.POSITIVE_INFINITY)
  }

  /** Not so what others want that waits at other nodes too: of many nodes each would take one away from the same owner. */
  #mustHave({ owner, actor, where, held }: Request): boolean {
    if (actor !== null || this.#leases.of(owner)?.phase === 'blocked') return true
    return held === 0 && (!this.#spillover.isForeign(owner) || where?.strategy.is === 'node')
  }
}

/** What can be served now, and from what. */
interface Next {
  readonly request: Request
  readonly pool: Pool
}

function isCpuless(resources: Record<string, number>): boolean {
  return (resources.CPU ?? 0) === 0
}
