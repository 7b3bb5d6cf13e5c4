// SPDX-License-Identifier: Apache-2.0
// Leases: the right to send tasks of one scheduling class to one worker. The owner tells the node how many more workers a
// class could use, and pipelines tasks to those it is granted. A pipelined task that has not begun can be taken back at any
// time, so a deep pipeline never holds a task behind a slow one: an idle lane takes work from the longest.
//
// A worker of another node has to be asked for that and answers between two tasks, so the pipeline to it is only as deep as
// hides the way there. When it dies nobody knows what it had begun: all it was sent counts as begun.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { Grant, NodeId, Reclaim, SchedulingClass, Spill, WantRefused, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import { ClassQueue } from './class-queue.js'
import type { Effect } from './effects.js'
import type { Entry } from './entry.js'
import { Lane } from './lane.js'
import { Locality } from './locality.js'
import { Share } from './share.js'
import { TASK, type Task } from './task.js'

export class Leases {
  readonly classes = new Map<string, ClassQueue>()
  readonly lanes = new Map<WorkerId, Lane>()
  /** Asked before a task is sent; one that is not stays out of the queue. */
  isReady: (task: Task, now: Millis, out: Effect[]) => boolean = () => true

  private readonly locality: Locality
  private readonly share = new Share()

  constructor(private readonly node: WorkerId) {
    this.locality = new Locality(nodeOf(node))
  }

  classQueue(scheduling: SchedulingClass): ClassQueue {
    let queue = this.classes.get(scheduling.key)
    if (queue === undefined) this.classes.set(scheduling.key, (queue = new ClassQueue(scheduling, this.node)))
    return queue
  }

  enqueue(task: Task, now: Millis, out: Effect[]): void {
    // Most tasks have no refs among their arguments, and pay nothing for this.
    if (!(task.args instanceof Uint8Array)) task.scheduling = this.locality.classOf(task)
    const queue = this.classQueue(task.scheduling)
    task.state = TASK.queued
    queue.push(task)
    this.pump(queue, now, out)
  }

  /** It goes again, before those that wait since later. */
  requeue(task: Task, now: Millis, out: Effect[]): void {
    const queue = this.classQueue(task.scheduling)
    task.state = TASK.queued
    queue.unshift(task)
    this.pump(queue, now, out)
  }

  remove(task: Task): boolean {
    return this.classes.get(task.scheduling.key)?.remove(task) ?? false
  }

  granted(daemon: WorkerId, grant: Grant, now: Millis, out: Effect[]): void {
    const queue = this.classes.get(grant.classKey)
    queue?.wants.granted(daemon)
    if (queue === undefined || queue.length + queue.want === 0) {
      out.push({ is: 'send', to: daemon, message: { is: 'leaseReturn', leaseId: grant.leaseId, retire: false } })
      return
    }
    let lane = this.lanes.get(grant.workerId)
    if (lane === undefined) this.lanes.set(grant.workerId, (lane = new Lane(grant.workerId, this.isRemote(grant.workerId))))
    assert(lane.leaseId === 0, 'a worker was granted twice')
    lane.leaseId = grant.leaseId
    lane.daemon = daemon
    lane.gpuIds = grant.gpuIds
    lane.queue = queue
    lane.announced = lane.blocked = lane.returning = false
    lane.calls = 0
    lane.grantedAt = lane.idleSince = now
    queue.lanes.push(lane)
    this.pump(queue, now, out, lane)
    if (lane.outstanding === 0) this.steal(queue, out)
  }

  /** A worker answered for a claim word; `ran`: it says how a task ended. Gives the task that the word was of, if it was one's. */
  answered(worker: WorkerId, claim: number, seq: number, ran: boolean, now: Millis): Task | null {
    const lane = this.lanes.get(worker)
    if (lane === undefined) return null
    const task = lane.answered(claim, seq)
    if (task !== null && ran) {
      lane.blocked = false
      if (lane.isRemote) lane.measure(now)
    }
    if (lane.outstanding === 0) lane.idleSince = now
    return task
  }

