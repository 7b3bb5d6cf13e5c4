// SPDX-License-Identifier: Apache-2.0
// The life of actors: creation, placement, restarts, and the many ways to die. Who watches hears of every change.
//
// Invariants: at most one living actor of a name and namespace; the dead keep nothing but their view, and hold no name;
// a restart happens only after the death of the process before; whoever asks about an id gets an answer, or one later
// while the actor's creator may still create it (its arguments may not be there yet, while its handle travels already).

import {
  ActorDiedError,
  ActorNameTakenError,
  ActorUnschedulableError,
  type EaglerayError,
  OutOfMemoryError,
  RuntimeEnvError,
} from '../../errors.js'
import { ownerOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { ActorSpec, ActorView, Death, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import type { Placed } from '../node/events.js'
import { type Actor, checkActor, newActor, viewOf, viewOfNone } from './actor.js'
import type { HeadEffect, HeadOptions } from './events.js'

/** A process that ended sooner than this after it took the actor counts as a crash at the start (ms). */
const QUICK_DEATH_MS = 1_000

/** Asked about before its creator created it. */
interface Unborn {
  readonly watchers: Set<WorkerId>
  killed: boolean
}

export class Actors {
  readonly #options: HeadOptions
  readonly #byId = new Map<string, Actor>()
  readonly #byWorker = new Map<WorkerId, Actor>()
  readonly #byName = new Map<string, Actor>()
  /** Alias id to actor. */
  readonly #aliases = new Map<string, Actor>()
  readonly #unborn = new Map<string, Unborn>()
  /** Oldest first. */
  readonly #dead = new Set<string>()
  /** Those with something due: a restart put off, or an end that takes too long. */
  readonly #timed = new Set<Actor>()
  readonly #lives: (workerId: WorkerId) => boolean

  /** `lives` tells whether a process has said hello and not ended. */
  constructor(options: HeadOptions, lives: (workerId: WorkerId) => boolean) {
    this.#options = options
    this.#lives = lives
  }

  create(spec: ActorSpec, creator: WorkerId, out: HeadEffect[]): void {
    if (this.#find(spec.actorId) !== undefined) return
    const unborn = this.#unborn.get(spec.actorId)
    this.#unborn.delete(spec.actorId)
    const namesake = spec.name === null ? undefined : this.#byName.get(nameKey(spec.namespace, spec.name))
    if (namesake !== undefined && spec.getIfExists) {
      const watchers = new Set([creator, ...(unborn?.watchers ?? [])])
      namesake.aliases.set(spec.actorId, { creator, watchers })
      this.#aliases.set(spec.actorId, namesake)
      this.#tell(watchers, spec.actorId, viewOf(namesake, this.#options.nodeId), out)
      return
    }
    const actor = newActor(spec, creator)
    for (const watcher of unborn?.watchers ?? []) actor.watchers.add(watcher)
    this.#byId.set(spec.actorId, actor)
    if (namesake !== undefined) {
      const message = `An actor named ${JSON.stringify(spec.name)} lives in the namespace ${JSON.stringify(spec.namespace)} already`
      return this.#die(actor, new ActorNameTakenError(message), out)
    }
    if (unborn?.killed) return this.#die(actor, this.#died(actor, 'was killed with kill() before it was created'), out)
    if (spec.name !== null) this.#byName.set(nameKey(spec.namespace, spec.name), actor)
    this.#changed(actor, out)
    this.#place(actor, out)
  }

  watch(actorId: string, watcher: WorkerId, out: HeadEffect[]): void {
    const actor = this.#find(actorId)
    if (actor !== undefined) {
      if (actor.phase !== 'dead') this.#watchersOf(actor, actorId).add(watcher)
      return this.#tell([watcher], actorId, viewOf(actor, this.#options.nodeId), out)
    }
    if (!this.#lives(ownerOf(actorId))) return this.#tell([watcher], actorId, this.#none(actorId), out)
    this.#await(actorId).watchers.add(watcher)
  }

  kill(actorId: string, noRestart: boolean, out: HeadEffect[]): void {
    const actor = this.#find(actorId)
    if (actor === undefined) {
      if (noRestart && this.#lives(ownerOf(actorId))) this.#await(actorId).killed = true
    } else if (noRestart) this.#end(actor, 'was killed with kill()', out)
    else if (actor.workerId !== null) this.#endProcess(actor.workerId, 'killed with kill(), to be restarted', out)
  }

  /** No handle and no pending call is left: it finishes what it has and leaves. */
  drop(actorId: string, from: WorkerId, now: Millis, out: HeadEffect[]): void {
    const alias = this.#aliases.get(actorId)?.aliases.get(actorId)
    if (alias !== undefined) return alias.creator === from ? this.#dropAlias(actorId) : undefined
    const actor = this.#byId.get(actorId)
    if (actor === undefined) return this.#notBorn(actorId, from, this.#none(actorId), out)
    if (actor.creator !== from || actor.spec.detached || actor.ending !== null || actor.phase === 'dead') return
    if (actor.workerId === null) return this.#end(actor, 'went out of scope', out)
    this.#expectEnd(actor, 'went out of scope', now)
    this.#releaseName(actor)
    out.push({ is: 'send', to: actor.workerId, message: { is: 'actorStop', actorId, reason: 'out of scope' } })
  }

  named(name: string, namespace: string): ActorView | null {
    const actor = this.#byName.get(nameKey(namespace, name))
    return actor === undefined ? null : viewOf(actor, this.#options.nodeId)
  }

  /** A worker is there for it. */
  placed(placed: Placed, now: Millis, out: HeadEffect[]): void {
    const actor = this.#byId.get(placed.actorId)
    if (actor === undefined || actor.phase === 'dead' || actor.incarnation !== placed.incarnation || actor.workerId !== null) {
      return this.#endProcess(placed.workerId, 'the actor it was for is gone', out)
    }
    actor.phase = 'starting'
    actor.workerId = placed.workerId
    actor.pid = placed.pid
    actor.startedAt = now
    this.#byWorker.set(placed.workerId, actor)
    const { spec, incarnation, creator } = actor
    const message = { is: 'actorStart', spec, incarnation, gpuIds: placed.gpuIds, ownerId: creator } as const
    out.push({ is: 'send', to: placed.workerId, message })
    this.#changed(actor, out)
  }

  impossible(actorId: string, message: string, out: HeadEffect[]): void {
    const actor = this.#byId.get(actorId)
    if (actor !== undefined && actor.phase !== 'dead') this.#die(actor, new ActorUnschedulableError(message), out)
  }

  environmentBroken(actorId: string, message: string, out: HeadEffect[]): void {
    const actor = this.#byId.get(actorId)
    if (actor !== undefined && actor.phase !== 'dead') this.#die(actor, new RuntimeEnvError(message), out)
  }

  /** The constructor returned or threw; or, from the creator of an actor that was never created, why it will not be. */
  started(actorId: string, incarnation: number, error: Uint8Array | null, from: WorkerId, out: HeadEffect[]): void {
    const actor = this.#byId.get(actorId)
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
    this.#changed(actor, out)
  }

  /** It called exitActor() and is finished; its process is about to end. */
  exited(actorId: string, incarnation: number, from: WorkerId, now: Millis, out: HeadEffect[]): void {
    const actor = this.#byId.get(actorId)
    if (actor === undefined || actor.workerId !== from || actor.incarnation !== incarnation) return
    this.#expectEnd(actor, 'ended with exitActor()', now)
    this.#die(actor, this.#died(actor, 'ended with exitActor()'), out)
  }

  processDied(workerId: WorkerId, death: Death, now: Millis, out: HeadEffect[]): void {
    this.#ownerDied(workerId, out)
    for (const actor of this.#byId.values()) {
      actor.watchers.delete(workerId)
      for (const alias of actor.aliases.values()) alias.watchers.delete(workerId)
    }
    const actor = this.#byWorker.get(workerId)
    if (actor === undefined) return
    this.#byWorker.delete(workerId)
    this.#timed.delete(actor)
    if (actor.phase === 'dead') return
    actor.workerId = null
    actor.pid = null
    if (actor.ending !== null) return this.#die(actor, this.#died(actor, actor.ending.why), out)
    if (actor.restartsLeft === 0) return this.#die(actor, this.#died(actor, describeDeath(death), memoryOf(death)), out)
    this.#restart(actor, now, out)
  }

  tick(now: Millis, out: HeadEffect[]): void {
    for (const actor of [...this.#timed]) {
      if (actor.restartAt !== null && now >= actor.restartAt) {
        actor.restartAt = null
        this.#timed.delete(actor)
        this.#place(actor, out)
      } else if (actor.ending !== null && now >= actor.ending.killAt) {
        this.#timed.delete(actor)
        const worker = [...this.#byWorker].find(([, each]) => each === actor)?.[0]
        if (worker !== undefined) this.#endProcess(worker, 'it did not end in time', out)
      }
    }
  }

  deadline(): Millis | null {
    let next: Millis | null = null
    for (const { restartAt, ending } of this.#timed) {
      const at = restartAt ?? ending?.killAt ?? null
      if (at !== null && (next === null || at < next)) next = at
    }
    return next
  }

  all(): Iterable<Actor> {
    return this.#byId.values()
  }

  get(actorId: string): Actor | undefined {
    return this.#find(actorId)
  }

  invariants(): void {
    for (const actor of this.#byId.values()) {
      checkActor(actor)
      assert(actor.workerId === null || this.#byWorker.get(actor.workerId) === actor, 'an actor is not that of its process')
      assert((actor.phase === 'dead') === this.#dead.has(actor.spec.actorId), 'the list of the dead is wrong')
    }
    for (const actor of this.#byName.values()) assert(actor.phase !== 'dead', 'a dead actor holds a name')
    for (const actor of this.#aliases.values()) assert(this.#byId.get(actor.spec.actorId) === actor, 'an alias of a forgotten actor')
  }

  #find(actorId: string): Actor | undefined {
    return this.#byId.get(actorId) ?? this.#aliases.get(actorId)
  }

  #watchersOf(actor: Actor, actorId: string): Set<WorkerId> {
    return actor.aliases.get(actorId)?.watchers ?? actor.watchers
  }

  #await(actorId: string): Unborn {
    let unborn = this.#unborn.get(actorId)
    if (unborn === undefined) this.#unborn.set(actorId, (unborn = { watchers: new Set(), killed: false }))
    return unborn
  }

  /** Its creator says that it will never be created. */
  #notBorn(actorId: string, from: WorkerId, view: ActorView, out: HeadEffect[]): void {
    if (ownerOf(actorId) !== from) return
    this.#tell(this.#unborn.get(actorId)?.watchers ?? [], actorId, view, out)
    this.#unborn.delete(actorId)
  }

  #place({ spec, incarnation }: Actor, out: HeadEffect[]): void {
    const { actorId, className, name, placement, held, environment, job, where } = spec
    out.push({
      is: 'toNode',
      event: { is: 'place', actorId, incarnation, name: name ?? className, placement, held, environment, job, where },
    })
  }

  #restart(actor: Actor, now: Millis, out: HeadEffect[]): void {
    actor.phase = 'restarting'
    actor.incarnation++
    actor.restarts++
    if (actor.restartsLeft > 0) actor.restartsLeft--
    actor.quickDeaths = now - actor.startedAt < QUICK_DEATH_MS ? actor.quickDeaths + 1 : 0
    this.#changed(actor, out)
    if (actor.quickDeaths <= 1) return this.#place(actor, out)
    const [first, longest] = limits.actorRestartMs
    actor.restartAt = now + Math.min(longest, first * 2 ** (actor.quickDeaths - 2))
    this.#timed.add(actor)
  }

  #expectEnd(actor: Actor, why: string, now: Millis): void {
    actor.ending ??= { why, killAt: now + limits.actorStopMs }
    this.#timed.add(actor)
  }

  /** Dead at once, whatever it is doing. */
  #end(actor: Actor, why: string, out: HeadEffect[]): void {
    if (actor.phase === 'dead') return
    if (actor.workerId !== null) this.#endProcess(actor.workerId, `its actor ${why}`, out)
    this.#die(actor, this.#died(actor, why), out)
  }

  #die(actor: Actor, cause: EaglerayError | Uint8Array, out: HeadEffect[]): void {
    const { actorId } = actor.spec
    if (actor.workerId === null) {
      out.push({ is: 'toNode', event: { is: 'unplace', actorId } })
      this.#timed.delete(actor)
    }
    this.#releaseName(actor)
    actor.phase = 'dead'
    actor.workerId = null
    actor.pid = null
    actor.restartAt = null
    actor.deathCause = cause instanceof Uint8Array ? cause : this.#options.encodeError(cause)
    actor.spec.code = actor.spec.args = new Uint8Array(0)
    this.#changed(actor, out)
    actor.watchers.clear()
    for (const alias of actor.aliases.values()) alias.watchers.clear()
    this.#dead.add(actorId)
    if (this.#dead.size > limits.deadActorsKept) this.#forget([...this.#dead][0] as string)
  }

  #forget(actorId: string): void {
    this.#dead.delete(actorId)
    for (const alias of this.#byId.get(actorId)?.aliases.keys() ?? []) this.#aliases.delete(alias)
    this.#byId.delete(actorId)
  }

  #dropAlias(actorId: string): void {
    this.#aliases.get(actorId)?.aliases.delete(actorId)
    this.#aliases.delete(actorId)
  }

  /** What a process created dies with it, except what is detached. */
  #ownerDied(owner: WorkerId, out: HeadEffect[]): void {
    for (const actor of [...this.#byId.values()]) {
      if (actor.creator === owner && !actor.spec.detached) this.#end(actor, 'died with its owner: the process that created it ended', out)
      for (const [actorId, alias] of [...actor.aliases]) {
        if (alias.creator !== owner) continue
        if (actor.phase !== 'dead') this.#tell(alias.watchers, actorId, this.#none(actorId), out)
        this.#dropAlias(actorId)
      }
    }
    for (const [actorId, { watchers }] of [...this.#unborn]) {
      watchers.delete(owner)
      if (ownerOf(actorId) !== owner) continue
      this.#tell(watchers, actorId, this.#none(actorId), out)
      this.#unborn.delete(actorId)
    }
  }

  #releaseName({ spec: { namespace, name }, spec }: Actor): void {
    if (name === null) return
    const key = nameKey(namespace, name)
    if (this.#byName.get(key)?.spec === spec) this.#byName.delete(key)
  }

  #changed(actor: Actor, out: HeadEffect[]): void {
    const view = viewOf(actor, this.#options.nodeId)
    this.#tell(actor.watchers, view.actorId, view, out)
    for (const [actorId, { watchers }] of actor.aliases) this.#tell(watchers, actorId, view, out)
  }

  #tell(watchers: Iterable<WorkerId>, actorId: string, view: ActorView, out: HeadEffect[]): void {
    for (const to of watchers) out.push({ is: 'send', to, message: { is: 'actorState', actorId, view } })
  }

  #endProcess(workerId: WorkerId, reason: string, out: HeadEffect[]): void {
    out.push({ is: 'toNode', event: { is: 'endWorker', workerId, reason } })
  }

  #none(actorId: string): ActorView {
    const why = this.#lives(ownerOf(actorId)) ? 'no handle to it is left' : 'the process that created it ended'
    return viewOfNone(actorId, this.#options.encodeError(new ActorDiedError(`The actor is gone: ${why}`, { actorId })))
  }

  #died(actor: Actor, why: string, cause: EaglerayError | null = null): EaglerayError {
    const { actorId, className, name } = actor.spec
    return new ActorDiedError(
      `Actor ${className}${name === null ? '' : ` (${name})`} ${why}`,
      cause === null ? { actorId } : { actorId, cause },
    )
  }
}

function nameKey(namespace: string, name: string): string {
  return `${namespace}\0${name}`
}

function memoryOf({ outOfMemory, reason }: Death): EaglerayError | null {
  return outOfMemory ? new OutOfMemoryError(reason ?? 'out of memory') : null
}

function describeDeath({ exitCode, signal, stderrTail, reason }: Death): string {
  const how = reason ?? (signal === null ? `exit code ${exitCode}` : `signal ${signal}`)
  return `died: its process ended (${how})${stderrTail === '' ? '' : `; its last output was:\n${stderrTail}`}`
}
