// SPDX-License-Identifier: Apache-2.0
// The owner: what every driver and worker is for the tasks it submits and the objects it makes. A table of contents:
// each event goes to the machine that decides it.

import { ObjectFreedError, OwnerDiedError } from '../../errors.js'
import { objectId, ownerOf, seqOf } from '../../ids.js'
import type { Control, Death, NodeId, WorkerId } from '../../wire/messages.js'
import type { Machine, Millis } from '../machine.js'
import { Actor, ActorCall, ActorCalls } from './actor-calls.js'
import { releaseDependents } from './arguments.js'
import type { Effect } from './effects.js'
import { Entry, STATE } from './entry.js'
import type { Lane } from './lane.js'
import { Leases } from './leases.js'
import { Lineage } from './lineage.js'
import { Locations } from './locations.js'
import type { ContainedRef, Outcome } from './outcome.js'
import { Recovery } from './recovery.js'
import { References } from './references.js'
import { Task } from './task.js'
import { describeDeath, type TaskReply, Tasks } from './tasks.js'
import { Values } from './values.js'

export type OwnerEvent =
  | { is: 'submit'; task: Task }
  | { is: 'call'; call: ActorCall; pendingMax: number }
  | TaskReply
  | { is: 'value'; from: WorkerId; seq: number; outcome: Outcome }
  | { is: 'message'; from: WorkerId; message: Control }
  | { is: 'revoked'; task: Task; lane: Lane; ok: boolean }
  | { is: 'cancel'; entry: Entry; force: boolean; recursive: boolean }
  | { is: 'cancelChildren'; parent: unknown }
  /** A value that no task makes is there. */
  | { is: 'settle'; entry: Entry; outcome: Outcome }
  /** `begun`: whether the worker had claimed the task behind a claim word when it died. */
  | { is: 'workerDied'; workerId: WorkerId; death: Death; begun: (claim: number) => boolean }
  /** With all its processes and all copies of objects there. */
  | { is: 'nodeDied'; nodeId: NodeId; why: string }
  /** No copy is left of an object of this process that was in the store. */
  | { is: 'lost'; entry: Entry; why: string }
  /** This process ends once nobody needs it: what it has and does not use goes back. */
  | { is: 'leaving' }
  /** The job of this worker is over. `running`: the parent whose body runs still; null for none. */
  | { is: 'jobOver'; running: unknown }
  /** Everything of this turn has been handled: send what has gathered. */
  | { is: 'flush' }
  | { is: 'tick' }

/** How an object can come to be nowhere. */
const COPIES_LOST =
  'no node has a copy of it any more (a node that had it died, or something deleted it behind the back of its owner, such as a program that opened the store through eagleray/store)'

export class Owner implements Machine<OwnerEvent, Effect> {
  readonly references: References
  readonly values: Values
  readonly locations: Locations
  readonly leases: Leases
  readonly tasks: Tasks
  readonly calls: ActorCalls
  readonly lineage: Lineage
  readonly recovery: Recovery
  private lastSeq = 0

  constructor(
    readonly self: WorkerId,
    readonly node: WorkerId,
    decodeError: (bytes: Uint8Array) => Error,
  ) {
    this.references = new References(self, node)
    this.values = new Values(this.references)
    this.locations = new Locations(this.references, this.values, (entry, now, out) => this.recovery.lost(entry, COPIES_LOST, now, out))
    this.leases = new Leases(node)
    this.lineage = new Lineage(this.references)
    this.tasks = new Tasks(this.references, this.values, this.leases, this.lineage, decodeError)
    this.calls = new ActorCalls(this.references, this.values, this.lineage, node, decodeError)
    this.recovery = new Recovery(this.references, this.values, this.lineage, this.tasks, this.calls)
  }

  /** Reserves `count` sequence numbers and gives the first. */
  nextSeq(count: number): number {
    const seq = this.lastSeq + 1
    this.lastSeq += Math.max(1, count)
    return seq
  }