  /** After `answered`: uses the room there is now. */
  refill(worker: WorkerId, now: Millis, out: Effect[]): void {
    const lane = this.lanes.get(worker)
    if (lane === undefined || lane.queue === null) return
    const queue = lane.queue
    if (lane.outstanding === 0 && (lane.returning || this.isSpent(lane))) this.giveBack(lane, out)
    const waiting = queue.length > 0
    this.pump(queue, now, out, lane)
    if (!waiting && lane.outstanding === 0 && queue.lanes.length > 1 && lane.leaseId !== 0) this.steal(queue, out)
  }

  /** The shell tried to take a task back. */
  tookBack(task: Task, lane: Lane, ok: boolean, now: Millis, out: Effect[]): void {
    if (!ok || task.lane !== lane) return
    lane.tookBack(task)
    if (lane.queue !== null) lane.queue.full = null
    if (lane.outstanding === 0) lane.idleSince = now
    if (!task.cancelled) this.requeue(task, now, out)
    if (lane.outstanding === 0 && lane.queue !== null && (lane.returning || this.isSpent(lane))) {
      const { queue } = lane
      this.giveBack(lane, out)
      this.pump(queue, now, out)
    }
  }

  /** The worker that may still be in the body of the task that makes `entry`; null when none is. */
  workerMaking(entry: Entry): { worker: WorkerId; task: Task } | null {
    for (const lane of this.lanes.values()) {
      const task = lane.making(entry)
      if (task !== null) return { worker: lane.workerId, task }
    }
    return null
  }

  laneBlocked(worker: WorkerId, leaseId: number, out: Effect[]): void {
    const lane = this.lanes.get(worker)
    if (lane === undefined || lane.leaseId !== leaseId) return
    lane.blocked = true
    this.takeBack(lane, lane.newestFirst(), out)
  }

  /** Another node is to be asked for some of the workers that were wanted of the own one. */
  spilled({ classKey, to, counts }: Spill, out: Effect[]): void {
    const queue = this.classes.get(classKey)
    queue?.wants.spilled(to, counts, queue.taskName, out)
  }

  refused(daemon: WorkerId, { classKey, count }: WantRefused, out: Effect[]): void {
    const queue = this.classes.get(classKey)
    queue?.wants.refused(daemon, count, queue.taskName, out)
  }

  nodeDied(nodeId: NodeId, out: Effect[]): void {
    for (const queue of this.classes.values()) queue.wants.nodeDied(nodeId, queue.taskName, out)
  }

  /** The daemon of that worker's node; of one never leased, the own. */
  daemonOf(worker: WorkerId): WorkerId {
    return this.lanes.get(worker)?.daemon ?? this.node
  }

  /**
   * Others wait on that node: as many leases go back as they lack and this owner has more than they. Idle ones at once; of those that have
   * had their turn, the first on which what runs has ended.
   */
  reclaim(daemon: WorkerId, { classKey, count, held, must }: Reclaim, now: Millis, out: Effect[]): void {
    const queue = this.classes.get(classKey)
    if (queue === undefined) return
    const lanes = queue.lanes.filter(lane => lane.daemon === daemon)
    let lacking = count
    for (const lane of lanes) {
      if (lacking === 0 || lane.outstanding > 0) continue
      lacking--
      this.giveBack(lane, out)
    }
    // A lane whose task waits in get has lent its CPU: it would bring nobody anything.
    const ripe = lanes.filter(lane => lane.leaseId !== 0 && !lane.blocked && now - lane.grantedAt >= limits.leaseQuantumMs)
    if (lacking <= queue.owedTo(daemon)) queue.owe(daemon, lacking)
    else this.promise(queue, daemon, Math.min(lacking, ripe.length), { held, must }, now, out)
    // All that have had their turn by now, since nobody knows which ends first; the others go on then.
    if (queue.owedTo(daemon) > 0) for (const lane of ripe) this.prepareReturn(lane, out)
    this.pump(queue, now, out)
  }

  /** Says how many leases go back, of `most` that others lack and that have had their turn. */
  private promise(
    queue: ClassQueue,
    daemon: WorkerId,
    most: number,
    who: Pick<Reclaim, 'held' | 'must'>,
    now: Millis,
    out: Effect[],
  ): void {
    const owed = queue.owedTo(daemon)
    const mine = Math.max(0, this.held - this.owed)
    const given = most <= owed ? 0 : this.share.toGive(most - owed, who, mine, now)
    if (given === 0) return
    queue.owe(daemon, given === null ? 0 : owed + given)
    const held = Math.max(0, mine - (given ?? 0))
    out.push({ is: 'send', to: daemon, message: { is: 'yields', classKey: queue.scheduling.key, count: queue.owedTo(daemon), held } })
  }

