// SPDX-License-Identifier: Apache-2.0
// The pool of worker processes. As many warm ones as the node has CPUs are kept for tasks; an actor takes one for good
// and the pool refills behind it; more are started while requests that have their resources lack a process.
//
//   starting --hello--> idle <--> leased            leaving: was told to go, or killed; holds a lease only until it is dead
//                         \-----> actor             any state --exit--> forgotten
//
// Invariants: only idle workers are in the idle list; `used` never goes back to false; at most workersMax processes.

import { limits } from '../../options.js'
import type { WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import type { NodeEffect } from './events.js'
import type { Lease } from './leases.js'
import type { Holding } from './ledger.js'

export interface Worker {
  readonly key: string
  pid: number | null
  workerId: WorkerId | null
  state: 'starting' | 'idle' | 'leased' | 'actor' | 'leaving'
  /** It has run something. */
  used: boolean
  idleSince: Millis
  /** It said that it leaves, so it gets no more work. */
  goodbye: boolean
  /** When it is killed if it has not ended by then; null while nothing says that it ends. */
  exitBy: Millis | null
  /** Why we ended it; null when we did not. */
  endReason: string | null
  /** What it runs, for the prefix of its output. */
  name: string
  /** `lease`: made when it first waits with CPU held. */
  actor: { readonly actorId: string; readonly holding: Holding; lease?: Lease } | null
}

export class Workers {
  readonly #prestart: number
  readonly #byKey = new Map<string, Worker>()
  readonly #byId = new Map<WorkerId, Worker>()
  /** The one that became idle last is at the end, and is taken first: its caches are warm. */
  readonly #idle: Worker[] = []
  #nextKey = 1
  #leased = 0
  #starting = 0
  /** Workers in a row that died before they could say hello. */
  #failures = 0
  #pausedUntil: Millis | null = null

  constructor(prestart: number) {
    this.#prestart = prestart
  }

  get size(): number {
    return this.#byKey.size
  }

  get starting(): number {
    return this.#starting
  }

  get idle(): readonly Worker[] {
    return this.#idle
  }

  byKey(key: string): Worker | undefined {
    return this.#byKey.get(key)
  }

  byId(workerId: WorkerId): Worker | undefined {
    return this.#byId.get(workerId)
  }

  all(): IterableIterator<Worker> {
    return this.#byKey.values()
  }

  /** The starting worker of that process, now idle. Null when there is none. */
  arrived(pid: number, workerId: WorkerId, now: Millis): Worker | null {
    for (const worker of this.#byKey.values()) {
      if (worker.pid !== pid || worker.workerId !== null) continue
      worker.workerId = workerId
      this.#byId.set(workerId, worker)
      worker.exitBy = null
      this.#failures = 0
      if (worker.state !== 'starting') return worker
      this.#starting--
      this.#toIdle(worker, now)
      return worker
    }
    return null
  }

  /** An idle worker, now in that state; null when there is none. `fresh`: one that has run nothing yet. */
  take(fresh: boolean, state: 'leased' | 'actor', name: string): Worker | null {
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const worker = this.#idle[i] as Worker
      if (fresh && worker.used) continue
      this.#idle.splice(i, 1)
      worker.state = state
      worker.used = true
      worker.name = name
      if (state === 'leased') this.#leased++
      return worker
    }
    return null
  }

  /** Its lease ended. It is idle again, or told to leave. */
  released(worker: Worker, retire: boolean, now: Millis, out: NodeEffect[]): void {
    assert(worker.state === 'leased', `a ${worker.state} worker gave back a lease`)
    this.#leased--
    if (retire || worker.goodbye) this.#retire(worker, out)
    else this.#toIdle(worker, now)
  }

  /** It closed its channel, so its process is about to end; if it does not, it is of no use and is killed. */
  closing(worker: Worker, now: Millis): void {
    worker.exitBy ??= now + limits.workerExitMs
  }

  /** It leaves by itself. */
  saidGoodbye(worker: Worker): void {
    worker.goodbye = true
    if (worker.state !== 'idle') return
    this.#idle.splice(this.#idle.indexOf(worker), 1)
    worker.state = 'leaving'
  }

  /** Ends the process. What it holds is held until it is dead. */
  kill(worker: Worker, reason: string, out: NodeEffect[]): void {
    worker.endReason ??= reason
    this.#leave(worker)
    out.push({ is: 'kill', key: worker.key })
  }

  exited(key: string, now: Millis): Worker | null {
    const worker = this.#byKey.get(key)
    if (worker === undefined) return null
    if (worker.workerId === null && worker.endReason === null) this.#failed(now)
    this.#leave(worker)
    this.#byKey.delete(key)
    if (worker.workerId !== null) this.#byId.delete(worker.workerId)
    return worker
  }

  /** How many starts in a row failed. */
  get failures(): number {
    return this.#failures
  }

  /** Starts what is missing: `short` workers for requests that wait for nothing else, otherwise warm ones for what comes. */
  refill(short: number, now: Millis, out: NodeEffect[]): void {
    if (this.#pausedUntil !== null && now < this.#pausedUntil) return
    this.#pausedUntil = null
    const wanted = short > 0 ? short : this.#prestart - this.#idle.length - this.#leased
    // After a failed start one at a time is tried: a cause that lasts would fail them all.
    const most = Math.min(this.#failures > 0 ? 1 : limits.workersStartingMax, wanted)
    while (this.#starting < most && this.#byKey.size < limits.workersMax) this.#start(now, out)
  }

  /** Sends surplus workers away that have been idle for long, and kills those that do not get started. */
  tick(now: Millis, out: NodeEffect[]): void {
    while (this.#surplus() > 0 && now >= (this.#idle[0] as Worker).idleSince + limits.workerIdleMs) {
      this.#retire(this.#idle.shift() as Worker, out)
    }
    for (const worker of this.#byKey.values()) {
      if (worker.exitBy === null || now < worker.exitBy) continue
      worker.exitBy = null
      if (worker.state === 'starting') this.#failed(now)
      const late = worker.state === 'starting' ? `get started within ${limits.workerStartMs / 1000} s` : 'end after it closed its channel'
      this.kill(worker, `it did not ${late}`, out)
    }
  }

  deadline(): Millis | null {
    let next = this.#pausedUntil ?? Number.POSITIVE_INFINITY
    if (this.#surplus() > 0) next = Math.min(next, (this.#idle[0] as Worker).idleSince + limits.workerIdleMs)
    for (const { exitBy } of this.#byKey.values()) if (exitBy !== null && exitBy < next) next = exitBy
    return next === Number.POSITIVE_INFINITY ? null : next
  }

  invariants(): void {
    let [starting, idle, leased] = [0, 0, 0]
    for (const worker of this.#byKey.values()) {
      if (worker.state === 'starting') starting++
      if (worker.state === 'idle') idle++
      if (worker.state === 'leased') leased++
      assert(worker.state !== 'starting' || worker.workerId === null, 'a worker that said hello is still starting')
      assert(worker.state !== 'actor' || worker.actor !== null, 'an actor worker without an actor')
      assert((worker.state === 'idle') === this.#idle.includes(worker), 'the idle list is wrong')
    }
    assert(starting === this.#starting && leased === this.#leased && idle === this.#idle.length, 'the pool miscounts its workers')
    assert(this.#byKey.size <= limits.workersMax, 'too many workers')
  }

  /** Idle workers beyond what is kept warm. */
  #surplus(): number {
    return Math.min(this.#idle.length, this.#idle.length + this.#leased - this.#prestart)
  }

  #start(now: Millis, out: NodeEffect[]): void {
    const key = `worker-${this.#nextKey++}`
    this.#byKey.set(key, {
      key,
      pid: null,
      workerId: null,
      state: 'starting',
      used: false,
      idleSince: now,
      goodbye: false,
      exitBy: now + limits.workerStartMs,
      endReason: null,
      name: 'worker',
      actor: null,
    })
    this.#starting++
    out.push({ is: 'spawn', key })
  }

  #toIdle(worker: Worker, now: Millis): void {
    worker.state = 'idle'
    worker.idleSince = now
    this.#idle.push(worker)
  }

  /** Asks it to go; it does so once nothing needs it (it may own objects that others use). */
  #retire(worker: Worker, out: NodeEffect[]): void {
    worker.state = 'leaving'
    worker.endReason ??= 'it was not needed any more'
    if (!worker.goodbye) out.push({ is: 'send', to: worker.workerId as WorkerId, message: { is: 'retire' } })
  }

  #leave(worker: Worker): void {
    if (worker.state === 'starting') this.#starting--
    if (worker.state === 'leased') this.#leased--
    if (worker.state === 'idle') this.#idle.splice(this.#idle.indexOf(worker), 1)
    worker.state = 'leaving'
  }

  #failed(now: Millis): void {
    this.#failures++
    const [first, longest] = limits.workerStartPauseMs
    this.#pausedUntil = now + Math.min(longest, first * 2 ** (this.#failures - 1))
  }
}
