// SPDX-License-Identifier: Apache-2.0
// The pool of worker processes. As many warm ones as the node has CPUs are kept for tasks, in the environment of the job;
// an actor takes one for good and the pool refills behind it; more are started while requests that have their resources
// lack a process. A worker serves requests of its own environment only, and of one job: its first one, where it was started
// for none in particular.
//
//   starting --hello--> idle <--> leased            leaving: was told to go, or killed; holds a lease only until it is dead
//                         \-----> actor             any state --exit--> forgotten
//
// Invariants: only idle workers are in the idle list; `used` never goes back to false; at most workersMax processes.

import { limits } from '../../options.js'
import type { Environment, JobSpec, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import { keyOf } from './environments.js'
import type { NodeEffect } from './events.js'
import type { Lease } from './leases.js'
import type { Holding } from './ledger.js'
import type { Request } from './requests.js'

/** Why a worker is ended whose environment, as another of its workers found, cannot be. */
export const ENVIRONMENT_BROKEN = 'its runtime environment could not be set up'

export interface Worker {
  readonly key: string
  /** What it was started as: workers of one make are equal until they have run something. */
  readonly make: string
  readonly environment: Environment | null
  /** Null while anybody may have it. */
  job: JobSpec | null
  /** Its job is over: it is kept only for what outlives that. */
  orphan: boolean
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
  actor: { readonly actorId: string; readonly incarnation: number; readonly holding: Holding; lease?: Lease } | null
}

/** What a worker is started as. */
export interface Make {
  readonly key: string
  readonly environment: Environment | null
  /** Null: for anybody. */
  readonly job: JobSpec | null
}

/** Workers that requests of one make lack. */
export interface Shortage {
  readonly make: Make
  count: number
}

/** The key of the make that serves whoever comes first. */
const ANYBODYS = ''

/** Started with all that this job asks for. */
function boundTo(job: JobSpec, environment: Environment | null): Make {
  return { key: JSON.stringify([keyOf(environment), job.jobId]), environment, job }
}

export class Workers {
  readonly #prestart: number
  /** What those kept warm are. */
  readonly #warm: Make
  readonly #byKey = new Map<string, Worker>()
  readonly #byId = new Map<WorkerId, Worker>()
  /** The one that became idle last is at the end, and is taken first: its caches are warm. */
  readonly #idle: Worker[] = []
  #nextKey = 1
  #leased = 0
  #starting = 0
  /** Leased ones of the warm make. */
  #leasedWarm = 0
  /** Workers in a row, without an environment, that died before they could say hello. */
  #failures = 0
  #pausedUntil: Millis | null = null
  #warmBroken = false

  /** `environment` and `job`: of those kept warm. */
  constructor(prestart: number, environment: Environment | null, job: JobSpec | null) {
    this.#prestart = prestart
    this.#warm = job === null ? { key: ANYBODYS, environment, job } : boundTo(job, environment)
  }

  /** The environment of those kept warm. */
  get warm(): Environment | null {
    return this.#warm.environment
  }

  /** What a worker for such a request is started as: for anybody where that will do. */
  makeFor({ environment, job }: Pick<Request, 'environment' | 'job'>): Make {
    const ordinary = environment === null && job.execArgv.length === 0 && job.nodeOptions === ''
    return this.#warm.job === null && ordinary ? this.#warm : boundTo(job, environment)
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
      if (worker.make === this.#warm.key) this.#warmBroken = false
      if (worker.state !== 'starting') return worker
      this.#starting--
      this.#toIdle(worker, now)
      return worker
    }
    return null
  }

  /** The starting worker of that process; undefined when there is none. */
  startingAs(pid: number): Worker | undefined {
    for (const worker of this.#byKey.values()) if (worker.state === 'starting' && worker.pid === pid) return worker
    return undefined
  }

  /**
   * An idle worker of that environment and job, or of no job yet, now in that state; null when there is none. `freshWorker`: one that
   * has run nothing yet.
   */
  take(wanted: Pick<Request, 'freshWorker' | 'environment' | 'name' | 'job'>, state: 'leased' | 'actor'): Worker | null {
    const worker = this.#idleFor(wanted)
    if (worker === null) return null
    this.#idle.splice(this.#idle.indexOf(worker), 1)
    worker.state = state
    worker.used = true
    worker.job = wanted.job
    worker.name = wanted.name
    if (state === 'leased') this.#countLeased(worker, 1)
    return worker
  }

  /** How many idle workers would do for it. */
  idleFor({ freshWorker, job, ...request }: Pick<Request, 'freshWorker' | 'environment' | 'job'>): number {
    const { key } = this.makeFor({ job, ...request })
    const serves = (worker: Worker): boolean => worker.job === null || worker.job.jobId === job.jobId
    return this.#idle.filter(worker => worker.make === key && !(freshWorker && worker.used) && serves(worker)).length
  }

  /** That job is over: its idle workers go, others once they are idle, unless what outlives the job needs them. */
  jobEnded(jobId: string, out: NodeEffect[]): void {
    for (const worker of [...this.#byKey.values()]) {
      if (worker.job?.jobId !== jobId) continue
      worker.orphan = true
      if (worker.state === 'starting') this.kill(worker, 'its job ended', out)
      // Whatever it does now: what it has submitted before may run here or elsewhere, or in itself.
      else if (worker.state !== 'actor' && worker.workerId !== null)
        out.push({ is: 'send', to: worker.workerId, message: { is: 'jobOver' } })
      if (worker.state !== 'idle') continue
      this.#idle.splice(this.#idle.indexOf(worker), 1)
      this.#retire(worker, out)
    }
  }

  /** Its lease ended. It is idle again, or told to leave. */
  released(worker: Worker, retire: boolean, now: Millis, out: NodeEffect[]): void {
    assert(worker.state === 'leased', `a ${worker.state} worker gave back a lease`)
    this.#countLeased(worker, -1)
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
    if (worker.workerId === null && worker.endReason === null) this.#failed(worker, now)
    this.#leave(worker)
    this.#byKey.delete(key)
    if (worker.workerId !== null) this.#byId.delete(worker.workerId)
    return worker
  }

  /** How many starts in a row failed. */
  get failures(): number {
    return this.#failures
  }

  /**
   * Starts what is missing: workers for requests that wait for nothing else, otherwise warm ones for what comes, where
   * their environment is ready.
   */
  refill(short: ReadonlyMap<string, Shortage>, warmReady: boolean, now: Millis, out: NodeEffect[]): void {
    for (const { make, count } of short.values()) this.#startMissing(make, count, now, out)
    if (short.has(this.#warm.key) || !warmReady || this.#warmBroken) return
    this.#startMissing(this.#warm, this.#prestart - this.#idleWarm() - this.#leasedWarm, now, out)
  }

  /** A starting worker could not be what its environment asks for, so no other will: ends those, and keeps none warm until one works. */
  broken(key: string, out: NodeEffect[]): void {
    if (key === keyOf(this.#warm.environment)) this.#warmBroken = true
    for (const worker of this.#byKey.values()) {
      if (worker.state === 'starting' && keyOf(worker.environment) === key) this.kill(worker, ENVIRONMENT_BROKEN, out)
    }
  }

  /** Sends surplus workers away that have been idle for long, and kills those that do not get started. */
  tick(now: Millis, out: NodeEffect[]): void {
    for (const [worker, at] of this.#leaving()) {
      if (now < at) continue
      this.#idle.splice(this.#idle.indexOf(worker), 1)
      this.#retire(worker, out)
    }
    for (const worker of this.#byKey.values()) {
      if (worker.exitBy === null || now < worker.exitBy) continue
      worker.exitBy = null
      if (worker.state === 'starting') this.#failed(worker, now)
      const late = worker.state === 'starting' ? `get started within ${limits.workerStartMs / 1000} s` : 'end after it closed its channel'
      this.kill(worker, `it did not ${late}`, out)
    }
  }

  deadline(): Millis | null {
    let next = this.#pausedUntil ?? Number.POSITIVE_INFINITY
    for (const [, at] of this.#leaving()) next = Math.min(next, at)
    for (const { exitBy } of this.#byKey.values()) if (exitBy !== null && exitBy < next) next = exitBy
    return next === Number.POSITIVE_INFINITY ? null : next
  }

  invariants(): void {
    let [starting, idle, leased, warm] = [0, 0, 0, 0]
    for (const worker of this.#byKey.values()) {
      if (worker.state === 'starting') starting++
      if (worker.state === 'idle') idle++
      if (worker.state === 'leased') leased++
      if (worker.state === 'leased' && worker.make === this.#warm.key) warm++
      assert(!worker.used || worker.job !== null, 'a worker that has run something belongs to no job')
      assert(worker.state !== 'starting' || worker.workerId === null, 'a worker that said hello is still starting')
      assert(worker.state !== 'actor' || worker.actor !== null, 'an actor worker without an actor')
      assert((worker.state === 'idle') === this.#idle.includes(worker), 'the idle list is wrong')
    }
    assert(starting === this.#starting && leased === this.#leased && idle === this.#idle.length, 'the pool miscounts its workers')
    assert(warm === this.#leasedWarm, 'the pool miscounts the leased workers of the warm make')
    assert(this.#byKey.size <= limits.workersMax, 'too many workers')
  }

  #idleWarm(): number {
    let count = 0
    for (const worker of this.#idle) if (worker.make === this.#warm.key) count++
    return count
  }

  /** One of its own job before one of none; of those the one that became idle last. */
  #idleFor(wanted: Pick<Request, 'freshWorker' | 'environment' | 'job'>): Worker | null {
    const { key } = this.makeFor(wanted)
    let anybodys: Worker | null = null
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const worker = this.#idle[i] as Worker
      if (worker.make !== key || (wanted.freshWorker && worker.used)) continue
      if (worker.job?.jobId === wanted.job.jobId) return worker
      if (worker.job === null) anybodys ??= worker
    }
    return anybodys
  }

  /**
   * Idle workers that are sent away, and when: warm ones beyond what is kept, others beyond as many, soon; those of other
   * environments, whose start may have cost more, later.
   */
  #leaving(): [worker: Worker, at: Millis][] {
    const idleWarm = this.#idleWarm()
    let surplusWarm = idleWarm + this.#leasedWarm - this.#prestart
    let surplusOther = this.#idle.length - idleWarm - this.#prestart
    const leaving: [Worker, Millis][] = []
    for (const worker of this.#idle) {
      const isWarm = worker.make === this.#warm.key
      const surplus = isWarm ? surplusWarm-- > 0 : surplusOther-- > 0
      if (surplus || worker.orphan) leaving.push([worker, worker.idleSince + limits.workerIdleMs])
      else if (!isWarm) leaving.push([worker, worker.idleSince + limits.environmentIdleMs])
    }
    return leaving
  }

  #startMissing(make: Make, missing: number, now: Millis, out: NodeEffect[]): void {
    if (missing <= 0) return
    let most = Math.min(missing, limits.workersStartingMax)
    if (make.environment === null) {
      if (this.#pausedUntil !== null && now < this.#pausedUntil) return
      this.#pausedUntil = null
      // After a failed start one at a time is tried: a cause that lasts would fail them all.
      if (this.#failures > 0) most = 1
    }
    let starting = 0
    for (const worker of this.#byKey.values()) if (worker.state === 'starting' && worker.make === make.key) starting++
    for (; starting < most && this.#starting < limits.workersStartingMax; starting++) {
      if (this.#byKey.size >= limits.workersMax) return this.#makeRoom(make.key, most - starting, out)
      this.#start(make, now, out)
    }
  }

  /** Sends idle workers of other makes away, the longest idle first, until so many processes are about to end. */
  #makeRoom(key: string, missing: number, out: NodeEffect[]): void {
    let leaving = 0
    for (const worker of this.#byKey.values()) if (worker.state === 'leaving') leaving++
    for (const worker of [...this.#idle]) {
      if (leaving >= missing) return
      if (worker.make === key) continue
      this.#idle.splice(this.#idle.indexOf(worker), 1)
      this.#retire(worker, out)
      leaving++
    }
  }

  #countLeased(worker: Worker, by: 1 | -1): void {
    this.#leased += by
    if (worker.make === this.#warm.key) this.#leasedWarm += by
  }

  #start({ key: make, environment, job }: Make, now: Millis, out: NodeEffect[]): void {
    const key = `worker-${this.#nextKey++}`
    this.#byKey.set(key, {
      key,
      make,
      environment,
      job,
      orphan: false,
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
    out.push({ is: 'spawn', key, environment, job })
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
    if (worker.state === 'leased') this.#countLeased(worker, -1)
    if (worker.state === 'idle') this.#idle.splice(this.#idle.indexOf(worker), 1)
    worker.state = 'leaving'
  }

  /** What ends in an environment may be its fault: that is for the node to judge. */
  #failed(worker: Worker, now: Millis): void {
    if (worker.environment !== null) return
    this.#failures++
    const [first, longest] = limits.workerStartPauseMs
    this.#pausedUntil = now + Math.min(longest, first * 2 ** (this.#failures - 1))
  }
}