  private prepareReturn(lane: Lane, out: Effect[]): void {
    if (lane.leaseId === 0 || lane.returning) return
    lane.returning = true
    this.takeBack(lane, lane.newestFirst(), out)
  }

  /** This process is about to end. */
  giveBackIdle(out: Effect[]): void {
    for (const lane of this.lanes.values()) if (lane.leaseId !== 0 && lane.outstanding === 0) this.giveBack(lane, out)
  }

  /** Leases on which tasks can go on, of all classes. */
  private get held(): number {
    let held = 0
    for (const queue of this.classes.values()) held += queue.held
    return held
  }

  /** Those that are to go back. */
  private get owed(): number {
    let owed = 0
    for (const queue of this.classes.values()) owed += queue.owedInAll
    return owed
  }

  /**
   * Tries to take tasks back that the worker has not begun. Of this node: at once, and `tookBack` says how it went. Of another: it is
   * asked, and answers for each that it gives back.
   */
  takeBack(lane: Lane, tasks: Task[], out: Effect[]): void {
    if (!lane.isRemote) {
      for (const task of tasks) out.push({ is: 'revoke', task, lane })
      return
    }
    const claims = tasks.filter(task => lane.ask(task)).map(task => task.claim)
    if (claims.length > 0) out.push({ is: 'send', to: lane.workerId, message: { is: 'takeBack', claims } })
  }

  isRemote(worker: WorkerId): boolean {
    return nodeOf(worker) !== nodeOf(this.node)
  }

  /** Those of a node that have a lane here. */
  workersOf(nodeId: NodeId): WorkerId[] {
    return [...this.lanes.keys()].filter(worker => nodeOf(worker) === nodeId)
  }

  /** Gives the tasks that were on the dead worker's lane. */
  workerDied(worker: WorkerId): Task[] {
    const lane = this.lanes.get(worker)
    if (lane === undefined) return []
    this.lanes.delete(worker)
    this.detach(lane)
    return lane.abandon()
  }

  /** A class that cannot be placed: gives the tasks that waited for it. */
  unplaceable(classKey: string, out: Effect[]): Task[] {
    const queue = this.classes.get(classKey)
    if (queue === undefined) return []
    queue.wants.forget(out)
    return queue.drain()
  }

  flush(out: Effect[]): void {
    let all = -1
    for (const [key, queue] of this.classes) {
      // A program may have as many classes as it makes placement groups.
      if (queue.isIdle) this.classes.delete(key)
      const want = Math.min(limits.wantMax, queue.want)
      const wanted = queue.wants.total
      if (want === 0 && wanted === 0) continue
      if (all < 0) all = this.held
      const held = queue.held === 0 ? 0 : all
      if (want !== wanted && (want === 0 || want >= 2 * wanted)) queue.wants.set(want, held, queue.taskName, out)
      // Who is asked again for what it has just granted grants it twice: too much for who takes turns.
      else if (!queue.inTurn) {
        queue.wants.holds(held, queue.taskName, out)
        if (queue.scheduling.where === null) queue.wants.again(want, queue.taskName, out)
      }
    }
  }

  tick(now: Millis, out: Effect[]): void {
    for (const lane of this.lanes.values()) {
      if (lane.leaseId !== 0 && lane.outstanding === 0 && now - lane.idleSince >= limits.leaseIdleMs) this.giveBack(lane, out)
    }
  }

  deadline(): Millis | null {
    let soonest: Millis | null = null
    for (const lane of this.lanes.values()) {
      if (lane.leaseId === 0 || lane.outstanding > 0) continue
      const due = lane.idleSince + limits.leaseIdleMs
      if (soonest === null || due < soonest) soonest = due
    }
    return soonest
  }

