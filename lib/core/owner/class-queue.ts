// SPDX-License-Identifier: Apache-2.0
// The tasks of one scheduling class that are ready and have no worker yet, first in first out, and the lanes leased for it.

import { limits } from '../../options.js'
import type { SchedulingClass, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import type { Lane } from './lane.js'
import type { Task } from './task.js'
import { Wants } from './wants.js'

export class ClassQueue {
  readonly lanes: Lane[] = []
  /** How many more workers the nodes were last told this class could use. */
  readonly wants: Wants
  /** Nothing is sent to a worker before it has answered for what it has: it is used once, or the next worker is to be another. */
  readonly isShallow: boolean
  private readonly isSpread: boolean
  /** What no lane has room for, since one was looked for: any task, or one that runs only once. Null: some may have. */
  full: 'any' | 'once' | null = null
  /** When that was found last. A lane of another node may lose its room by time alone, and has some again only when its worker answers. */
  fullAt: Millis = 0
  /** Leases that are to go back to a daemon, of the first that end what they run; it has asked for them. */
  private readonly owed = new Map<WorkerId, number>()
  private tasks: Task[] = []
  private head = 0

  constructor(
    readonly scheduling: SchedulingClass,
    node: WorkerId,
  ) {
    this.wants = new Wants(scheduling, node)
    const { freshWorker, maxCalls, where } = scheduling
    this.isSpread = where?.strategy.is === 'spread'
    this.isShallow = freshWorker || maxCalls > 0 || this.isSpread
  }

  /** Of SPREAD: a worker is asked for each task that waits, so that each is served in turn. Of more that wait than are asked for any is used. */
  get inTurn(): boolean {
    return this.isSpread && this.length <= limits.wantMax
  }

  /** For who looks at what waits: the task that is next. */
  get taskName(): string {
    return this.peek()?.name ?? ''
  }

  /** Whether it is known that no lane has room for the task. */
  isFullFor(task: Task): boolean {
    return this.full === 'any' || (this.full === 'once' && task.retriesLeft === 0)
  }

  get length(): number {
    return this.tasks.length - this.head
  }

  push(task: Task): void {
    this.tasks.push(task)
  }

  /** Before all others: it had its turn already. */
  unshift(task: Task): void {
    if (this.head > 0) this.tasks[--this.head] = task
    else this.tasks.unshift(task)
  }

  peek(): Task | undefined {
    return this.tasks[this.head]
  }

  shift(): Task | undefined {
    if (this.head === this.tasks.length) return undefined
    const task = this.tasks[this.head] as Task
    this.tasks[this.head++] = undefined as never
    if (this.head === this.tasks.length) {
      this.tasks = []
      this.head = 0
    } else if (this.head > 4096 && this.head * 2 > this.tasks.length) {
      this.tasks = this.tasks.slice(this.head)
      this.head = 0
    }
    return task
  }

  remove(task: Task): boolean {
    const at = this.tasks.indexOf(task, this.head)
    if (at < 0) return false
    this.tasks.splice(at, 1)
    return true
  }

  drain(): Task[] {
    const tasks = this.tasks.slice(this.head)
    this.tasks = []
    this.head = 0
    return tasks
  }

  /** Nothing of the class is queued, leased or asked for. */
  get isIdle(): boolean {
    return this.length + this.lanes.length + this.wants.total === 0
  }

  /** Workers it could use beyond those it has: one for each task that runs behind another or has no lane. */
  get want(): number {
    let want = this.length
    for (const lane of this.lanes) want += lane.outstanding > 1 ? lane.outstanding - 1 : 0
    return want
  }

  /** Leases on which tasks can go on. */
  get held(): number {
    let held = 0
    for (const { blocked } of this.lanes) if (!blocked) held++
    return held
  }

  owedTo(daemon: WorkerId): number {
    return this.owed.get(daemon) ?? 0
  }

  get owedInAll(): number {
    let all = 0
    for (const count of this.owed.values()) all += count
    return all
  }

  /** Once nothing is owed to it, the lanes that were to be given back go on. */
  owe(daemon: WorkerId, count: number): void {
    if (count > 0) return void this.owed.set(daemon, count)
    if (!this.owed.delete(daemon)) return
    for (const lane of this.lanes) if (lane.daemon === daemon) lane.returning = false
    this.full = null
  }

  invariants(): void {
    this.wants.invariants()
    for (const { returning, daemon } of this.lanes)
      assert(!returning || this.owed.has(daemon), 'a lane is given back that nobody has asked for')
    for (const count of this.owed.values()) assert(count > 0, 'a daemon is owed no lease')
  }
}
