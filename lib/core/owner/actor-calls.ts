// SPDX-License-Identifier: Apache-2.0
// Calls on actors, at their caller: sent straight to the actor's worker, in the order they were made, each once its
// arguments are there. A call that was under way when the actor's process ended may have had its effect, so it is made
// again only where the user allowed that (`maxTaskRetries`).

import { ActorDiedError, ActorUnavailableError, PendingCallsLimitError, TaskCancelledError, WireError } from '../../errors.js'
import { nodeOf, objectId } from '../../ids.js'
import type { ActorView, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import { areSettled, argumentFailure, awaitArguments } from './arguments.js'
import type { Effect } from './effects.js'
import { Entry, STATE } from './entry.js'
import type { Lineage } from './lineage.js'
import type { ContainedRef, Outcome } from './outcome.js'
import type { References } from './references.js'
import { settleAgain } from './remade.js'
import type { Argument } from './task.js'
import type { Values } from './values.js'

export class ActorCall {
  unresolved = 0
  sent = false
  /** The process it was sent to last. */
  to: WorkerId | null = null
  /** It was sent to another node, whose store may have results of it. */
  wentAway = false
  done = false
  cancelled = false
  attempt = 0
  /** Why what it made was lost, while it is made again for that. */
  remaking: string | null = null
  /** Its refs are with the user, so that they count. */
  submitted = false
  readonly entries: Entry[] = []

  constructor(
    readonly seq: number,
    readonly actor: Actor,
    readonly name: string,
    /** Number of the method in its class. */
    readonly method: number,
    readonly args: Uint8Array | Argument[],
    readonly argCount: number,
    readonly returns: number,
    public retriesLeft: number,
    readonly held: Entry[],
    readonly parent: unknown,
  ) {}
}

/** An actor as this process knows it. */
export class Actor {
  view: ActorView | null = null
  /** Calls not sent yet, in order. */
  queue: ActorCall[] = []
  /** Calls sent and not answered, in order. */
  readonly outstanding = new Map<number, ActorCall>()
  watched = false
  /** The shell's: who waits for news of it. */
  observers: (() => void)[] = []

  constructor(
    readonly actorId: string,
    /** Counts the handles; null for one found by name, which keeps nothing alive. */
    readonly entry: Entry | null,
    readonly className: string,
    /** Calls keep their order even behind one whose argument is late. */
    readonly ordered: boolean,
  ) {}
}

/** Calls of this process that the actor gets to before that one, which was sent too: none where it runs several at once. */
export function callsAhead(call: ActorCall): number {
  const { view, outstanding } = call.actor
  if (!call.sent || view === null || view.isAsync) return 0
  return [...outstanding.values()].indexOf(call)
}

/** Whether the actor, which runs one call at a time, has an earlier one of this process to answer. */
function isBehind(call: ActorCall): boolean {
  const { view, outstanding, ordered } = call.actor
  if (!ordered || view === null || view.isAsync) return false
  for (const each of outstanding.values()) if (!each.done) return each !== call
  return false
}

export interface CallReply {
  from: WorkerId
  task: number
  status: 'ok' | 'error' | 'revoked' | 'cancelled'
  results: Outcome[]
  contained: ContainedRef[][] | null
  retry: boolean
}

export class ActorCalls {
  /** Those with counted handles. */
  readonly actors = new Map<string, Actor>()
  /** Those found by name; a counted handle that comes later has a record of its own, and calls of both go on. */
  readonly named = new Map<string, Actor>()
  private readonly bySeq = new Map<number, ActorCall>()
  /** Cancelled and failed while the actor has not answered: it may run them all the same, and needs what they hold until then. */
  private readonly over = new Map<number, ActorCall>()

  constructor(
    private readonly references: References,
    private readonly values: Values,
    private readonly lineage: Lineage,
    private readonly head: WorkerId,
    private readonly decodeError: (bytes: Uint8Array) => Error,
  ) {}

  /** Throws when the actor has as many pending calls as its caller may have. */
  submit(call: ActorCall, pendingMax: number, out: Effect[]): void {
    const { actor } = call
    const pending = actor.queue.length + actor.outstanding.size
    if (pendingMax > 0 && pending >= pendingMax) {
      throw new PendingCallsLimitError(
        `${actor.className} has ${pending} pending calls of this caller; maxPendingCalls is ${pendingMax}. Wait for some of them`,
      )
    }
    for (let i = 0; i < call.returns; i++) {
      const entry = new Entry(null, call.seq + i, false)
      entry.task = call
      this.references.owned.set(entry.seq, entry)
      call.entries.push(entry)
    }
    this.start(call, out)
    call.submitted = true
  }

  /** Once more from the beginning, after what it had made was lost. */
  restart(call: ActorCall, out: Effect[]): void {
    call.done = call.sent = call.cancelled = false
    call.unresolved = 0
    this.start(call, out)
  }

  private start(call: ActorCall, out: Effect[]): void {
    const { actor } = call
    this.bySeq.set(call.seq, call)
    if (!actor.watched) {
      actor.watched = true
      out.push({ is: 'send', to: this.head, message: { is: 'actorWatch', actorId: actor.actorId } })
    }
    const failed = awaitArguments(call, call.args, this.values)
    if (failed !== null) return this.fail(call, argumentFailure(call.name, call.args, failed, this.decodeError), out)
    if (actor.view?.phase === 'alive' && actor.queue.length === 0 && call.unresolved === 0) this.send(call, actor.view, out)
    else {
      actor.queue.push(call)
      this.drain(actor, out)
    }
  }

  argumentSettled(call: ActorCall, entry: Entry, out: Effect[]): void {
    if (call.done) return
    if (entry.state === STATE.failed) {
      this.unqueue(call)
      this.fail(call, argumentFailure(call.name, call.args, entry, this.decodeError), out)
    }
    this.drain(call.actor, out)
  }

  /** Gives false when the reply is not of a call. */
  replied(reply: CallReply, out: Effect[]): boolean {
    this.lateAnswer(reply, out)
    const call = this.bySeq.get(reply.task)
    // Nobody waits for it, or it is to be made again: then an earlier process of the actor answers late.
    if (call === undefined || !call.sent || call.to !== reply.from) {
      if (reply.contained !== null) this.references.confirm(reply.from, reply.task)
      if (call === undefined)
        for (let i = 0; i < reply.results.length; i++) this.values.discard(reply.task + i, this.isElsewhere(reply.from), out)
      return call !== undefined
    }
    call.actor.outstanding.delete(call.seq)
    if (reply.status === 'error' && reply.retry && call.retriesLeft !== 0 && !call.cancelled) {
      this.again(call)
      this.drain(call.actor, out)
      return true
    }
    if (reply.status === 'cancelled') {
      this.fail(call, cancelled(call, this.references.self), out)
      return true
    }
    if (reply.status === 'ok' && reply.results.length !== call.entries.length) {
      this.fail(
        call,
        new WireError(`${call.name} was answered with ${reply.results.length} results instead of ${call.entries.length}`),
        out,
      )
      return true
    }
    if (reply.contained !== null) {
      call.entries.forEach((entry, i) => {
        const refs = reply.contained?.[i]
        if (refs !== undefined && refs.length > 0 && !entry.settled) this.values.contain(entry, refs)
      })
      this.references.confirm(reply.from, reply.task)
    }
    this.finish(call, i => reply.results[reply.status === 'ok' ? i : 0] as Outcome, out)
    return true
  }

  /** The actor passed over a cancelled call, or had begun it before it heard. */
  private lateAnswer(reply: CallReply, out: Effect[]): void {
    const call = this.over.get(reply.task)
    if (call === undefined || call.to !== reply.from) return
    call.actor.outstanding.delete(call.seq)
    this.letGo(call, out)
  }

  cancel(call: ActorCall, out: Effect[], options: { recursive: boolean }): void {
    if (call.done || call.cancelled) return
    call.cancelled = true
    if (call.sent) {
      const to = call.actor.view?.workerId
      if (to != null)
        out.push({ is: 'send', to, message: { is: 'cancelTask', task: call.seq, force: false, recursive: options.recursive } })
      // Of the one that may run it is not known; a busy actor does not say until it ends.
      if (isBehind(call)) this.fail(call, cancelled(call, this.references.self), out)
      return
    }
    this.unqueue(call)
    this.fail(call, cancelled(call, this.references.self), out)
    this.drain(call.actor, out)
  }

  /** The head tells of the actor. */
  changed(actor: Actor, view: ActorView, out: Effect[]): void {
    const before = actor.view
    actor.view = view
    out.push({ is: 'actorChanged', actor })
    const newIncarnation = before !== null && view.incarnation !== before.incarnation
    if (view.phase === 'restarting' || view.phase === 'dead' || newIncarnation) this.interrupted(actor, view, out)
    if (view.phase === 'dead') this.died(actor, view, out)
    else if (view.phase === 'restarting') this.refuseUnretriable(actor, out)
    this.drain(actor, out)
  }

  /** Those of `told`, and all others known to stand for that living actor, oldest first. */
  sameActor(actorId: string, told: readonly Actor[]): Actor[] {
    const stands = (actor: Actor): boolean =>
      told.includes(actor) || (actor.view?.phase !== 'dead' && (actor.actorId === actorId || actor.view?.actorId === actorId))
    return [...this.actors.values(), ...this.named.values()].filter(stands)
  }

  /** Sends what can be sent, in order. */
  drain(actor: Actor, out: Effect[]): void {
    const { view } = actor
    if (view === null || view.phase !== 'alive' || actor.queue.length === 0) {
      if (view?.phase === 'dead') this.died(actor, view, out)
      else if (view?.phase === 'restarting') this.refuseUnretriable(actor, out)
      return
    }
    const waiting: ActorCall[] = []
    const queue = actor.queue
    actor.queue = []
    for (const call of queue) {
      if (this.hasFailed(call, out)) continue
      if (call.unresolved > 0 || (actor.ordered && waiting.length > 0)) waiting.push(call)
      else this.send(call, view, out)
    }
    actor.queue = waiting
  }

  get pendingCount(): number {
    return this.bySeq.size
  }

  pending(): Iterable<ActorCall> {
    return this.bySeq.values()
  }

  invariants(): void {
    for (const call of this.bySeq.values()) {
      assert(!call.done, 'a done call is pending')
      assert(call.sent === call.actor.outstanding.has(call.seq), 'a call is neither queued nor outstanding')
    }
    for (const call of this.over.values())
      assert(call.done && call.actor.outstanding.has(call.seq), 'a call that is over is waited for, or by nobody')
  }

  /** An argument that was there may have been lost since: it is waited for again, or has failed and the call with it. */
  private hasFailed(call: ActorCall, out: Effect[]): boolean {
    if (!this.values.everLost || call.unresolved > 0 || areSettled(call.args)) return false
    const failed = awaitArguments(call, call.args, this.values)
    if (failed !== null) this.fail(call, argumentFailure(call.name, call.args, failed, this.decodeError), out)
    return failed !== null
  }

  private send(call: ActorCall, view: ActorView, out: Effect[]): void {
    call.sent = true
    call.to = view.workerId
    if (this.isElsewhere(view.workerId as WorkerId)) call.wentAway = true
    call.actor.outstanding.set(call.seq, call)
    out.push({ is: 'call', call, to: view.workerId as WorkerId, incarnation: view.incarnation })
  }

  private again(call: ActorCall): void {
    if (call.retriesLeft > 0) call.retriesLeft--
    call.attempt++
    call.sent = false
    call.actor.queue.unshift(call)
  }

  /** The process that had the outstanding calls is gone. */
  private interrupted(actor: Actor, view: ActorView, out: Effect[]): void {
    const lost = [...actor.outstanding.values()]
    actor.outstanding.clear()
    for (const call of lost.reverse()) {
      if (call.done) this.letGo(call, out)
      else if (view.phase !== 'dead' && call.retriesLeft !== 0 && !call.cancelled) this.again(call)
      else if (view.phase === 'dead') {
        call.sent = false
        actor.queue.unshift(call)
      } else {
        const text = `${call.name} was under way when the actor's process ended; it may or may not have run. The actor restarts`
        this.fail(call, new ActorUnavailableError(text, { actorId: actor.actorId }), out)
      }
    }
  }

  private refuseUnretriable(actor: Actor, out: Effect[]): void {
    // One that has used its last retry on the way here may still make it.
    const unretriable = (call: ActorCall): boolean => call.retriesLeft === 0 && call.attempt === 0
    const refused = actor.queue.filter(unretriable)
    actor.queue = actor.queue.filter(call => !unretriable(call))
    for (const call of refused) {
      this.fail(call, new ActorUnavailableError(`${call.name} was not run: the actor is restarting`, { actorId: actor.actorId }), out)
    }
  }

  private died(actor: Actor, view: ActorView, out: Effect[]): void {
    const queue = actor.queue
    actor.queue = []
    for (const call of queue) {
      const error = view.deathCause ?? new ActorDiedError(`the actor ${actor.className} is dead`, { actorId: actor.actorId })
      this.finish(call, () => ({ form: 'failed', error }), out)
    }
  }

  private isElsewhere(worker: WorkerId): boolean {
    return nodeOf(worker) !== nodeOf(this.references.self)
  }

  private unqueue(call: ActorCall): void {
    const at = call.actor.queue.indexOf(call)
    if (at >= 0) call.actor.queue.splice(at, 1)
  }

  private fail(call: ActorCall, error: Error, out: Effect[]): void {
    this.finish(call, () => ({ form: 'failed', error }), out)
  }

  private finish(call: ActorCall, outcome: (i: number) => Outcome, out: Effect[]): void {
    assert(!call.done, `call ${call.seq} ended twice`)
    call.done = true
    this.bySeq.delete(call.seq)
    for (let i = 0; i < call.entries.length; i++) {
      const entry = call.entries[i] as Entry
      settleAgain(call, entry, outcome(i), this.values, this.decodeError, out)
      if (call.attempt > 0 || entry.error !== null) this.values.discard(entry.seq, call.wentAway, out)
      // One that fails as it is submitted: its refs are only about to be made.
      if (entry.unreferenced && call.submitted) this.references.maybeDrop(entry, out)
    }
    if (call.actor.outstanding.has(call.seq)) this.over.set(call.seq, call)
    else this.letGo(call, out)
    call.remaking = null
  }

  /** Of what it held; how it made what is in the store is kept. */
  private letGo(call: ActorCall, out: Effect[]): void {
    this.over.delete(call.seq)
    if (!this.lineage.keep(call, out)) this.references.unholdAll(call.held, out)
  }
}

function cancelled(call: ActorCall, owner: WorkerId): Error {
  return new TaskCancelledError(`${call.name} was cancelled`, { taskId: objectId(owner, call.seq) })
}
