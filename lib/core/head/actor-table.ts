// SPDX-License-Identifier: Apache-2.0
// All actors, found by everything they are looked up by, and what of them is kept for good.
//
// Invariants: at most one living actor of a name and namespace; the dead hold no name, and nothing that only a start needs, and
// only so many of them are remembered; every living actor's row is what a new head would begin with.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { ActorSpec, JobSpec, NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import { type Actor, type ActorRow, checkActor, fromRow, newActor, toRow } from './actor.js'
import type { HeadEffect } from './events.js'
import { Functions } from './functions.js'
import { rowsOf, type Tables } from './tables.js'

const NOTHING = new Uint8Array(0)
const NO_JOB: JobSpec = { jobId: '', namespace: '', driver: '', cwd: '', loaders: [], execArgv: [], nodeOptions: '' }
/** What only one that may be (re)started needs, in place of that. */
const BURIED = {
  ...{ code: NOTHING, args: NOTHING, environment: null, job: NO_JOB, where: null },
  ...{ placement: {}, held: {}, concurrencyGroups: {}, methodGroups: {} },
} satisfies Partial<ActorSpec>

export class ActorTable {
  readonly #byId = new Map<string, Actor>()
  readonly #byWorker = new Map<WorkerId, Actor>()
  readonly #byName = new Map<string, Actor>()
  /** Alias id to actor. */
  readonly #aliases = new Map<string, Actor>()
  /** Living ones, and those with aliases, by who created the actor or the alias. */
  readonly #byCreator = new Map<WorkerId, Set<Actor>>()
  /** Oldest first. */
  readonly #dead = new Set<string>()
  readonly #functions = new Functions()
  #argumentBytes = 0

  /** By its own id or an alias. */
  find(actorId: string): Actor | undefined {
    return this.#byId.get(actorId) ?? this.#aliases.get(actorId)
  }

  get(actorId: string): Actor | undefined {
    return this.#byId.get(actorId)
  }

  byWorker(workerId: WorkerId): Actor | undefined {
    return this.#byWorker.get(workerId)
  }

  named(namespace: string, name: string): Actor | undefined {
    return this.#byName.get(nameKey(namespace, name))
  }