  /** An object that `put` has sealed in the store. */
  stored(seq: number, sizeBytes: number, contained: ContainedRef[] | null): Entry {
    const entry = new Entry(null, seq, false)
    entry.state = STATE.stored
    entry.sizeBytes = sizeBytes
    this.references.owned.set(seq, entry)
    if (contained !== null) this.values.contain(entry, contained)
    return entry
  }

  /** An object whose value no task makes: `settle` gives it one. */
  promised(): Entry {
    const entry = new Entry(null, this.nextSeq(1), false)
    this.references.owned.set(entry.seq, entry)
    return entry
  }

  /** The entry that counts the handles of an actor created here. */
  actorEntry(seq: number): Entry {
    const entry = new Entry(null, seq, true)
    this.references.owned.set(seq, entry)
    return entry
  }

  handle(event: OwnerEvent, now: Millis, out: Effect[]): void {
    const start = out.length
    switch (event.is) {
      case 'submit':
        this.tasks.submit(event.task, now, out)
        break
      case 'call':
        this.calls.submit(event.call, event.pendingMax, out)
        break
      case 'reply':
        this.tasks.replied(event, now, out)
        break
      case 'value':
        this.valueCame(event.from, event.seq, event.outcome, out)
        break
      case 'message':
        this.message(event.from, event.message, now, out)
        break
      case 'revoked':
        this.tasks.tookBack(event.task, event.lane, event.ok, now, out)
        break
      case 'cancel':
        this.cancel(event.entry, event, now, out)
        break
      case 'settle':
        this.values.settle(event.entry, event.outcome, out)
        break
      case 'cancelChildren':
        for (const task of [...this.tasks.pending.values()])
          if (task.parent === event.parent) this.tasks.cancel(task, now, out, { force: false, recursive: true })
        for (const call of [...this.calls.pending()]) if (call.parent === event.parent) this.calls.cancel(call, out, { recursive: true })
        break
      case 'workerDied':
        this.workerDied(event.workerId, event.death, event.begun, now, out)
        break
      case 'nodeDied':
        this.nodeDied(event.nodeId, event.why, now, out)
        break
      case 'lost':
        this.recovery.lost(event.entry, event.why, now, out)
        break
      case 'leaving':
        this.leases.giveBackIdle(out)
        break
      case 'jobOver':
        this.tasks.jobOver(event.running, now, out)
        break
      case 'flush':
        this.flush(out)
        break
      case 'tick':
        this.leases.tick(now, out)
        this.tasks.tick(now, out)
        break
    }
    this.settle(start, now, out)
  }

  /** What follows from values that came, and from those that are wanted again. */
  private settle(start: number, now: Millis, out: Effect[]): void {
    const { wanted } = this.values
    for (let i = start; i < out.length || wanted.length > 0; ) {
      const effect = out[i]
      if (effect === undefined) this.recovery.want(wanted.pop() as Entry, now, out)
      else {
        i++
        if (effect.is === 'settled') this.ended(effect.entry, now, out)
      }
    }
  }

  /** An actor's reply (no lane, no claim word). */
  callReplied(reply: Omit<TaskReply, 'is' | 'claim' | 'bodyMs'>, now: Millis, out: Effect[]): void {
    const start = out.length
    this.calls.replied(reply, out)
    this.settle(start, now, out)
  }

  /** One ref of this process less (it was collected or disposed). */
  unref(entry: Entry, out: Effect[]): void {
    this.references.unref(entry, out)
  }

  deadline(): Millis | null {
    const [leases, tasks] = [this.leases.deadline(), this.tasks.deadline()]
    return leases === null ? tasks : tasks === null ? leases : Math.min(leases, tasks)
  }

  invariants(): void {
    this.references.invariants()
    this.locations.invariants()
    this.leases.invariants()
    this.tasks.invariants()
    this.calls.invariants()
    this.lineage.invariants()
  }

