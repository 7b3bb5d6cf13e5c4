// SPDX-License-Identifier: Apache-2.0
// A lane: one worker of this node as one owner uses it. It outlives single leases, because the claim words of tasks that
// were taken back stay in use until the worker has passed over them.

import type { WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { ClassQueue } from './class-queue.js'
import type { Entry } from './entry.js'
import { TASK, type Task } from './task.js'

const CLAIM_WORDS = 256

/**
 * Invariants: every claim word is free, or belongs to exactly one task sent and not answered (`tasks[claim]`), or to one
 * that was taken back and not yet passed over (`passed[claim]`); `outstanding` counts the first kind.
 */
export class Lane {
  leaseId = 0
  queue: ClassQueue | null = null
  gpuIds: string[] = []
  /** Whether the worker has been told of the lease. */
  announced = false
  /** The task on it waits: nothing more is sent until it answers. */
  blocked = false
  /** To be given back as soon as nothing is outstanding. */
  returning = false
  outstanding = 0
  calls = 0
  grantedAt = 0
  idleSince = 0
  private readonly tasks: (Task | null)[] = new Array(CLAIM_WORDS).fill(null)
  private readonly passed: boolean[] = new Array(CLAIM_WORDS).fill(false)
  /** When each claim word was used last, in sends. */
  private readonly order: number[] = new Array(CLAIM_WORDS).fill(0)
  private readonly free: number[] = []
  private sends = 0

  constructor(readonly workerId: WorkerId) {
    for (let claim = CLAIM_WORDS - 1; claim >= 0; claim--) this.free.push(claim)
  }

  room(depth: number): boolean {
    return this.leaseId !== 0 && !this.blocked && !this.returning && this.outstanding < depth && this.free.length > 0
  }

  send(task: Task): void {
    const claim = this.free.pop() as number
    this.tasks[claim] = task
    this.outstanding++
    this.calls++
    task.claim = claim
    task.lane = this
    task.state = TASK.sent
    this.order[claim] = ++this.sends
  }

  /** An answer for a claim word came: gives its task, or null when the worker only passed over one taken back. */
  answered(claim: number, seq: number): Task | null {
    if (this.passed[claim]) {
      this.passed[claim] = false
      this.free.push(claim)
      return null
    }
    const task = this.tasks[claim]
    if (task === null || task === undefined || task.seq !== seq) return null
    this.release(task)
    this.free.push(claim)
    return task
  }

  /** The worker had not begun it: the word stays in use until the worker passes over it. */
  tookBack(task: Task): void {
    assert(this.tasks[task.claim] === task, 'a task taken back is not on its lane')
    this.passed[task.claim] = true
    this.release(task)
  }

  /** Tasks sent and not answered, newest first; a cancelled one too, for the worker may be in its body still. */
  newestFirst(): Task[] {
    const order = (task: Task): number => this.order[task.claim] as number
    return this.tasks.filter(task => task !== null).sort((a, b) => order(b) - order(a))
  }

  /** The task that makes `entry`, while the worker has not answered for it. */
  making(entry: Entry): Task | null {
    return this.tasks.find(task => task?.entries.includes(entry)) ?? null
  }

  /** The worker is gone: everything outstanding is off the lane. */
  abandon(): Task[] {
    const tasks = this.tasks.filter(task => task !== null)
    for (const task of tasks) this.release(task)
    return tasks
  }

  invariants(): void {
    const held = this.tasks.filter(task => task !== null).length
    const passed = this.passed.filter(Boolean).length
    assert(held === this.outstanding, `lane counts ${this.outstanding} outstanding tasks but holds ${held}`)
    assert(held + passed + this.free.length === CLAIM_WORDS, 'claim words are lost')
  }

  private release(task: Task): void {
    this.tasks[task.claim] = null
    this.outstanding--
    task.lane = null
  }
}