  invariants(): void {
    for (const queue of this.classes.values()) {
      queue.invariants()
      const task = queue.peek()
      if (task !== undefined && queue.isFullFor(task))
        assert(this.best(queue, queue.lanes, task, queue.fullAt) === null, 'a full class has a lane with room')
    }
    for (const lane of this.lanes.values()) {
      lane.invariants()
      assert((lane.leaseId !== 0) === (lane.queue?.lanes.includes(lane) ?? false), 'a lane and its class disagree')
    }
  }

  /** Spreads queued tasks over the lanes with room, the least loaded first. `lane`: that one may have room since all were looked at. */
  private pump(queue: ClassQueue, now: Millis, out: Effect[], lane: Lane | null = null): void {
    for (let task = queue.peek(); task !== undefined; task = queue.peek()) {
      const best = queue.isFullFor(task) ? this.best(queue, lane === null ? [] : [lane], task, now) : this.bestOfAll(queue, task, now)
      if (best === null) {
        queue.fullAt = now
        // That lane may have room for others still.
        if (lane !== null && task.retriesLeft === 0) queue.full = 'once'
        return
      }
      queue.shift()
      if (task.cancelled || !this.isReady(task, now, out)) continue
      best.send(task, now)
      if (best.isRemote) task.wentAway = true
      out.push({ is: 'dispatch', task, lane: best })
    }
    queue.full = null
  }

  private bestOfAll(queue: ClassQueue, task: Task, now: Millis): Lane | null {
    const best = this.best(queue, queue.lanes, task, now)
    queue.full = best !== null ? null : task.retriesLeft === 0 ? 'once' : 'any'
    return best
  }

  private best(queue: ClassQueue, lanes: readonly Lane[], task: Task, now: Millis): Lane | null {
    let best: Lane | null = null
    for (const lane of lanes) {
      const depth = queue.isShallow ? 1 : lane.isRemote ? remoteDepth(lane, task) : limits.pipelineDepthMax
      if (lane.room(depth, now) && !this.isSpent(lane) && (best === null || lane.outstanding < best.outstanding)) best = lane
    }
    return best
  }

  /** An idle lane and an empty queue: take back the newer half of what the longest lane has not begun. */
  private steal(queue: ClassQueue, out: Effect[]): void {
    let longest: Lane | null = null
    for (const lane of queue.lanes) {
      const waiting = lane.outstanding - lane.asking
      if (waiting > 1 && (longest === null || waiting > longest.outstanding - longest.asking)) longest = lane
    }
    if (longest === null) return
    const waiting = longest.newestFirst()
    // The oldest of them first, since the idle lane gets them in that order.
    this.takeBack(longest, waiting.slice(0, Math.ceil((waiting.length - 1) / 2)).reverse(), out)
  }

  /** No task is sent to it any more. */
  private isSpent(lane: Lane): boolean {
    return this.wornOut(lane) || (lane.calls > 0 && lane.queue?.inTurn === true)
  }

  private wornOut(lane: Lane): boolean {
    if (lane.queue === null || lane.calls === 0) return false
    return lane.queue.scheduling.freshWorker || (lane.queue.scheduling.maxCalls > 0 && lane.calls >= lane.queue.scheduling.maxCalls)
  }

  private giveBack(lane: Lane, out: Effect[]): void {
    const retire = this.wornOut(lane)
    out.push({ is: 'send', to: lane.daemon, message: { is: 'leaseReturn', leaseId: lane.leaseId, retire } })
    this.detach(lane)
  }

  private detach(lane: Lane): void {
    const lanes = lane.queue?.lanes
    const at = lanes?.indexOf(lane) ?? -1
    if (at >= 0) lanes?.splice(at, 1)
    lane.queue?.owe(lane.daemon, lane.queue.owedTo(lane.daemon) - 1)
    lane.queue = null
    lane.leaseId = 0
  }
}

/**
 * As many as keep a worker busy while an answer and the next task are on their way. One that may run only once is sent to an idle worker
 * alone: behind another it would count as begun when that one ends the worker.
 */
function remoteDepth(lane: Lane, task: Task): number {
  if (task.retriesLeft === 0) return 1
  if (lane.taskMs === null) return limits.remoteDepthFirst
  return Math.min(limits.pipelineDepthMax, 1 + Math.ceil(limits.remoteAheadMs / Math.max(lane.taskMs, 1e-3)))
}
