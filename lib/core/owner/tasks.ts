// SPDX-License-Identifier: Apache-2.0
// The life of a task at its owner: waiting for arguments → queued for a worker → sent → done. Decides retries.

import {
  NodeDiedError,
  OutOfMemoryError,
  PlacementGroupRemovedError,
  RuntimeEnvError,
  TaskCancelledError,
  TaskUnschedulableError,
  WireError,
  WorkerCrashedError,
} from '../../errors.js'
import { objectId } from '../../ids.js'
import { limits } from '../../options.js'
import type { Death, NodeId, Unplaceable, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import { describeFailure } from '../environment.js'
import type { Millis } from '../machine.js'
import { areSettled, argumentFailure, awaitArguments } from './arguments.js'
import type { Effect } from './effects.js'
import { Entry, STATE } from './entry.js'
import type { Lane } from './lane.js'
import type { Leases } from './leases.js'
import type { Lineage } from './lineage.js'
import type { ContainedRef, Outcome } from './outcome.js'
import type { References } from './references.js'
import { settleAgain } from './remade.js'
import { measured, TASK, type Task } from './task.js'
import type { Values } from './values.js'

/** An answer of a worker to a task frame. */
export interface TaskReply {
  is: 'reply'
  from: WorkerId
  claim: number
  task: number
  status: 'ok' | 'error' | 'revoked' | 'cancelled'
  /** One an entry when ok; one, the failure of all of them, otherwise. */
  results: Outcome[]
  /** Refs inside each result; null when there are none. */
  contained: ContainedRef[][] | null
  /** The shell found that the user asked to retry on this error. */
  retry: boolean
  /** What the body took, of one that ended. */
  bodyMs: number
}

/** What is remembered of a task that ended. */
export interface FinishedTask {
  seq: number
  name: string
  attempt: number
  /** Where it ran last; null: nowhere. */
  workerId: WorkerId | null
  /** The message of its failure. Not the error: its stack would keep whatever called. */
  error: string | null
  submittedAt: Millis
  endedAt: Millis
}

export class Tasks {
  /** Not done yet, by id. */
  readonly pending = new Map<number, Task>()
  /** Those to be run again when their pause after a lack of memory is over. */
  readonly pausing = new Set<Task>()
  /** The last that ended, oldest first, for the state API. */
  readonly finished: FinishedTask[] = []

  constructor(
    private readonly references: References,
    private readonly values: Values,
    private readonly leases: Leases,
    private readonly lineage: Lineage,
    private readonly decodeError: (bytes: Uint8Array) => Error,
  ) {
    leases.isReady = (task, now, out) => this.isReady(task, now, out)
  }

  submit(task: Task, now: Millis, out: Effect[]): void {
    task.submittedAt = now
    for (let i = 0; i < task.returns; i++) {
      const entry = new Entry(null, task.seq + i, false)
      entry.task = task
      this.references.owned.set(entry.seq, entry)
      task.entries.push(entry)
    }
    this.start(task, now, out)
    task.submitted = true
  }

  /** Once more from the beginning, after what it had made was lost. */
  restart(task: Task, now: Millis, out: Effect[]): void {
    task.state = TASK.waiting
    task.cancelled = task.forced = false
    this.start(task, now, out)
  }

  private start(task: Task, now: Millis, out: Effect[]): void {
    this.pending.set(task.seq, task)
    if (this.awaitAll(task, now, out)) this.leases.enqueue(task, now, out)
  }

  /** Whether all of its arguments are there; fails it when one has failed. */
  private awaitAll(task: Task, now: Millis, out: Effect[]): boolean {
    task.unresolved = 0
    const failed = awaitArguments(task, task.args, this.values)
    if (failed === null) return task.unresolved === 0
    this.fail(task, argumentFailure(task.name, task.args, failed, this.decodeError), now, out)
    return false
  }

  /** Before it is sent: an argument that was there may have been lost since. */
  private isReady(task: Task, now: Millis, out: Effect[]): boolean {
    if (!this.values.everLost || areSettled(task.args)) return true
    task.state = TASK.waiting
    return this.awaitAll(task, now, out)
  }

  /** One of its arguments has settled. */
  argumentSettled(task: Task, entry: Entry, now: Millis, out: Effect[]): void {
    if (task.state !== TASK.waiting) return
    if (entry.error !== null) this.fail(task, argumentFailure(task.name, task.args, entry, this.decodeError), now, out)
    else if (task.unresolved === 0) this.leases.enqueue(task, now, out)
  }

  replied(reply: TaskReply, now: Millis, out: Effect[]): void {
    const task = this.leases.answered(reply.from, reply.claim, reply.task, reply.status !== 'revoked', now)
    if (task !== null && (reply.status === 'ok' || reply.status === 'error')) measured(task.code, reply.bodyMs)
    if (task !== null && reply.status !== 'revoked') this.ended(task, reply, now, out)
    else if (reply.contained !== null) this.references.confirm(reply.from, reply.task)
    else if (task !== null) this.gaveBack(task, now, out)
    this.leases.refill(reply.from, now, out)
    this.endForced(reply.from, out)
  }

  /** A worker of another node has given back what it was asked for. */
  private gaveBack(task: Task, now: Millis, out: Effect[]): void {
    if (task.state === TASK.done) this.runOver(task, out)
    else if (task.cancelled) this.fail(task, cancelled(task, this.references.self), now, out)
    else this.leases.requeue(task, now, out)
  }

  cancel(task: Task, now: Millis, out: Effect[], options: { force: boolean; recursive: boolean }): void {
    if (task.state === TASK.done || task.cancelled) return
    task.cancelled = true
    const lane = task.lane
    if (task.state === TASK.queued) this.leases.remove(task)
    else if (task.state === TASK.sent && lane !== null) {
      task.forced = options.force
      this.leases.takeBack(lane, [task], out)
      if (!options.force)
        out.push({
          is: 'send',
          to: lane.workerId,
          message: { is: 'cancelTask', task: task.seq, force: false, recursive: options.recursive },
        })
      if (lane.isRemote) this.endForced(lane.workerId, out)
    }
    if (options.force && lane !== null) return
    this.fail(task, cancelled(task, this.references.self), now, out)
  }

  /**
   * Ends what does not go on when the job is over, unless somebody else has a ref to its results. What a body has submitted that runs still goes on
   * with that: its own result may be what somebody waits for, and it is ended by its owner otherwise.
   */
  jobOver(running: unknown, now: Millis, out: Effect[]): void {
    for (const task of [...this.pending.values()]) {
      if (task.outlivesJob || (running !== null && task.parent === running)) continue
      if (task.entries.some(entry => (entry.borrowers?.size ?? 0) > 0)) continue
      this.cancel(task, now, out, { force: true, recursive: true })
    }
  }

  /** Forced after a cancel that the body did not heed: the refs have failed already, but its worker is not free. */
  endCancelled(entry: Entry, out: Effect[]): void {
    const making = this.leases.workerMaking(entry)
    if (!making?.task.cancelled) return
    if (!this.leases.isRemote(making.worker)) return this.endWorker(making.task, making.worker, out)
    making.task.forced = true
    this.endForced(making.worker, out)
  }

  /**
   * Whether a worker of another node has begun a task is known once the task is the oldest there; then a forced cancel that was not
   * answered ends it.
   */
  private endForced(worker: WorkerId, out: Effect[]): void {
    const lane = this.leases.lanes.get(worker)
    if (lane === undefined || !lane.isRemote || lane.asking === 0) return
    const task = lane.oldest()
    if (!task?.forced) return
    task.forced = false
    this.endWorker(task, worker, out)
  }

  private endWorker(task: Task, workerId: WorkerId, out: Effect[]): void {
    out.push({
      is: 'send',
      to: this.leases.daemonOf(workerId),
      message: { is: 'killWorker', workerId, reason: `${task.name} was cancelled by force` },
    })
  }

  /** The shell tried to take a task back; a forced cancel that came too late for that ends the worker. */
  tookBack(task: Task, lane: Lane, ok: boolean, now: Millis, out: Effect[]): void {
    this.leases.tookBack(task, lane, ok, now, out)
    if (!task.cancelled) return
    if (task.state === TASK.done) {
      if (ok) this.runOver(task, out)
    } else if (ok) this.fail(task, cancelled(task, this.references.self), now, out)
    else if (task.lane === lane) this.endWorker(task, lane.workerId, out)
  }

  workerDied(worker: WorkerId, death: Death, begun: (claim: number) => boolean, now: Millis, out: Effect[]): void {
    const isRemote = this.leases.isRemote(worker)
    for (const task of this.leases.workerDied(worker)) {
      if (!isRemote && !begun(task.claim) && !task.cancelled) this.leases.requeue(task, now, out)
      else if (death.outOfMemory && task.state !== TASK.done && !task.cancelled) this.outOfMemory(task, death, now, out)
      else this.lostWorker(task, () => crashed(task, worker, death), now, out)
    }
  }

  /** All that was sent to its workers counts as begun. */
  nodeDied(nodeId: NodeId, why: string, now: Millis, out: Effect[]): void {
    for (const worker of this.leases.workersOf(nodeId)) {
      for (const task of this.leases.workerDied(worker)) {
        const error = () =>
          new NodeDiedError(
            `the node ${nodeId} died (${why}), and with it the worker ${worker} that ran ${task.name}; attempts: ${task.attempt + 1}`,
            { nodeId },
          )
        this.lostWorker(task, error, now, out)
      }
    }
  }

  /** Its worker is gone, and had begun it as far as anybody knows. */
  private lostWorker(task: Task, error: () => Error, now: Millis, out: Effect[]): void {
    if (task.state === TASK.done) this.runOver(task, out)
    else if (task.cancelled) this.fail(task, cancelled(task, this.references.self), now, out)
    else if (task.retriesLeft !== 0) this.retry(task, now, out)
    else this.fail(task, error(), now, out)
  }

  private outOfMemory(task: Task, death: Death, now: Millis, out: Effect[]): void {
    if (task.memoryRetries < task.memoryRetriesMax) this.pause(task, now)
    else this.fail(task, outOfMemory(task, death), now, out)
  }

  /** Runs those again whose pause is over. */
  tick(now: Millis, out: Effect[]): void {
    for (const task of this.pausing) {
      if (now < (task.retryAt as Millis)) continue
      this.pausing.delete(task)
      task.retryAt = null
      this.leases.requeue(task, now, out)
    }
  }

  deadline(): Millis | null {
    let soonest: Millis | null = null
    for (const { retryAt } of this.pausing) if (soonest === null || (retryAt as Millis) < soonest) soonest = retryAt
    return soonest
  }

  unplaceable({ classKey, message, groupRemoved }: Unplaceable, now: Millis, out: Effect[]): void {
    for (const task of this.leases.unplaceable(classKey, out)) {
      const why = `${task.name} cannot be scheduled: ${message}`
      this.fail(task, groupRemoved ? new PlacementGroupRemovedError(why) : new TaskUnschedulableError(why), now, out)
    }
  }

  environmentBroken(classKey: string, field: string, message: string, now: Millis, out: Effect[]): void {
    for (const task of this.leases.unplaceable(classKey, out)) {
      this.fail(task, new RuntimeEnvError(describeFailure(task.name, field, message)), now, out)
    }
  }

  fail(task: Task, error: Error, now: Millis, out: Effect[]): void {
    this.finish(task, now, out, () => ({ form: 'failed', error }), null)
  }

  invariants(): void {
    for (const task of this.pending.values()) {
      assert(task.state !== TASK.done, 'a done task is pending')
      assert((task.state === TASK.sent) === (task.lane !== null) || task.cancelled, 'a sent task has no lane, or a waiting one has')
      assert((task.retryAt !== null) === this.pausing.has(task), 'a task that pauses is not among those that do')
      for (const entry of task.entries)
        assert(entry.task === task || entry.settled || entry.dropped || entry.state === STATE.released, 'an entry forgot its task')
    }
  }

  private ended(task: Task, reply: TaskReply, now: Millis, out: Effect[]): void {
    if (task.state === TASK.done) {
      this.runOver(task, out)
      if (reply.contained !== null) this.references.confirm(reply.from, reply.task)
      return
    }
    if (reply.status === 'error' && reply.retry && task.retriesLeft !== 0 && !task.cancelled) {
      this.retry(task, now, out)
      return
    }
    if (reply.status === 'cancelled') {
      this.fail(task, cancelled(task, this.references.self), now, out)
      return
    }
    if (reply.status === 'ok' && reply.results.length !== task.entries.length) {
      this.fail(
        task,
        new WireError(`${task.name} was answered with ${reply.results.length} results instead of ${task.entries.length}`),
        now,
        out,
      )
      return
    }
    if (reply.contained !== null) {
      task.entries.forEach((entry, i) => {
        const refs = reply.contained?.[i]
        if (refs !== undefined && refs.length > 0 && !entry.settled) this.values.contain(entry, refs)
      })
      this.references.confirm(reply.from, reply.task)
    }
    this.finish(task, now, out, i => reply.results[reply.status === 'ok' ? i : 0] as Outcome, reply)
  }

  private retry(task: Task, now: Millis, out: Effect[]): void {
    if (task.retriesLeft > 0) task.retriesLeft--
    task.attempt++
    this.leases.requeue(task, now, out)
  }

  /** Not at once: what filled the memory is likely to be there still, and may be others of its kind. */
  private pause(task: Task, now: Millis): void {
    const [first, longest] = limits.memoryRetryMs
    task.retryAt = now + Math.min(longest, first * 2 ** task.memoryRetries)
    task.memoryRetries++
    task.attempt++
    task.state = TASK.waiting
    this.pausing.add(task)
  }

  /** A task that was done already, because it was cancelled while sent, is with no worker any more. */
  private runOver(task: Task, out: Effect[]): void {
    for (const { seq } of task.entries) this.values.discard(seq, task.wentAway, out)
    this.letGo(task, out)
  }

  /** Of what it held; how it made what is in the store is kept. */
  private letGo(task: Task, out: Effect[]): void {
    if (!this.lineage.keep(task, out)) this.references.unholdAll(task.held, out)
  }

  private finish(task: Task, now: Millis, out: Effect[], outcome: (i: number) => Outcome, reply: TaskReply | null): void {
    assert(task.state !== TASK.done, `task ${task.seq} ended twice`)
    assert(
      reply === null || reply.status !== 'ok' || reply.results.length === task.entries.length,
      'a reply with another number of results',
    )
    task.state = TASK.done
    this.pending.delete(task.seq)
    if (task.retryAt !== null) this.pausing.delete(task)
    for (let i = 0; i < task.entries.length; i++) {
      const entry = task.entries[i] as Entry
      settleAgain(task, entry, outcome(i), this.values, this.decodeError, out)
      if (task.attempt > 0 || entry.error !== null) this.values.discard(entry.seq, task.wentAway, out)
      // One that fails as it is submitted: its refs are only about to be made.
      if (entry.unreferenced && task.submitted) this.references.maybeDrop(entry, out)
    }
    // A cancelled one may run on, and needs its arguments until its answer says that it is over.
    if (task.lane === null) this.letGo(task, out)
    task.remaking = null
    this.finished.push({
      seq: task.seq,
      name: task.name,
      attempt: task.attempt,
      workerId: task.workerId,
      error: this.failureOf(task),
      submittedAt: task.submittedAt,
      endedAt: now,
    })
    if (this.finished.length > 2 * limits.finishedTasksKept) this.finished.splice(0, limits.finishedTasksKept)
  }

  private failureOf(task: Task): string | null {
    const error = task.entries[0]?.error ?? null
    if (error === null) return null
    return (error instanceof Uint8Array ? this.decodeError(error) : error).message
  }
}

function cancelled(task: Task, owner: WorkerId): Error {
  return new TaskCancelledError(`${task.name} was cancelled`, { taskId: objectId(owner, task.seq) })
}

function outOfMemory(task: Task, death: Death): Error {
  const what = 'Ask for memoryBytes, run fewer at a time, or use smaller pieces'
  return new OutOfMemoryError(`${task.name} was ended: ${death.reason}; attempts: ${task.attempt + 1}. ${what}`)
}

function crashed(task: Task, worker: WorkerId, death: Death): Error {
  return new WorkerCrashedError(`the worker ${worker} that ran ${task.name} died${describeDeath(death)}; attempts: ${task.attempt + 1}`, {
    exitCode: death.exitCode,
    signal: death.signal,
    stderrTail: death.stderrTail,
  })
}

/** " (signal SIGKILL)" or " (exit code 7): last lines". */
export function describeDeath(death: Death): string {
  const how = death.reason ?? (death.signal !== null ? `signal ${death.signal}` : `exit code ${death.exitCode}`)
  return ` (${how})${death.stderrTail === '' ? '' : `; its last output was:\n${death.stderrTail}`}`
}