  /** Nothing pending, nothing kept, nothing to send: what a program that dropped everything must reach. */
  get atRest(): boolean {
    return (
      this.tasks.pending.size + this.calls.pendingCount + this.references.owned.size + this.references.borrowed.size === 0 &&
      this.references.quiet
    )
  }

  /** Whether others need this process to live: they hold what it owns, or it waits for what it has asked for. */
  get needed(): boolean {
    if (this.tasks.pending.size > 0 || this.calls.pendingCount > 0 || this.references.promises) return true
    for (const entry of this.references.owned.values()) if (entry.holds > 0 || (entry.borrowers?.size ?? 0) > 0) return true
    return false
  }

  private message(from: WorkerId, message: Control, now: Millis, out: Effect[]): void {
    switch (message.is) {
      case 'grant':
        return this.leases.granted(from, message, now, out)
      case 'reclaim':
        return this.leases.reclaim(from, message, now, out)
      case 'spill':
        return this.leases.spilled(message, out)
      case 'wantRefused':
        return this.leases.refused(from, message, out)
      case 'unplaceable':
        return this.tasks.unplaceable(message, now, out)
      case 'envBroken':
        return this.tasks.environmentBroken(message.classKey, message.field, message.message, now, out)
      case 'leaseBlocked':
        return this.leases.laneBlocked(from, message.leaseId, out)
      case 'borrow':
        out.push({ is: 'send', to: from, message: { is: 'borrowed', ack: message.ack, missing: this.references.lend(from, message.seqs) } })
        return
      case 'borrowed':
        for (const entry of this.references.answered(from, message.ack, message.missing, out).gone) this.lost(entry, out)
        return
      case 'adopted':
        return this.adopted(from, message.ack, message.missing, out)
      case 'unborrow':
        return this.references.returned(from, message.seqs, out)
      case 'returnsHeld':
        return this.references.callerHolds(from, message.tasks, out)
      case 'fetch':
        return this.values.fetched(from, message.seqs, out)
      case 'locate':
        return this.locations.locate(from, message.seqs, now, out)
      case 'copyAdded':
        return this.locations.added(from, message.seqs, out)
      case 'copiesHeld':
        return this.locations.held(from, message.seqs, out)
      case 'copyStopped':
        return this.locations.stopped(from, message.seqs)
      case 'copyMissing':
        return this.locations.missing(from, message, now, out)
      case 'actorState': {
        const { actors, named } = this.calls
        const { actorId, view } = message
        const told = [actors.get(actorId), named.get(actorId)].filter(actor => actor !== undefined)
        // Of several handles that stand for one actor any may hear first that it lives: calls made by those before go first.
        const all = view.phase === 'alive' && view.name !== null ? this.calls.sameActor(view.actorId, told) : told
        for (const actor of all) this.calls.changed(actor, view, out)
        return
      }
      case 'cancelObject': {
        const entry = this.references.owned.get(message.seq)
        if (entry !== undefined) this.cancel(entry, message, now, out)
        return
      }
      default:
        return
    }
  }

  private valueCame(from: WorkerId, seq: number, outcome: Outcome, out: Effect[]): void {
    const entry = this.references.borrowed.get(from)?.get(seq)
    if (entry !== undefined) this.values.settle(entry, outcome, out)
  }

  private cancel(entry: Entry, options: { force: boolean; recursive: boolean }, now: Millis, out: Effect[]): void {
    if (entry.owner !== null) {
      const { force, recursive } = options
      out.push({ is: 'send', to: entry.owner, message: { is: 'cancelObject', seq: entry.seq, force, recursive } })
      return
    }
    if (entry.task instanceof Task) this.tasks.cancel(entry.task, now, out, options)
    else if (entry.task instanceof ActorCall) this.calls.cancel(entry.task, out, options)
    else if (options.force) this.tasks.endCancelled(entry, out)
  }

