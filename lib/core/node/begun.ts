// SPDX-License-Identifier: Apache-2.0
// What was begun is finished first. A task that waits for its children has lent its CPU; were that given to the next task of its kind, this
// one would wait too, and so on: a process for each, and no child would ever run. So an owner that has tasks of a class waiting here gets no
// further worker for that class while children of its job can be served, nor while as many of the job's tasks as the node could run at once
// wait for children that cannot. One more after a pause that doubles, because what waits may wait for what has not begun.
//
// Invariant: what is held back is held back for requests that never are, and for no longer than the pause.

import { limits } from '../../options.js'
import type { WorkerId } from '../../wire/messages.js'
import type { Millis } from '../machine.js'
import type { Leases } from './leases.js'
import { HEAD, type Request, type Requests } from './requests.js'

export class Begun {
  /** Of each job, tasks that wait here whose first children of a class wait for a worker here. */
  readonly #waiting = new Map<string, number>()
  /** Tasks that wait, by owner and class; null while nobody asked. */
  #blocked: Map<string, number> | null = null
  /** When the first that is held back no longer is. */
  #deadline: Millis = Number.POSITIVE_INFINITY

  constructor(
    private readonly leases: Leases,
    private readonly requests: Requests,
    /** All CPU of the node, as amounts count it. */
    private readonly cpu: number,
  ) {}

  get deadline(): Millis {
    return this.#deadline
  }

  /** To be called before each round of grants. `isReady`: whether nothing but resources or a worker keeps it waiting. */
  look(isReady: (request: Request) => boolean): void {
    this.#waiting.clear()
    this.#blocked = null
    this.#deadline = Number.POSITIVE_INFINITY
    for (const [owner, mine] of this.requests.owners()) {
      if (!this.isUrgent(owner)) continue
      for (const request of mine.values()) {
        if (request.notHere || !isReady(request) || this.#blockedLike(request) > 0) continue
        this.#waiting.set(request.job.jobId, this.#waitingOf(request) + 1)
        break
      }
    }
  }

  /** Whether it is a task that waits: for what it now wants workers for, as far as is known. */
  isUrgent(owner: WorkerId): boolean {
    return owner !== HEAD && this.leases.of(owner)?.phase === 'blocked'
  }

  /** Whether it would begin anew what already waits for children that wait for a worker. */
  multiplies(request: Request, now: Millis): boolean {
    if (this.#waitingOf(request) === 0) return false
    const blocked = this.#blockedLike(request)
    if (blocked === 0) return false
    const [first, longest] = limits.beginAnewMs
    const due = request.waitingSince + Math.min(longest, first * 2 ** Math.max(0, blocked - this.#atOnce(request)))
    if (now >= due) return false
    this.#deadline = Math.min(this.#deadline, due)
    return true
  }

  /** Whether its job has as many tasks waiting for children as this node could run of it. */
  isFull(request: Request): boolean {
    return this.#waitingOf(request) >= this.#atOnce(request)
  }

  #waitingOf({ job }: Request): number {
    return this.#waiting.get(job.jobId) ?? 0
  }

  #atOnce({ need }: Request): number {
    const each = need.CPU ?? 0
    return each === 0 ? limits.cpulessTasksMax : Math.max(1, Math.floor(this.cpu / each))
  }

  #blockedLike({ owner, key }: Request): number {
    if (this.#blocked === null) {
      this.#blocked = new Map()
      for (const lease of this.leases.all()) {
        if (lease.phase === 'running') continue
        const kind = `${lease.owner} ${lease.class.key}`
        this.#blocked.set(kind, (this.#blocked.get(kind) ?? 0) + 1)
      }
    }
    return this.#blocked.get(`${owner} ${key}`) ?? 0
  }
}
