// SPDX-License-Identifier: Apache-2.0
// A simulated driver or worker: the owner's machines as they ship, and around them what lib/run/runtime.ts does, without
// bytes. Refs that nobody can reach any more become garbage, which is collected at a time of the world's choosing.

import { type Actor, ActorCall } from '#lib/core/owner/actor-calls.js'
import type { Effect } from '#lib/core/owner/effects.js'
import { type Entry, STATE } from '#lib/core/owner/entry.js'
import type { Lane } from '#lib/core/owner/lane.js'
import type { Outcome } from '#lib/core/owner/outcome.js'
import { Owner, type OwnerEvent } from '#lib/core/owner/owner.js'
import { type Argument, TASK, Task } from '#lib/core/owner/task.js'
import type { TaskReply } from '#lib/core/owner/tasks.js'
import { ObjectStoreFullError } from '#lib/errors.js'
import { nodeOf, objectId } from '#lib/ids.js'
import { NO_CLAIM } from '#lib/wire/frames.js'
import type {
  ActorSpec,
  Control,
  JobSpec,
  NodeDied,
  NodeId,
  PullWhy,
  SchedulingClass,
  Where,
  WorkerDied,
  WorkerId,
} from '#lib/wire/messages.js'
import { actorSpec, jobOf } from '../fakes/cluster.js'
import { CPU } from '../fakes/owner.js'
import { SimActor } from './actor.js'
import { impatience } from './checkers/patience.js'
import { decodeError, encodeError, textOf } from './errors.js'
import { SimExecutor } from './executor.js'
import { SimFetches } from './fetches.js'
import { CLAIM, type Encoded, type Frame, type InGroup, type SentArgument, type Surroundings, type TaskFrame } from './frames.js'
import { sizeOf } from './object-store.js'
import type { ActorKind, Child, Context, Value } from './program.js'

export class Ref {
  live = true
  constructor(readonly entry: Entry) {
    entry.local++
  }
}

interface SimKind extends ActorKind {
  mayEnd: boolean
}

export class SimProcess implements Context<Ref> {
  readonly owner: Owner
  readonly executor: SimExecutor
  readonly fetches: SimFetches
  actor: SimActor | null = null
  /** Refs in the hands of the body that runs, and those nobody has any more. */
  readonly refs = new Set<Ref>()
  readonly garbage: Ref[] = []
  /** Whose it is: a driver's own, or of the first that a worker works for. */
  job: JobSpec | null
  /** Nodes of which it has heard that they are dead. */
  readonly deadNodes = new Set<NodeId>()
  /** Processes that were found to be gone. */
  readonly badNews: WorkerId[] = []
  /** Objects of others that were freed before it could borrow them. */
  readonly refused = new Set<string>()
  dirty = false
  readonly #out: Effect[] = []
  #acting = false
  readonly #settled = new Map<Entry, (() => void)[]>()
  /** By handle. */
  readonly #kinds = new WeakMap<Entry, SimKind>()
  /** How often the task may be run again that makes an entry. */
  readonly #retries = new WeakMap<Entry, number>()
  #acked: (() => void)[] = []

  constructor(
    readonly world: Surroundings,
    readonly id: WorkerId,
    readonly isDriver: boolean,
  ) {
    this.owner = new Owner(id, world.node, decodeError)
    this.executor = new SimExecutor(this)
    this.fetches = new SimFetches(this)
    this.job = isDriver ? jobOf(id) : null
    this.#watchLosses()
  }

  // What bodies do -----------------------------------------------------------------------------------------------------

  put(value: Value<Ref>): Ref {
    if (this.world.store.isFull) throw new ObjectStoreFullError('the store is full')
    const seq = this.owner.nextSeq(1)
    const encoded = this.encode(value)
    const id = objectId(this.id, seq)
    this.world.store.put(id, encoded)
    this.world.isPut(id)
    this.world.watch?.told(id, nodeOf(this.id))
    this.world.watch?.had(this.id, encoded.refs, id)
    const entry = this.owner.stored(seq, sizeOf(id), encoded.refs.length > 0 ? encoded.refs : null)
    return this.#ref(entry)
  }