  private workerDied(worker: WorkerId, death: Death, begun: (claim: number) => boolean, now: Millis, out: Effect[]): void {
    this.tasks.workerDied(worker, death, begun, now, out)
    this.ownerDied(worker, new OwnerDiedError(`the process ${worker} that owned it died${describeDeath(death)}`), out)
    this.mourn(worker, out)
  }

  private ownerDied(worker: WorkerId, why: OwnerDiedError, out: Effect[]): void {
    this.values.ownerDied(worker)
    this.references.died(worker, why, out)
  }

  /** What its daemon has to say of objects whose owner is dead. */
  private adopted(from: WorkerId, ack: number, missing: number[], out: Effect[]): void {
    const { gone, kept } = this.references.answered(from, ack, missing, out)
    for (const entry of kept) if (!entry.settled) this.values.settle(entry, { form: 'stored', sizeBytes: 0 }, out)
    for (const entry of gone) {
      const id = objectId(entry.owner as WorkerId, entry.seq)
      const why = this.references.deathOf(entry.owner as WorkerId)?.message ?? 'its owner died'
      this.values.lose(entry, new OwnerDiedError(`the object ${id} is lost, and no store has a copy: ${why}`, { objectId: id }), out)
    }
  }

  /** Its daemon keeps what was there until it hears this. */
  private mourn(id: WorkerId | NodeId, out: Effect[]): void {
    this.references.flush(out)
    out.push({ is: 'send', to: this.node, message: { is: 'mourned', id } })
  }

  private nodeDied(nodeId: NodeId, why: string, now: Millis, out: Effect[]): void {
    this.locations.nodeDied(nodeId, now, out)
    this.leases.nodeDied(nodeId, out)
    this.tasks.nodeDied(nodeId, why, now, out)
    const error = new OwnerDiedError(`the process that owned it was on the node ${nodeId}, which died: ${why}`)
    for (const worker of this.references.nodeDied(nodeId, error)) this.ownerDied(worker, error, out)
    this.mourn(nodeId, out)
  }

  private lost(entry: Entry, out: Effect[]): void {
    if (entry.isActor || entry.settled) return
    const id = objectId(entry.owner as WorkerId, entry.seq)
    this.values.settle(
      entry,
      { form: 'failed', error: new ObjectFreedError(`the object ${id} was freed before this process could borrow it`, { objectId: id }) },
      out,
    )
  }

  private ended(entry: Entry, now: Millis, out: Effect[]): void {
    if (entry.dependents !== null) this.release(entry, now, out)
    this.locations.settled(entry, out)
  }

  private release(entry: Entry, now: Millis, out: Effect[]): void {
    for (const dependent of releaseDependents(entry)) {
      if (dependent instanceof Task) this.tasks.argumentSettled(dependent, entry, now, out)
      else this.calls.argumentSettled(dependent, entry, out)
    }
  }

  private flush(out: Effect[]): void {
    this.references.flush(out)
    this.values.flush((to, message) => out.push({ is: 'send', to, message }))
    this.leases.flush(out)
  }

  /** The actor's record in this process; made when it is met first. */
  actor(actorId: string, counted: boolean, className: string, ordered: boolean): Actor {
    const { actors, named } = this.calls
    const known = actors.get(actorId) ?? (counted ? undefined : named.get(actorId))
    if (known !== undefined) return known
    const actor = new Actor(actorId, counted ? this.actorRef(actorId) : null, className, ordered)
    actor.view = named.get(actorId)?.view ?? null
    const table = counted ? actors : named
    table.set(actorId, actor)
    return actor
  }

  private actorRef(actorId: string): Entry {
    const owner = ownerOf(actorId)
    const seq = seqOf(actorId)
    return owner === this.self ? (this.references.owned.get(seq) ?? this.actorEntry(seq)) : this.references.refer(owner, seq, true)
  }
}
