// SPDX-License-Identifier: Apache-2.0
// The life of actors: creation, placement, restarts, and the many ways to die. Who watches hears of every change.
//
// Invariants: at most one living actor of a name and namespace; the dead keep nothing but their view, and hold no name;
// a restart happens only after the death of the process before; whoever asks about an id gets an answer, or one later
// while the actor's creator may still create it (its arguments may not be there yet, while its handle travels already).

import { ActorUnschedulableError, type EaglerayError, RuntimeEnvError } from '../../errors.js'
import { nodeOf, ownerOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { ActorSpec, ActorView, Death, NodeId, WorkerId } from '../../wire/messages.js'
import { type Millis, soonest } from '../machine.js'
import type { Placed } from '../node/events.js'
import { groupOf } from '../node/group-work.js'
import { type Actor, viewOf, viewOfNone } from './actor.js'
import * as causes from './actor-causes.js'
import { ActorTable } from './actor-table.js'
import type { HeadEffect, HeadOptions } from './events.js'
import type { Groups } from './groups.js'
import type { Snapshot } from './node-entry.js'
import type { Nodes } from './nodes.js'
import { Placing } from './placing.js'
import { rowsOf, type Tables } from './tables.js'
import { Watchers } from './watchers.js'

/** A process that ended sooner than this after it took the actor counts as a crash at the start (ms). */
const QUICK_DEATH_MS = 1_000

const UNNOTICED: Death = {
  ...{ exitCode: null, signal: null, stderrTail: '', outOfMemory: false },
  reason: 'it ended while the head was away',
}

export class Actors {
  readonly #options: HeadOptions
  readonly #table = new ActorTable()
  readonly #watchers = new Watchers()
  readonly #placing: Placing
  /** Asked about before their creators created them; true: killed already. Oldest first. */
  readonly #unborn = new Map<string, boolean>()
  /** Those with something due: a restart put off, or an end that takes too long. */
  readonly #timed = new Set<Actor>()
  readonly #lives: (workerId: WorkerId) => boolean

  /** `lives` tells whether a process may still create actors. */
  constructor(options: HeadOptions, nodes: Nodes, groups: Groups, lives: (workerId: WorkerId) => boolean) {
    this.#options = options
    this.#placing = new Placing(options, nodes, groups)
    this.#lives = lives
  }

  create(spec: ActorSpec, creator: WorkerId, now: Millis, out: HeadEffect[]): void {
    const known = this.#table.find(spec.actorId)
    // Said again, since the answer may be lost.
    if (known !== undefined) return this.#tellOne(creator, spec.actorId, viewOf(known), out)
    const killed = this.#unborn.get(spec.actorId) ?? false
    this.#bornOrNever(spec.actorId, out)
    const namesake = spec.name === null ? undefined : this.#table.named(spec.namespace, spec.name)
    this.#watchers.add(spec.actorId, creator)
    if (namesake !== undefined && spec.getIfExists) {
      this.#table.addAlias(namesake, spec.actorId, creator)
      this.#table.save(namesake, out)
      return this.#tell(spec.actorId, viewOf(namesake), out)
    }
    const full = this.#table.full(spec)
    const actor = this.#table.add(spec, creator, out)
    if (namesake !== undefined) return this.#die(actor, causes.nameTaken(spec), out)
    if (full !== null) return this.#die(actor, new ActorUnschedulableError(`Actor ${spec.className} cannot be created: ${full}`), out)
    if (killed) return this.#die(actor, causes.died(spec, 'was killed with kill() before it was created'), out)
    const hopeless = this.#placing.hopeless(actor)
    if (hopeless !== null) return this.#die(actor, causes.groupRemoved(spec, hopeless), out)
    this.#table.takeName(actor)
    this.#tellAll(actor, out)
    this.#placing.place(actor, now, out)
    this.#table.save(actor, out)
  }

  /** Sends the view now and at each change. Gives the process to be watched where only its end can answer. */
  watch(actorId: string, watcher: WorkerId, out: HeadEffect[]): WorkerId | null {
    const actor = this.#table.find(actorId)
    if (actor !== undefined) {
      if (actor.phase !== 'dead') this.#watchers.add(actorId, watcher)
      this.#tellOne(watcher, actorId, viewOf(actor), out)
      return null
    }
    const creator = ownerOf(actorId)
    if (!this.#lives(creator)) {
      this.#tellOne(watcher, actorId, this.#none(actorId), out)
      return null
    }
    this.#await(actorId, false, out)
    this.#watchers.add(actorId, watcher)
    return creator
  }

  kill(actorId: string, noRestart: boolean, out: HeadEffect[]): void {
    const actor = this.#table.find(actorId)
    if (actor === undefined) {
      if (noRestart && this.#lives(ownerOf(actorId))) this.#await(actorId, true, out)
    } else if (noRestart) this.#end(actor, 'was killed with kill()', out)
    else if (actor.workerId !== null && actor.killed !== actor.incarnation) {
      actor.killed = actor.incarnation
      this.#table.save(actor, out)
      this.#endProcess(actor.workerId, 'killed with kill(), to be restarted', out)
    }
  }

  /** No handle and no pending call is left: it finishes what it has and leaves. */
  drop(actorId: string, from: WorkerId, now: Millis, out: HeadEffect[]): void {
    const actor = this.#table.find(actorId)
    if (actor === undefined) return this.#notBorn(actorId, from, this.#none(actorId), out)
    if (actor.spec.actorId !== actorId) {
      if (actor.aliases.get(actorId) !== from) return
      this.#dropAlias(actor, actorId)
      return this.#table.save(actor, out)
    }
    if (actor.creator !== from || actor.spec.detached || actor.ending !== null || actor.phase === 'dead') return
    if (actor.workerId === null) return this.#end(actor, 'went out of scope', out)
    this.#expectEnd(actor, 'went out of scope', now)
    this.#table.releaseName(actor)
    this.#table.save(actor, out)
    this.#tellToStop(actor, out)
  }

  /** That placement group is gone, and with it who lives or was to live in it. */
  groupRemoved(groupId: string, out: HeadEffect[]): void {
    for (const actor of [...this.#table.all()]) {
      if (actor.phase === 'dead' || groupOf(actor.spec)?.groupId !== groupId) continue
      if (actor.workerId !== null) this.#endProcess(actor.workerId, 'its placement group was removed', out)
      this.#die(actor, causes.groupRemoved(actor.spec, `the placement group ${groupId} was removed`), out)
    }
  }

  named(name: string, namespace: string): ActorView | null {
    const actor = this.#table.named(namespace, name)
    return actor === undefined ? null : viewOf(actor)
  }

  /** A worker is there for it. It may be said twice. */
  placed(placed: Placed, now: Millis, out: HeadEffect[]): void {
    const actor = this.#table.get(placed.actorId)
    if (actor?.workerId === placed.workerId) return
    const isWanted = actor !== undefined && actor.phase !== 'dead' && actor.incarnation === placed.incarnation && actor.workerId === null
    if (!isWanted || actor.nodeId !== nodeOf(placed.workerId)) return this.#endProcess(placed.workerId, 'the actor it was for is gone', out)
    this.#placing.placed(actor)
    actor.phase = 'starting'
    actor.workerId = placed.workerId
    actor.pid = placed.pid
    actor.gpuIds = placed.gpuIds
    actor.startedAt = now
    this.#table.seat(actor, placed.workerId)
    this.#table.save(actor, out)
    this.#tellToStart(actor, out)
    this.#tellAll(actor, out)
  }

  refused(actorId: string, incarnation: number, nodeId: NodeId, now: Millis, out: HeadEffect[]): void {
    const actor = this.#table.get(actorId)
    if (actor === undefined || actor.incarnation !== incarnation || actor.nodeId !== nodeId || actor.workerId !== null) return
    this.#placing.refused(actor, now, out)
    this.#table.save(actor, out)
  }

  impossible(actorId: string, message: string, out: HeadEffect[]): void {
    const actor = this.#table.get(actorId)
    if (actor !== undefined && actor.phase !== 'dead') this.#die(actor, new ActorUnschedulableError(message), out)
  }

  environmentBroken(actorId: string, message: string, out: HeadEffect[]): void {
    const actor = this.#table.get(actorId)
    if (actor !== undefined && actor.phase !== 'dead') this.#die(actor, new RuntimeEnvError(message), out)
  }

  /** The constructor returned or threw; or, from the creator of an actor that was never created, why it will not be. */
  started(actorId: string, incarnation: number, error: Uint8Array | null, from: WorkerId, out: HeadEffect[]): void {
    const actor = this.#table.get(actorId)
    if (actor === undefined) {
      if (error !== null) this.#notBorn(actorId, from, viewOfNone(actorId, error), out)
      return
    }
    if (actor.workerId !== from || actor.incarnation !== incarnation || actor.phase !== 'starting') return
    if (error !== null) {
      this.#endProcess(from, 'the constructor of its actor threw', out)
      return this.#die(actor, error, out)
    }
    actor.phase = 'alive'
    this.#table.save(actor, out)
    this.#tellAll(actor, out)
  }

  /** It called exitActor() and is finished; its process is about to end. */
  exited(actorId: string, incarnation: number, from: WorkerId, now: Millis, out: HeadEffect[]): void {
    const actor = this.#table.get(actorId)
    if (actor === undefined || actor.workerId !== from || actor.incarnation !== incarnation) return
    this.#expectEnd(actor, 'ended with exitActor()', now)
    this.#die(actor, causes.died(actor.spec, 'ended with exitActor()'), out)
  }

  processDied(workerId: WorkerId, death: Death, now: Millis, out: HeadEffect[]): void {
    this.#creatorGone(workerId, out)
    this.#watchers.processGone(workerId)
    const actor = this.#table.byWorker(workerId)
    if (actor !== undefined) this.#lost(actor, workerId, causes.processEnded(actor.spec, death), now, out)
  }

  /** Everything that ran there is gone. */
  nodeDied(nodeId: NodeId, why: string, now: Millis, out: HeadEffect[]): void {
    for (const creator of this.#table.creatorsOn(nodeId)) this.#creatorGone(creator, out)
    for (const actorId of [...this.#unborn.keys()])
      if (nodeOf(ownerOf(actorId)) === nodeId) this.#never(actorId, this.#none(actorId, false), out)
    this.#watchers.nodeGone(nodeId)
    this.#table.nodeGone(nodeId)
    for (const actor of [...this.#table.all()]) {
      if (actor.nodeId !== nodeId) continue
      if (actor.workerId !== null) this.#lost(actor, actor.workerId, causes.nodeEnded(actor.spec, nodeId, why), now, out)
      else {
        actor.nodeId = null
        this.#placing.place(actor, now, out)
        this.#table.save(actor, out)
      }
    }
  }

  /** What a node that registered again says lives there, against what should. */
  synced(nodeId: NodeId, snapshot: Snapshot, now: Millis, out: HeadEffect[]): void {
    const seats = new Map(snapshot.actors.map(seat => [seat.actorId, seat]))
    for (const actor of [...this.#table.all()]) {
      if (actor.nodeId !== nodeId) continue
      const seat = seats.get(actor.spec.actorId)
      if (actor.workerId === null) {
        if (seat?.incarnation === actor.incarnation) this.placed({ is: 'placed', ...seat }, now, out)
        else this.#placing.ask(actor, out)
      } else if (seat?.workerId === actor.workerId) this.#sayAgain(actor, out)
      else this.#lost(actor, actor.workerId, causes.processEnded(actor.spec, UNNOTICED), now, out)
    }
    for (const { actorId, workerId } of snapshot.actors) {
      if (this.#table.get(actorId)?.workerId !== workerId) this.#endProcess(workerId, 'the actor it was for is gone', out)
    }
    for (const actorId of snapshot.placing) {
      if (this.#table.get(actorId)?.nodeId !== nodeId) out.push({ is: 'toNode', nodeId, event: { is: 'unplace', actorId } })
    }
  }

  /** Something changed on the nodes: those that wait for one may fit now. */
  retry(now: Millis, out: HeadEffect[]): void {
    for (const actor of this.#placing.retry(now, out)) this.#table.save(actor, out)
  }

  tick(now: Millis, out: HeadEffect[]): void {
    for (const actor of [...this.#timed]) {
      if (actor.restartAt !== null && now >= actor.restartAt) {
        actor.restartAt = null
        this.#timed.delete(actor)
        this.#placing.place(actor, now, out)
        this.#table.save(actor, out)
      } else if (actor.ending !== null && now >= actor.ending.killAt) {
        this.#timed.delete(actor)
        this.#endProcess(actor.ending.workerId, 'it did not end in time', out)
      }
    }
    for (const [actor, why] of this.#placing.expired(now, out)) this.#die(actor, new ActorUnschedulableError(why), out)
  }

  deadline(): Millis | null {
    const timed = [...this.#timed].map(({ restartAt, ending }) => restartAt ?? ending?.killAt ?? null)
    return soonest([this.#placing.deadline(), ...timed])
  }

  restore(tables: Tables, now: Millis): void {
    this.#table.restore(tables, now)
    for (const [actorId] of rowsOf(tables, 'unborn')) this.#unborn.set(actorId, true)
    for (const actor of this.#table.all()) {
      if (actor.phase === 'pending' || actor.phase === 'restarting') this.#placing.restore(actor)
      if (actor.ending !== null && actor.workerId !== null) this.#timed.add(actor)
    }
  }

  /** Entries of all tables, but for the dead that are remembered. */
  get size(): number {
    return this.#table.size + this.#watchers.size + this.#unborn.size + this.#timed.size + this.#placing.size
  }

  all(): Iterable<Actor> {
    return this.#table.all()
  }

  /** Why it has no node yet, in words; null for one that has, and for one that is not known. */
  placement(actorId: string): string | null {
    const actor = this.#table.get(actorId)
    return actor === undefined ? null : this.#placing.reason(actor)
  }

  get(actorId: string): Actor | undefined {
    return this.#table.find(actorId)
  }

  invariants(): void {
    this.#table.invariants()
    this.#placing.invariants()
    this.#watchers.invariants()
  }

  #await(actorId: string, killed: boolean, out: HeadEffect[]): void {
    if (killed && this.#unborn.get(actorId) !== true) out.push({ is: 'persist', table: 'unborn', key: actorId, row: {} })
    this.#unborn.set(actorId, killed || (this.#unborn.get(actorId) ?? false))
    if (this.#unborn.size <= limits.unbornActorsMax) return
    const oldest = [...this.#unborn.keys()][0] as string
    this.#never(oldest, this.#none(oldest), out)
  }

  /** Its creator says that it will never be created. */
  #notBorn(actorId: string, from: WorkerId, view: ActorView, out: HeadEffect[]): void {
    if (ownerOf(actorId) === from) this.#never(actorId, view, out)
  }

  #never(actorId: string, view: ActorView, out: HeadEffect[]): void {
    this.#tell(actorId, view, out)
    this.#watchers.drop(actorId)
    this.#bornOrNever(actorId, out)
  }

  #bornOrNever(actorId: string, out: HeadEffect[]): void {
    if (this.#unborn.get(actorId) === true) out.push({ is: 'persist', table: 'unborn', key: actorId, row: null })
    this.#unborn.delete(actorId)
  }

  /** Its process is gone, however. */
  #lost(actor: Actor, workerId: WorkerId, cause: EaglerayError, now: Millis, out: HeadEffect[]): void {
    this.#table.unseat(workerId)
    this.#timed.delete(actor)
    if (actor.phase === 'dead') return
    actor.workerId = actor.pid = actor.nodeId = null
    actor.gpuIds = []
    if (actor.ending !== null) return this.#die(actor, causes.died(actor.spec, actor.ending.why), out)
    if (actor.restartsLeft === 0) return this.#die(actor, cause, out)
    this.#restart(actor, now, out)
  }

  #restart(actor: Actor, now: Millis, out: HeadEffect[]): void {
    actor.phase = 'restarting'
    actor.incarnation++
    actor.restarts++
    actor.killed = null
    if (actor.restartsLeft > 0) actor.restartsLeft--
    actor.quickDeaths = now - actor.startedAt < QUICK_DEATH_MS ? actor.quickDeaths + 1 : 0
    this.#tellAll(actor, out)
    if (actor.quickDeaths <= 1) this.#placing.place(actor, now, out)
    else {
      const [first, longest] = limits.actorRestartMs
      actor.restartAt = now + Math.min(longest, first * 2 ** (actor.quickDeaths - 2))
      this.#timed.add(actor)
    }
    this.#table.save(actor, out)
  }

  #expectEnd(actor: Actor, why: string, now: Millis): void {
    actor.ending ??= { why, killAt: now + limits.actorStopMs, workerId: actor.workerId as WorkerId }
    this.#timed.add(actor)
  }

  /** Dead at once, whatever it is doing. */
  #end(actor: Actor, why: string, out: HeadEffect[]): void {
    if (actor.phase === 'dead') return
    if (actor.workerId !== null) this.#endProcess(actor.workerId, `its actor ${why}`, out)
    this.#die(actor, causes.died(actor.spec, why), out)
  }

  #die(actor: Actor, cause: EaglerayError | Uint8Array, out: HeadEffect[]): void {
    if (actor.workerId === null) {
      this.#placing.withdraw(actor, out)
      this.#timed.delete(actor)
    }
    this.#table.releaseName(actor)
    actor.phase = 'dead'
    actor.workerId = actor.pid = actor.nodeId = null
    actor.restartAt = null
    actor.deathCause = cause instanceof Uint8Array ? cause : this.#options.encodeError(cause)
    this.#tellAll(actor, out)
    for (const actorId of [actor.spec.actorId, ...actor.aliases.keys()]) this.#watchers.drop(actorId)
    this.#table.bury(actor, out)
    this.#table.save(actor, out)
  }

  #dropAlias(actor: Actor, actorId: string): void {
    this.#table.dropAlias(actor, actorId)
    this.#watchers.drop(actorId)
  }

  /** What a process created dies with it, except what is detached. */
  #creatorGone(creator: WorkerId, out: HeadEffect[]): void {
    for (const actor of this.#table.createdBy(creator)) {
      for (const [actorId, by] of [...actor.aliases]) {
        if (by !== creator) continue
        if (actor.phase !== 'dead') this.#tell(actorId, this.#none(actorId, false), out)
        this.#dropAlias(actor, actorId)
        this.#table.save(actor, out)
      }
      if (actor.creator === creator && !actor.spec.detached) this.#end(actor, 'died with its owner: the process that created it ended', out)
    }
    this.#table.creatorGone(creator)
    for (const actorId of [...this.#unborn.keys()]) if (ownerOf(actorId) === creator) this.#never(actorId, this.#none(actorId, false), out)
  }

  /** What its process may not have been told. */
  #sayAgain(actor: Actor, out: HeadEffect[]): void {
    const { phase, workerId, killed, incarnation, ending } = actor
    if (killed === incarnation) this.#endProcess(workerId as WorkerId, 'killed with kill(), to be restarted', out)
    else if (ending !== null) this.#tellToStop(actor, out)
    else if (phase === 'starting') this.#tellToStart(actor, out)
  }

  #tellToStart({ spec, incarnation, creator, workerId, gpuIds }: Actor, out: HeadEffect[]): void {
    const message = { is: 'actorStart', spec, incarnation, gpuIds, ownerId: creator } as const
    out.push({ is: 'send', to: workerId as WorkerId, message })
  }

  #tellToStop({ spec: { actorId }, workerId }: Actor, out: HeadEffect[]): void {
    out.push({ is: 'send', to: workerId as WorkerId, message: { is: 'actorStop', actorId, reason: 'out of scope' } })
  }

  #tellAll(actor: Actor, out: HeadEffect[]): void {
    const view = viewOf(actor)
    for (const actorId of [view.actorId, ...actor.aliases.keys()]) this.#tell(actorId, view, out)
  }

  /** Those who asked about that id, which may be an alias. */
  #tell(actorId: string, view: ActorView, out: HeadEffect[]): void {
    for (const to of this.#watchers.of(actorId)) this.#tellOne(to, actorId, view, out)
  }

  #tellOne(to: WorkerId, actorId: string, view: ActorView, out: HeadEffect[]): void {
    out.push({ is: 'send', to, message: { is: 'actorState', actorId, view } })
  }

  #endProcess(workerId: WorkerId, reason: string, out: HeadEffect[]): void {
    out.push({ is: 'toNode', nodeId: nodeOf(workerId), event: { is: 'endWorker', workerId, reason } })
  }

  #none(actorId: string, creatorLives = this.#lives(ownerOf(actorId))): ActorView {
    return viewOfNone(actorId, this.#options.encodeError(causes.gone(actorId, creatorLives)))
  }
}