  submit({ seed, depth, retries, args }: Child<Ref>, group: InGroup | null = null): Ref {
    const held: Entry[] = []
    const pieces: Argument[] = args.map(each => {
      if ('ref' in each) {
        this.#probe(each.ref.entry)
        held.push(each.ref.entry)
        return each.ref.entry
      }
      held.push(...each.value.refs.map(ref => ref.entry))
      return new TextEncoder().encode(JSON.stringify(this.encode(each.value)))
    })
    for (const entry of held) entry.holds++
    // Of one function in four nobody knows yet that it is quick.
    const code = { hash: JSON.stringify({ seed, depth, retries }), bytes: new Uint8Array(0), name: 'f', bodyMs: seed % 4 === 0 ? null : 0 }
    const task = new Task(
      this.owner.nextSeq(1),
      'f',
      code,
      this.#class(group),
      pieces,
      args.length,
      1,
      retries,
      false,
      held,
      this.executor.running,
    )
    // No checks in between: the refs of what fails at once are made here.
    this.owner.handle({ is: 'submit', task }, this.world.now, this.#out)
    const ref = this.#ref(task.entries[0] as Entry)
    this.#retries.set(ref.entry, retries)
    this.#carryOut()
    return ref
  }

  again(ref: Ref): Ref {
    return this.#ref(ref.entry)
  }

  drop(ref: Ref): void {
    this.refs.delete(ref)
    this.garbage.push(ref)
  }

  cancel({ entry }: Ref, force: boolean): void {
    if (!this.world.cancels) return
    this.#cancelling(entry)
    this.act({ is: 'cancel', entry, force, recursive: true })
  }

  get actors(): boolean {
    return this.world.makesActors
  }

  get restarts(): boolean {
    return this.world.restarts
  }

  get retries(): boolean {
    return this.world.retries
  }

  get legacies(): boolean {
    return this.world.legacies
  }

  kill(handle: Ref): void {
    const actorId = this.#idOf(handle.entry)
    this.world.kills(actorId)
    this.control(this.world.node, { is: 'actorKill', actorId, noRestart: true })
  }

  create({ maxRestarts, maxTaskRetries }: ActorKind, more: Partial<ActorSpec> = {}): Ref {
    const actorId = objectId(this.id, this.owner.nextSeq(1))
    const actor = this.owner.actor(actorId, true, 'A', true)
    actor.watched = true
    // One in a group ends with it, whatever its calls may.
    this.#kinds.set(actor.entry as Entry, { maxRestarts, maxTaskRetries, mayEnd: more.where !== undefined })
    const spec = actorSpec(actorId, { job: this.job as JobSpec, maxRestarts, maxTaskRetries, ...more })
    this.control(this.world.node, { is: 'actorCreate', spec })
    this.control(this.world.node, { is: 'actorWatch', actorId })
    return this.#ref(actor.entry as Entry)
  }

  call(handle: Ref, value: Value<Ref>): Ref {
    const actor = this.owner.calls.actors.get(this.#idOf(handle.entry)) as Actor
    const held = [...value.refs.map(ref => ref.entry), handle.entry]
    for (const entry of held) entry.holds++
    const args = new TextEncoder().encode(JSON.stringify(this.encode(value)))
    const { maxRestarts, maxTaskRetries: retries, mayEnd } = this.#kinds.get(handle.entry) as SimKind
    // The number of a method says how often its calls may be made again.
    const call = new ActorCall(this.owner.nextSeq(1), actor, 'A.f', retries, args, 1, 1, retries, held, this.executor.running)
    this.owner.handle({ is: 'call', call, pendingMax: -1 }, this.world.now, this.#out)
    const ref = this.#ref(call.entries[0] as Entry)
    if (maxRestarts + retries === -2 && !mayEnd) this.#mustAnswer(ref.entry)
    this.#carryOut()
    return ref
  }

  #mustAnswer(entry: Entry): void {
    this.#whenSettled(entry, () => {
      const failed = entry.state === STATE.failed && !this.world.isEnding(this)
      const wrong = failed ? impatience(`call ${entry.seq} of ${this.id}`, errorOf(entry).message) : null
      if (wrong !== null) this.world.faulty(wrong)
    })
  }