  createdBy(creator: WorkerId): Iterable<Actor> {
    return [...(this.#byCreator.get(creator) ?? [])]
  }

  creatorsOn(nodeId: NodeId): WorkerId[] {
    return [...this.#byCreator.keys()].filter(creator => nodeOf(creator) === nodeId)
  }

  all(): Iterable<Actor> {
    return this.#byId.values()
  }

  /** Why no other may be created; null when one may. */
  full(spec: ActorSpec): string | null {
    const living = this.#byId.size - this.#dead.size
    if (living >= limits.actorsMax) return `there are ${living} actors in this cluster, as many as may be`
    const bytes = this.#functions.bytes + this.#argumentBytes + spec.code.byteLength + spec.args.byteLength
    if (bytes <= limits.actorBytesMax) return null
    return `code and arguments of all actors would take ${bytes} bytes, and may take ${limits.actorBytesMax}`
  }

  /** Entries of all tables, but for the dead that are remembered. */
  get size(): number {
    const living = this.#byId.size - this.#dead.size
    return living + this.#byWorker.size + this.#byName.size + this.#aliases.size + this.#byCreator.size + this.#functions.size
  }

  /** It may be dead on arrival: then its name is not taken. */
  add(spec: ActorSpec, creator: WorkerId, out: HeadEffect[]): Actor {
    const code = this.#functions.hold(spec.codeHash, spec.code, out)
    // Bytes that are part of the message they came in would keep all of it, the code once for each actor.
    const actor = newActor({ ...spec, code, args: spec.args.slice(), shape: spec.shape.slice() }, creator)
    this.#argumentBytes += spec.args.byteLength
    this.#byId.set(spec.actorId, actor)
    this.#created(creator, actor)
    out.push({ is: 'persist', table: 'arguments', key: spec.actorId, row: { args: spec.args } })
    return actor
  }

  takeName(actor: Actor): void {
    const { name, namespace } = actor.spec
    if (name !== null) this.#byName.set(nameKey(namespace, name), actor)
  }

  releaseName({ spec: { namespace, name }, spec }: Actor): void {
    if (name === null) return
    const key = nameKey(namespace, name)
    if (this.#byName.get(key)?.spec === spec) this.#byName.delete(key)
  }

  addAlias(actor: Actor, actorId: string, creator: WorkerId): void {
    actor.aliases.set(actorId, creator)
    this.#aliases.set(actorId, actor)
    this.#created(creator, actor)
  }

  dropAlias(actor: Actor, actorId: string): void {
    const creator = actor.aliases.get(actorId) as WorkerId
    actor.aliases.delete(actorId)
    this.#aliases.delete(actorId)
    if (hasPart(actor, creator)) return
    const all = this.#byCreator.get(creator)
    if (all?.delete(actor) && all.size === 0) this.#byCreator.delete(creator)
  }

  seat(actor: Actor, workerId: WorkerId): void {
    this.#byWorker.set(workerId, actor)
  }

  unseat(workerId: WorkerId): void {
    this.#byWorker.delete(workerId)
  }

  nodeGone(nodeId: NodeId): void {
    for (const workerId of [...this.#byWorker.keys()]) if (nodeOf(workerId) === nodeId) this.#byWorker.delete(workerId)
  }

  /** Nothing more is created by that process. */
  creatorGone(creator: WorkerId): void {
    this.#byCreator.delete(creator)
  }

  /** It is dead: what only a living one needs goes, and with it the oldest of the dead. */
  bury(actor: Actor, out: HeadEffect[]): void {
    const { spec } = actor
    this.#functions.release(spec.codeHash, out)
    this.#argumentBytes -= spec.args.byteLength
    // Not in place: what was said of it may still have to leave.
    actor.spec = { ...spec, ...BURIED }
    out.push({ is: 'persist', table: 'arguments', key: spec.actorId, row: null })
    this.#dead.add(spec.actorId)
    if (this.#dead.size > limits.deadActorsKept) this.#forget([...this.#dead][0] as string, out)
  }

  save(actor: Actor, out: HeadEffect[]): void {
    out.push({ is: 'persist', table: 'actors', key: actor.spec.actorId, row: toRow(actor) })
  }

  restore(tables: Tables, now: Millis): void {
    const args = new Map(rowsOf<{ args: Uint8Array }>(tables, 'arguments'))
    const code = new Map(rowsOf<{ code: Uint8Array }>(tables, 'functions'))
    for (const [actorId, row] of rowsOf<ActorRow>(tables, 'actors')) {
      const isDead = row.phase === 'dead'
      const kept = isDead ? NOTHING : (code.get(row.spec.codeHash)?.code ?? NOTHING)
      const shared = isDead ? NOTHING : this.#functions.hold(row.spec.codeHash, kept, [])
      const actor = fromRow(row, shared, isDead ? NOTHING : (args.get(actorId)?.args ?? NOTHING), now, now + limits.actorStopMs)
      this.#byId.set(actorId, actor)
      this.#created(actor.creator, actor)
      for (const [id, creator] of actor.aliases) this.addAlias(actor, id, creator)
      if (isDead) this.#dead.add(actorId)
      else this.#argumentBytes += actor.spec.args.byteLength
      // Whoever is told to leave holds its name no more.
      if (!isDead && actor.ending === null) this.takeName(actor)
      if (actor.workerId !== null) this.seat(actor, actor.workerId)
    }
  }

  invariants(): void {
    let bytes = 0
    const classes = new Set<string>()
    for (const actor of this.#byId.values()) {
      checkActor(actor)
      bytes += actor.spec.args.byteLength
      if (actor.phase !== 'dead') classes.add(actor.spec.codeHash)
      assert(actor.workerId === null || this.#byWorker.get(actor.workerId) === actor, 'an actor is not that of its process')
      assert((actor.phase === 'dead') === this.#dead.has(actor.spec.actorId), 'the list of the dead is wrong')
    }
    assert(bytes === this.#argumentBytes, 'the bytes of arguments are miscounted')
    assert(classes.size === this.#functions.size, 'code is kept that no living actor has, or lost that one has')
    for (const actor of this.#byName.values()) assert(actor.phase !== 'dead', 'a dead actor holds a name')
    for (const [creator, actors] of this.#byCreator)
      for (const actor of actors) assert(hasPart(actor, creator), 'an actor is kept for a process that has no handle of its own making')
    for (const actor of this.#aliases.values()) assert(this.#byId.get(actor.spec.actorId) === actor, 'an alias of a forgotten actor')
  }

  #created(creator: WorkerId, actor: Actor): void {
    const all = this.#byCreator.get(creator)
    if (all === undefined) this.#byCreator.set(creator, new Set([actor]))
    else all.add(actor)
  }

  #forget(actorId: string, out: HeadEffect[]): void {
    const actor = this.#byId.get(actorId) as Actor
    this.#dead.delete(actorId)
    for (const alias of actor.aliases.keys()) this.#aliases.delete(alias)
    for (const creator of [actor.creator, ...actor.aliases.values()]) {
      const all = this.#byCreator.get(creator)
      if (all?.delete(actor) && all.size === 0) this.#byCreator.delete(creator)
    }
    this.#byId.delete(actorId)
    out.push({ is: 'persist', table: 'actors', key: actorId, row: null })
  }
}

/** It created it, or meant it when it would have created one. */
function hasPart({ creator, aliases }: Actor, process: WorkerId): boolean {
  return creator === process || [...aliases.values()].includes(process)
}

function nameKey(namespace: string, name: string): string {
  return `${namespace}\0${name}`
}
