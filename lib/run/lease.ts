// SPDX-License-Identifier: Apache-2.0
// The lease this worker runs under: what its tasks hold, and giving the CPU back while a task waits in get or wait.

import { ACTOR_LEASE, type LeaseStart, type WorkerId } from '../wire/messages.js'
import { setAccelerators, setAssignedResources } from './accelerators.js'
import type { Runtime } from './runtime.js'

const LATE = Symbol('late')

export class Lease {
  private leaseId: number | null = null
  private owner: WorkerId | null = null
  /** Waits of the task that runs, and which task that is: waits it has left behind count no more. */
  private waits = 0
  private turn = 0
  /** `resuming`: no wait is left, and the node has been asked for the CPU. */
  private state: 'running' | 'blocked' | 'resuming' = 'running'
  private onResumed: (() => void)[] = []
  /** The last lease that each owner has told of. */
  private readonly announced = new Map<WorkerId, LeaseStart>()

  constructor(private readonly runtime: Runtime) {}

  /**
   * The next tasks of that owner run under this lease. Not the one that runs now: an owner that took all its tasks back may
   * have given the lease away before this came, and another's has begun.
   */
  announce(owner: WorkerId, message: LeaseStart): void {
    this.announced.set(owner, message)
  }

  /** A task of that owner is next. */
  next(owner: WorkerId): void {
    const message = this.announced.get(owner)
    if (message !== undefined && (message.leaseId !== this.leaseId || owner !== this.owner)) this.start(owner, message)
  }

  ownerGone(owner: WorkerId): void {
    this.announced.delete(owner)
  }

  private start(owner: WorkerId, message: LeaseStart): void {
    this.leaseId = message.leaseId
    this.owner = owner
    this.waits = 0
    this.turn++
    this.goOn()
    setAccelerators(message.gpuIds, (this.runtime.welcome?.resources.GPU ?? 0) > 0)
    setAssignedResources(message.resources)
    this.runtime.captured = message.capture
  }

  /** This process is an actor now; its waits count when it holds CPU and runs one call at a time. */
  ofActor(givesBack: boolean): void {
    this.leaseId = givesBack ? ACTOR_LEASE : null
    this.owner = null
    this.state = 'running'
  }

  resumed(leaseId: number): void {
    if (leaseId !== this.leaseId) return
    this.goOn()
    if (this.waits > 0) this.block()
  }

  /** The task has ended, perhaps with waits that nobody looks at (the losers of a race): its CPU is taken back. */
  taskEnded(): void {
    this.turn++
    this.waits = 0
    if (this.leaseId !== null && this.state === 'blocked') void this.resume(this.leaseId)
  }

  /** Resolves when the next task may begin; null when that is now. */
  regained(): Promise<void> | null {
    return this.leaseId === null || this.state === 'running' ? null : this.resume(this.leaseId)
  }

  /** Waits with the CPU given back; goes on only once it is there again. */
  async waiting<T>(promise: Promise<T>): Promise<T> {
    const { leaseId, turn } = this
    if (leaseId === null) return promise
    this.waits++
    if (this.state === 'running') this.block()
    try {
      return await promise
    } finally {
      if (turn === this.turn && --this.waits === 0) await this.resume(leaseId)
    }
  }

  /** A wait for what mostly comes soon: the CPU is kept for so many milliseconds. */
  async waitingLong<T>(promise: Promise<T>, ms: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<typeof LATE>(resolve => {
      timer = setTimeout(resolve, ms, LATE)
    })
    try {
      const first = await Promise.race([promise, late])
      if (first !== LATE) return first
    } finally {
      clearTimeout(timer)
    }
    return this.waiting(promise)
  }

  private goOn(): void {
    this.state = 'running'
    const all = this.onResumed
    this.onResumed = []
    for (const each of all) each()
  }

  private block(): void {
    const { owner, runtime } = this
    const leaseId = this.leaseId as number
    this.state = 'blocked'
    // What it waits for is asked for first, or its CPU would go to others meanwhile.
    runtime.act({ is: 'flush' })
    runtime.send(runtime.node, { is: 'blocked', leaseId })
    if (owner !== null) runtime.send(owner, { is: 'leaseBlocked', leaseId })
  }

  private resume(leaseId: number): Promise<void> {
    if (this.state === 'blocked') {
      this.state = 'resuming'
      this.runtime.send(this.runtime.node, { is: 'unblock', leaseId })
    }
    return new Promise(resolve => this.onResumed.push(resolve))
  }
}