  /** A value without the refs in it, which are of no use any more to whoever gave it. */
  encode(value: Value<Ref>): Encoded {
    const refs = value.refs.map(({ entry }) => ({ owner: entry.owner ?? this.id, seq: entry.seq, isActor: false }))
    for (const ref of value.refs) this.drop(ref)
    this.world.watch?.had(this.id, refs, null)
    return { n: value.n, refs }
  }

  decode(encoded: Encoded): Value<Ref> {
    this.dirty = true
    this.world.watch?.had(this.id, encoded.refs, null)
    return { n: encoded.n, refs: encoded.refs.map(({ owner, seq }) => this.#ref(this.owner.references.refer(owner, seq, false))) }
  }

  /** Goes on with a body that asked for a value. */
  feed<T>(steps: Generator<Ref, T, Value<Ref>>, outcome: Encoded | Error): IteratorResult<Ref, T> {
    return outcome instanceof Error ? steps.throw(outcome) : steps.next(this.decode(outcome))
  }

  /** Calls back with the value of an entry, or its failure: now, or once it is there, in the store of this node where it is in one. */
  whenReady(entry: Entry, then: (outcome: Encoded | Error) => void): void {
    if (!entry.settled) return this.#whenSettled(entry, () => this.whenReady(entry, then))
    if (entry.state === STATE.failed) return then(this.#seen(errorOf(entry)))
    if (entry.state === STATE.stored) return this.read(this.#idOf(entry), 'get', then)
    then(entry.plain as Encoded)
  }

  /** The value of a stored object, brought here where it is elsewhere. */
  read(id: string, why: PullWhy, then: (outcome: Encoded | Error) => void): void {
    const here = this.world.store.read(id)
    if (here !== null) return then(here)
    if (this.world.isAlone) {
      this.world.missing(`object ${id}, which was got`)
      return then(new Error('gone'))
    }
    this.fetches.want(id, why, error => {
      // It stays until this returns.
      const brought = this.world.store.read(id)
      if (error === null && brought === null) this.read(id, why, then)
      else then(error === null ? (brought as Encoded) : this.#seen(error))
    })
  }

  need(entry: Entry): void {
    this.#probe(entry)
    if (entry.settled) return
    this.owner.values.need(entry)
    this.dirty = true
  }

  #seen(error: Error): Error {
    this.world.failed(textOf(error), this)
    return error
  }

  #whenSettled(entry: Entry, go: () => void): void {
    this.#settled.set(entry, [...(this.#settled.get(entry) ?? []), go])
  }

  whenBorrowsAreKnown(caller: WorkerId, go: () => void): void {
    const { references } = this.owner
    if (references.hasBorrowsToSend) this.act({ is: 'flush' })
    if (references.unsettledBorrows(caller)) this.#acked.push(go)
    else go()
  }

  collect(which: number): void {
    const [ref] = this.garbage.splice(which, 1) as [Ref]
    ref.live = false
    this.owner.unref(ref.entry, this.#out)
    this.#carryOut()
  }

  discardAll(): void {
    for (const ref of [...this.refs]) this.drop(ref)
  }

  // What the shell does ------------------------------------------------------------------------------------------------

  act(event: OwnerEvent): void {
    this.owner.handle(event, this.world.now, this.#out)
    this.#carryOut()
    if (event.is === 'flush') this.dirty = false
  }

  /** Of the end of a process that ended before this one began, nobody tells. */
  send(to: WorkerId, frame: Frame): void {
    if (!this.world.send(this.id, to, frame) && !this.owner.references.isDead(to)) this.badNews.push(to)
  }

  hearBadNews(): void {
    const workerId = this.badNews.shift() as WorkerId
    this.world.drain(workerId, this.id)
    this.#workerDied({
      is: 'workerDied',
      workerId,
      death: { exitCode: null, signal: null, stderrTail: '', reason: 'gone', outOfMemory: false },
    })
  }

  control(to: WorkerId, message: Control): void {
    this.send(to, { is: 'control', message })
  }

  receive(from: WorkerId, frame: Frame): void {
    this.dirty = true
    if (frame.is === 'reply') this.#resultsCame(frame, nodeOf(from))
    if (frame.is === 'task') this.executor.arrived(from, frame)
    else if (frame.is === 'call') this.actor?.queue.push({ from, frame })
    else if (frame.is === 'reply' && frame.claim === NO_CLAIM) {
      this.owner.callReplied(frame, this.world.now, this.#out)
      this.#carryOut()
    } else if (frame.is === 'reply') this.act(frame)
    else if (frame.is === 'value') this.act({ is: 'value', from, seq: frame.seq, outcome: frame.outcome })
    else if (frame.message.is === 'leaseStart') {
      this.#workFor(frame.message.job)
      this.executor.leaseStarted(from, frame.message)
    } else if (frame.message.is === 'takeBack') this.executor.giveBack(from, frame.message.claims)
    else if (frame.message.is === 'resumed') this.executor.resumed()
    else if (frame.message.is === 'actorStart') {
      this.#workFor(frame.message.spec.job)
      // A head that was restarted says so again.
      this.actor ??= new SimActor(this, frame.message)
    } else if (frame.message.is === 'actorStop') {
      // That it is one, a head that was restarted may not have said.
      if (this.actor === null) this.executor.retiring = true
      else this.actor.stopping = true
    } else if (frame.message.is === 'retire') this.executor.retiring = true
    else if (frame.message.is === 'workerDied') this.#workerDied(frame.message)
    else if (frame.message.is === 'nodeDied') this.#nodeDied(frame.message)
    else if (frame.message.is === 'pulled') this.fetches.pulled(frame.message.id)
    else if (frame.message.is === 'pullFailed') this.fetches.failed(frame.message.id, frame.message.error)
    else if (frame.message.is === 'cancelTask') this.executor.cancel(from, frame.message.task)
    else {
      this.#look(from, frame.message)
      if (frame.message.is === 'cancelObject') this.#cancelling(this.owner.references.owned.get(frame.message.seq))
      this.act({ is: 'message', from, message: frame.message })
    }
  }

  #resultsCame({ results, contained, task }: TaskReply, node: NodeId): void {
    const { watch } = this.world
    placeResults(results, node)
    for (const [i, outcome] of results.entries()) {
      const id = objectId(this.id, task + i)
      if (outcome.form === 'stored') watch?.told(id, node)
      watch?.had(this.id, contained?.[i] ?? [], id)
    }
  }

  /** Before it is handled. */
  #look(from: WorkerId, message: Control): void {
    const { watch } = this.world
    if (message.is === 'copyAdded' || message.is === 'copiesHeld')
      for (const seq of message.seqs) watch?.told(objectId(this.id, seq), nodeOf(from))
    if (message.is !== 'borrowed' && message.is !== 'adopted') return
    const asked = this.owner.references['unanswered'].get(message.ack)
    if (asked?.to !== from) return
    const byDaemon = message.is === 'adopted'
    if (!byDaemon) for (const seq of message.missing) this.refused.add(objectId(asked.owner, seq))
    watch?.answered(this, asked.owner, asked.seqs, message.missing, byDaemon)
  }

  #watchLosses(): void {
    const { recovery } = this.owner
    const lost = recovery.lost.bind(recovery)
    recovery.lost = (entry, ...rest) => {
      if (entry.owner === null && entry.state === STATE.stored && !entry.dropped) this.world.watch?.lost(this, entry.seq)
      lost(entry, ...rest)
    }
  }

  #workFor(job: JobSpec): void {
    this.job ??= job
    if (job.jobId !== this.job.jobId) this.world.faulty(`${this.id} of job ${this.job.jobId} works for job ${job.jobId}`)
  }

