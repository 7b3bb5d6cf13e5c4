// SPDX-License-Identifier: Apache-2.0
// A lane: one worker as one owner uses it. It outlives single leases, because the claim words of tasks that were taken back
// stay in use until the worker has passed over them.
//
// A worker of this node shares its claim words with the owner, which takes a task back by itself. One of another node does
// not: it is asked (`takeBack`), removes from its queue what it has not begun, and says so of each. Until it answers, for a
// task that it had begun with the result, the task is on the lane. While it is in a loop it hears nothing. So nothing is sent to it
// behind a task that takes long, or may.

import { limits } from '../../options.js'
import type { WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import type { ClassQueue } from './class-queue.js'
import type { Entry } from './entry.js'
import { type CodeRef, TASK, type Task } from './task.js'

const CLAIM_WORDS = 256

/**
 * Invariants: every claim word is free, or belongs to exactly one task sent and not answered (`tasks[claim]`), or, on a lane
 * of this node, to one that was taken back and not yet passed over (`passed[claim]`); `outstanding` counts the first kind.
 * On a lane of another node `asked[claim]` says that the worker was asked to give that task back; `asking` counts them. So a
 * word is never used again before the worker is done with it.
 */
export class Lane {
  leaseId = 0
  /** Of the node that granted the lease. */
  daemon: WorkerId = ''
  queue: ClassQueue | null = null
  gpuIds: string[] = []
  /** Whether the worker has been told of the lease. */
  announced = false
  /** The task on it waits: nothing more is sent until it answers. */
  blocked = false
  /** To be given back as soon as nothing is outstanding, if its daemon is owed one still. */
  returning = false
  outstanding = 0
  /** Of the outstanding tasks, those the worker was asked to give back. */
  asking = 0
  calls = 0
  grantedAt = 0
  idleSince = 0
  /** Time the worker takes for a task (ms, moving average); null until it has answered once. */
  taskMs: number | null = null
  private answeredAt = 0
  /** The last one sent, on another node, where nobody knows that its function is quick: nothing is sent behind it. */
  private alone: Task | null = null
  private readonly tasks: (Task | null)[] = new Array(CLAIM_WORDS).fill(null)
  private readonly passed: boolean[] = new Array(CLAIM_WORDS).fill(false)
  private readonly asked: boolean[] = new Array(CLAIM_WORDS).fill(false)
  /** When each claim word was used last, in sends. */
  private readonly order: number[] = new Array(CLAIM_WORDS).fill(0)
  private readonly free: number[] = []
  private sends = 0

  constructor(
    readonly workerId: WorkerId,
    /** On another node: no claim words are shared with it. */
    readonly isRemote: boolean,
  ) {
    for (let claim = CLAIM_WORDS - 1; claim >= 0; claim--) this.free.push(claim)
  }

  room(depth: number, now: Millis): boolean {
    if (this.leaseId === 0 || this.blocked || this.returning || this.outstanding >= depth || this.free.length === 0) return false
    return !this.isRemote || this.outstanding === 0 || (this.alone === null && now - this.answeredAt < limits.remoteQuickMs)
  }

  send(task: Task, now: Millis): void {
    const claim = this.free.pop() as number
    this.tasks[claim] = task
    if (this.outstanding++ === 0) this.answeredAt = now
    this.calls++
    if (this.isRemote && !isQuick(task.code)) this.alone = task
    task.claim = claim
    task.lane = this
    task.workerId = this.workerId
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

  /** It ran a task to its end. */
  measure(now: Millis): void {
    const took = now - this.answeredAt
    this.answeredAt = now
    this.taskMs = this.taskMs === null ? took : this.taskMs + (took - this.taskMs) / 8
  }

  /** A worker of this node had not begun it: the word stays in use until the worker passes over it. */
  tookBack(task: Task): void {
    assert(this.tasks[task.claim] === task && !this.isRemote, 'a task taken back is not on its lane')
    this.passed[task.claim] = true
    this.release(task)
  }

  /** A worker of another node is asked to give a task back; false when it was asked already. */
  ask(task: Task): boolean {
    assert(this.tasks[task.claim] === task && this.isRemote, 'a task asked for is not on its lane')
    if (this.asked[task.claim]) return false
    this.asked[task.claim] = true
    this.asking++
    return true
  }

  /** Tasks sent and not answered nor asked for, newest first; a cancelled one too, for the worker may be in its body still. */
  newestFirst(): Task[] {
    const order = (task: Task): number => this.order[task.claim] as number
    return this.tasks
      .filter((task, claim) => task !== null && !this.asked[claim])
      .sort((a, b) => order(b as Task) - order(a as Task)) as Task[]
  }

  /** What the worker runs, or will run next: it runs them in the order they were sent. */
  oldest(): Task | null {
    let oldest: Task | null = null
    for (const task of this.tasks) {
      if (task === null) continue
      if (oldest === null || (this.order[task.claim] as number) < (this.order[oldest.claim] as number)) oldest = task
    }
    return oldest
  }

  /** What the worker runs before it, the one that it runs now first. A cancelled task too, whose body may go on. */
  ahead(task: Task): Task[] {
    const order = (each: Task): number => this.order[each.claim] as number
    const ahead = this.tasks.filter(each => each !== null && order(each) < order(task)) as Task[]
    return ahead.sort((a, b) => order(a) - order(b))
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
    const asked = this.asked.filter(Boolean).length
    assert(held === this.outstanding, `lane counts ${this.outstanding} outstanding tasks but holds ${held}`)
    assert(asked === this.asking, `lane counts ${this.asking} tasks asked for but marks ${asked}`)
    assert(
      this.asked.every((each, claim) => !each || this.tasks[claim] !== null),
      'a task asked for is not there',
    )
    assert(this.isRemote ? passed === 0 : asked === 0, 'a lane takes back in the way of the other kind')
    assert(held + passed + this.free.length === CLAIM_WORDS, 'claim words are lost')
  }

  private release(task: Task): void {
    this.tasks[task.claim] = null
    if (this.asked[task.claim]) {
      this.asked[task.claim] = false
      this.asking--
    }
    this.outstanding--
    if (this.alone === task) this.alone = null
    task.lane = null
  }
}

function isQuick({ bodyMs }: CodeRef): boolean {
  return bodyMs !== null && bodyMs < limits.remoteQuickMs
}