  #class(group: InGroup | null): SchedulingClass {
    const job = this.job as JobSpec
    if (group === null) return { ...CPU, key: `cpu ${job.jobId}`, job }
    return { ...CPU, key: `cpu ${job.jobId} ${group.groupId} ${group.bundle}`, job, where: within(group) }
  }

  #cancelling(entry: Entry | undefined): void {
    const task = entry?.task
    if (task instanceof Task && (task.state === TASK.waiting || task.state === TASK.queued))
      this.world.neverRuns(objectId(this.id, task.seq))
  }

  /** Leaves when it was asked to and nobody needs it; its idle leases go back first, or the workers would be ended with it. */
  settle(): void {
    const { actor, executor } = this
    if (!(executor.retiring || actor?.stopping) || !executor.idle || actor?.idle === false) return
    if (this.garbage.length > 0 || !this.owner.atRest) return
    this.act({ is: 'leaving' })
    this.world.leave(this.id)
  }

  #workerDied({ workerId, death }: WorkerDied): void {
    const claims = this.world.claims(this.id, workerId).slice()
    this.executor.callersDied(each => each === workerId)
    this.actor?.callersDied(each => each === workerId)
    this.act({ is: 'workerDied', workerId, death, begun: claim => claims[claim] === CLAIM.claimed })
  }

  #nodeDied({ nodeId, why }: NodeDied): void {
    this.deadNodes.add(nodeId)
    const isThere = (process: WorkerId): boolean => nodeOf(process) === nodeId
    this.executor.callersDied(isThere)
    this.actor?.callersDied(isThere)
    this.act({ is: 'nodeDied', nodeId, why })
  }

  #ref(entry: Entry): Ref {
    const ref = new Ref(entry)
    this.refs.add(ref)
    return ref
  }

  #idOf(entry: Entry): string {
    return objectId(entry.owner ?? this.id, entry.seq)
  }

  #probe(entry: Entry): void {
    if (entry.owner === null || entry.settled || !this.world.store.has(this.#idOf(entry))) return
    this.act({ is: 'value', from: entry.owner, seq: entry.seq, outcome: { form: 'stored', sizeBytes: sizeOf(this.#idOf(entry)) } })
  }

  #carryOut(): void {
    if (this.#acting) return
    this.#acting = true
    this.dirty = true
    for (let i = 0; i < this.#out.length; i++) this.#effect(this.#out[i] as Effect)
    this.#out.length = 0
    this.#acting = false
    this.owner.invariants()
  }

  #effect(effect: Effect): void {
    if (effect.is === 'dispatch') this.#dispatch(effect.task, effect.lane)
    else if (effect.is === 'call') {
      const value = JSON.parse(new TextDecoder().decode(effect.call.args as Uint8Array)) as Encoded
      const { seq: task, method: retries, remaking } = effect.call
      if (remaking !== null) this.world.watch?.remade()
      this.send(effect.to, { is: 'call', task, retries, isRemade: remaking !== null, value })
    } else if (effect.is === 'send') this.control(effect.to, effect.message)
    else if (effect.is === 'value') this.send(effect.to, { is: 'value', seq: effect.entry.seq, outcome: sentOutcome(effect.entry) })
    else if (effect.is === 'revoke') {
      const { task, lane } = effect
      const words = this.world.claims(this.id, lane.workerId)
      const ok = task.lane === lane && this.world.alive(lane.workerId) && words[task.claim] === CLAIM.queued
      if (ok) words[task.claim] = CLAIM.revoked
      if (ok && task.cancelled) this.world.neverRuns(objectId(this.id, task.seq))
      this.owner.handle({ is: 'revoked', task, lane, ok }, this.world.now, this.#out)
    } else if (effect.is === 'settled') {
      const retries = this.#retries.get(effect.entry)
      if (effect.entry.error instanceof Error && retries !== undefined) this.world.watch?.failsHere(textOf(effect.entry.error), retries)
      const waiting = this.#settled.get(effect.entry) ?? []
      this.#settled.delete(effect.entry)
      for (const go of waiting) go()
    } else if (effect.is === 'drop' && effect.entry.isActor) {
      const actorId = this.#idOf(effect.entry)
      this.owner.calls.actors.delete(actorId)
      this.control(this.world.node, { is: 'actorDrop', actorId })
    } else if (effect.is === 'drop') {
      if (effect.entry.owner === null) this.fetches.dropped(effect.entry, effect.nodes)
    } else if (effect.is === 'discard') {
      this.world.store.delete(objectId(this.id, effect.seq))
      if (effect.elsewhere) this.fetches.free({ is: 'free', nodes: [], seqs: [effect.seq] })
    } else if (effect.is === 'located') this.fetches.located(effect)
    else if (effect.is === 'free') this.fetches.free(effect)
    else if (effect.is === 'acked') {
      const waiting = this.#acked
      this.#acked = []
      for (const go of waiting) go()
    }
  }

  #dispatch(task: Task, lane: Lane): void {
    if (task.remaking !== null) this.world.watch?.remade()
    if (!this.world.alive(lane.workerId)) return
    if (!lane.announced) {
      lane.announced = true
      const { resources, job } = task.scheduling
      this.control(lane.workerId, { is: 'leaseStart', leaseId: lane.leaseId, gpuIds: lane.gpuIds, resources, job, capture: null })
    }
    if (!lane.isRemote) this.world.claims(this.id, lane.workerId)[task.claim] = CLAIM.queued
    const args = (task.args as Argument[]).map((argument): SentArgument => {
      if (argument instanceof Uint8Array) return { inline: JSON.parse(new TextDecoder().decode(argument)) as Encoded }
      return argument.state === STATE.stored ? { stored: this.#idOf(argument) } : { inline: argument.plain as Encoded }
    })
    const { seed, depth, retries } = JSON.parse(task.code.hash) as Pick<TaskFrame, 'seed' | 'depth' | 'retries'>
    this.send(lane.workerId, {
      is: 'task',
      claim: task.claim,
      asked: lane.isRemote,
      task: task.seq,
      seed,
      depth,
      retries,
      args,
      group: groupOf(task),
    })
  }
}

export function within(group: InGroup): Where {
  return { strategy: { is: 'group', ...group, capture: false }, labels: {} }
}

function groupOf({ scheduling: { where } }: Task): InGroup | null {
  if (where?.strategy.is !== 'group') return null
  const { groupId, bundle } = where.strategy
  return { groupId, bundle }
}

function sentOutcome(entry: Entry): Outcome {
  if (entry.state === STATE.failed) {
    return { form: 'failed', error: encodeError(errorOf(entry)) }
  }
  return entry.state === STATE.stored ? { form: 'stored', sizeBytes: entry.sizeBytes } : { form: 'plain', value: entry.plain }
}

function errorOf({ error }: Entry): Error {
  return error instanceof Error ? error : decodeError(error as Uint8Array)
}

/** What a worker stored is in the store of its node. */
function placeResults(results: Outcome[], node: NodeId): void {
  for (const outcome of results) if (outcome.form === 'stored') outcome.node = node
}
