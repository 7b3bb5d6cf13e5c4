// SPDX-License-Identifier: Apache-2.0
// The shell of one driver or worker: its place in the store and the mesh, the owner's machines, and the effects they ask
// for. It routes; what decides is in core/owner, what runs tasks in executor.ts.

import { encodeError, rebuildTaskError, useContextForErrors } from '../codec/error-value.js'
import type { FunctionContext } from '../codec/function.js'
import { Decoder, type Encoded, Encoder } from '../codec/value.js'
import { viewOfNone } from '../core/head/actor.js'
import type { Actor } from '../core/owner/actor-calls.js'
import type { Effect } from '../core/owner/effects.js'
import { type Entry, STATE } from '../core/owner/entry.js'
import type { ContainedRef } from '../core/owner/outcome.js'
import { Owner, type OwnerEvent } from '../core/owner/owner.js'
import { TaskCancelledError } from '../errors.js'
import { objectId } from '../ids.js'
import { Mesh, type Peer } from '../io/mesh.js'
import type { Routes } from '../io/routes.js'
import { DaemonUplink } from '../io/uplink.js'
import type { NativeStore } from '../native.js'
import { limits } from '../options.js'
import { FRAME, NO_CLAIM } from '../wire/frames.js'
import type { ActorView, Control, Environment, JobSpec, NodeId, Welcome, WorkerId } from '../wire/messages.js'
import { ArgumentEncoder, type ArgumentHost } from './arguments.js'
import { BadNews } from './bad-news.js'
import { Dispatcher } from './dispatch.js'
import { Fetches } from './fetches.js'
import { Groups } from './groups.js'
import { enterJob } from './job.js'
import { Pressure } from './pressure.js'
import { Puts } from './puts.js'
import { Reader } from './reader.js'
import { type RefKeeper, watch } from './ref.js'
import { ReferenceTravel } from './reference-travel.js'
import { Requests } from './requests.js'
import { readReply, readValue, writeValue } from './results.js'

/** What runs tasks in this process; a driver has none. */
export interface TaskRunner {
  /** The actor this process is, if it is one. */
  readonly actorId: string | null
  onTask(from: Peer, bytes: Uint8Array, view: DataView, at: number, end: number): void
  /** Gives true when the message was for it. */
  onControl(from: Peer, message: Control): boolean
  onPeerClosed(peer: Peer): void
  /** Wraps a wait inside a task, which gives its CPU back meanwhile. */
  waiting<T>(promise: Promise<T>): Promise<T>
}

export interface RuntimeHooks {
  onWelcome(message: Welcome): void
  onMessage(message: Control): void
  /** The node daemon is gone: nothing can go on. */
  onNodeLost(reason: string): void
}

export class Runtime implements ArgumentHost, RefKeeper {
  readonly self: WorkerId
  readonly owner: Owner
  readonly mesh: Mesh
  private readonly routes: Routes
  readonly context: FunctionContext
  readonly encoder: Encoder
  readonly decoder: Decoder
  readonly reader: Reader
  readonly puts: Puts
  readonly pressure: Pressure
  readonly arguments: ArgumentEncoder
  readonly requests: Requests
  readonly groups: Groups
  readonly travel: ReferenceTravel
  readonly fetches: Fetches
  welcome: Welcome | null = null
  /** The job of this process; null in a worker that has run nothing. */
  job: JobSpec | null = null
  /** Nobody of its job is left, but what outlives it. */
  jobOver = false
  /** The placement group that takes in what the task or actor that runs here submits; null for none. */
  captured: string | null = null
  /** The runtime environment of this process, which the tasks it submits inherit. */
  environment: Environment | null = null
  runner: TaskRunner | null = null
  closed = false
  private readonly dispatcher: Dispatcher
  private readonly out: Effect[] = []
  private acting = false
  private waits = 0
  private timer: NodeJS.Timeout | null = null
  private ackWaiters: (() => void)[] = []
  private readonly badNews = new BadNews(this)

  constructor(
    readonly store: NativeStore,
    readonly node: WorkerId,
    private readonly hooks: RuntimeHooks,
    spinMicros: number,
  ) {
    this.self = store.workerId
    this.owner = new Owner(this.self, node, rebuildTaskError)
    this.mesh = new Mesh(store, this, spinMicros)
    this.routes = this.mesh.routeOver(new DaemonUplink(this.mesh, node))
    this.mesh.beforeFlush = () => this.act({ is: 'flush' })
    this.travel = new ReferenceTravel(this)
    this.context = this.travel.context
    useContextForErrors(this.context)
    this.encoder = new Encoder(this.context)
    this.decoder = new Decoder(this.context)
    this.fetches = new Fetches(this)
    this.reader = new Reader(store, this.decoder, this.fetches, entry => this.idOf(entry))
    this.puts = new Puts(this)
    this.pressure = new Pressure(store)
    this.arguments = new ArgumentEncoder(this)
    this.requests = new Requests(this)
    this.groups = new Groups(this)
    this.dispatcher = new Dispatcher(this.mesh, this)
  }

  /** Gives an event to the owner's machines and carries out what they ask. */
  act(event: OwnerEvent): void {
    this.owner.handle(event, performance.now(), this.out)
    this.carryOut()
  }

  send(to: WorkerId, message: Control): void {
    this.mesh.send(to, message)
  }

  idOf(entry: Entry): string {
    entry.id ??= objectId(entry.owner ?? this.self, entry.seq)
    return entry.id
  }

  unref(entry: Entry): void {
    if (this.closed) return
    this.owner.unref(entry, this.out)
    this.carryOut()
    this.mesh.scheduleFlush()
  }

  /** A borrowed value may be in this node's store already; otherwise its owner is asked. */
  need(entry: Entry): void {
    this.probe(entry)
    if (entry.settled) return
    this.owner.values.need(entry)
    this.mesh.scheduleFlush()
  }

  probe(entry: Entry): void {
    if (entry.owner === null || entry.settled || entry.isActor) return
    if (!this.store.contains(this.idOf(entry))) return
    // As if its owner had said so: what waits for it as an argument goes on too.
    this.act({ is: 'value', from: entry.owner, seq: entry.seq, outcome: { form: 'stored', sizeBytes: 0 } })
  }

  /** Entries of the refs and handles inside an encoded value, each held once more. */
  holdReferences(encoded: Encoded): Entry[] {
    const entries = this.travel.entriesOf(encoded.references)
    for (const entry of entries) entry.holds++
    return entries
  }

  unhold(entries: Entry[]): void {
    this.owner.references.unholdAll(entries, this.out)
    this.carryOut()
  }

  putEncoded(encoded: Encoded): Entry {
    return this.puts.encoded(encoded)
  }

  contained(encoded: Encoded): ContainedRef[] | null {
    if (encoded.references.length === 0) return null
    return this.travel
      .entriesOf(encoded.references)
      .map(entry => ({ owner: entry.owner ?? this.self, seq: entry.seq, isActor: entry.isActor }))
  }

  /** Keeps the event loop alive from now on: a worker has nothing else that does. */
  stay(): void {
    if (this.waits++ === 0) this.mesh.ref()
  }

  /** Keeps the event loop alive while somebody waits. */
  async waiting<T>(promise: Promise<T>): Promise<T> {
    // A worker stays in any case; a driver only for what it waits for.
    if (this.waits++ === 0 && this.runner === null) this.mesh.ref()
    try {
      return await (this.runner === null ? promise : this.runner.waiting(promise))
    } finally {
      if (--this.waits === 0 && this.runner === null && !this.closed) this.mesh.unref()
    }
  }

  /** Resolves when `done` says so of what the head tells of the actor; rejects when it throws. */
  actorSettled(actor: Actor, done: (view: ActorView) => boolean): Promise<void> {
    if (!actor.watched) {
      actor.watched = true
      this.send(this.node, { is: 'actorWatch', actorId: actor.actorId })
    }
    return new Promise((resolve, reject) => {
      const look = (): void => {
        try {
          if (actor.view !== null && done(actor.view)) resolve()
          else actor.observers.push(look)
        } catch (error) {
          reject(error)
        }
      }
      look()
    })
  }

  /** An actor that was never made: its calls fail with this. */
  actorFailed(actor: Actor, error: Error): void {
    const { actorId, className } = actor
    const view = { ...viewOfNone(actorId, encodeError(error)), className }
    this.act({ is: 'message', from: this.node, message: { is: 'actorState', actorId, view } })
    this.mesh.scheduleFlush()
  }

  /** What this process does from now on is for that job: always the same one, if it had one. */
  workFor(job: JobSpec): void {
    if (this.job === null) enterJob(job)
    this.job = job
  }

  get isActor(): boolean {
    return this.actorId !== null
  }

  get actorId(): string | null {
    return this.runner?.actorId ?? null
  }

  /** Resolves once every borrow registered with others than `except` is known to its owner. */
  borrowsSettled(except: WorkerId): Promise<void> | null {
    const { references } = this.owner
    if (references.hasBorrowsToSend) this.act({ is: 'flush' })
    if (!references.unsettledBorrows(except)) return null
    return new Promise(resolve => this.ackWaiters.push(resolve))
  }

  /** Everything that waits fails with this: the session is over. */
  fail(error: Error): void {
    for (const entry of [
      ...this.owner.references.owned.values(),
      ...[...this.owner.references.borrowed.values()].flatMap(table => [...table.values()]),
    ]) {
      if (entry.settled || entry.isActor) continue
      entry.seen = true
      this.owner.values.settle(entry, { form: 'failed', error }, this.out)
    }
    this.requests.fail(error)
    this.fetches.fail(error)
    this.groups.fail(error)
    const waiters = this.out.filter(effect => effect.is === 'settled')
    this.out.length = 0
    for (const effect of waiters) if (effect.is === 'settled') this.wake(effect.entry)
  }

  /** Ends this process, once others no longer need what it owns and all it has to say is said. */
  leave(attempt = 0): void {
    if (this.jobOver) this.act({ is: 'jobOver', running: null })
    this.act({ is: 'leaving' })
    if (this.owner.needed) {
      // Often it is only garbage that needs it: first its own, then that of others, who have no other reason to collect.
      if (attempt === 0) this.pressure.collect()
      else if (attempt % limits.leaveCollectEvery === 0) this.makeRoom()
      setTimeout(() => this.leave(attempt + 1), limits.leaveAgainMs)
      return
    }
    this.mesh.flush()
    if (this.mesh.isWaiting) setTimeout(() => this.leave(attempt + 1), limits.leaveAgainMs)
    else setImmediate(() => process.exit(0))
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    if (this.timer !== null) clearTimeout(this.timer)
    this.mesh.beforeFlush = () => {}
    this.mesh.close()
    this.store.close()
  }

  // MeshListener ----------------------------------------------------------------------------------------------------

  onFrame(from: Peer, kind: number, bytes: Uint8Array, view: DataView, at: number, end: number): void {
    if (kind === FRAME.task) {
      this.runner?.onTask(from, bytes, view, at, end)
      return
    }
    if (kind === FRAME.value) {
      const { seq, outcome } = readValue(bytes, view, at, end)
      this.act({ is: 'value', from: from.workerId, seq, outcome })
      return
    }
    const reply = readReply(from.workerId, bytes, view, at, end)
    if (reply.status === 'error') reply.retry = this.requests.shouldRetry(reply)
    if (reply.claim !== NO_CLAIM) this.act(reply)
    else {
      this.owner.callReplied(reply, performance.now(), this.out)
      this.carryOut()
    }
  }

  onControl(from: Peer, message: Control): void {
    if (this.runner?.onControl(from, message)) return
    switch (message.is) {
      case 'welcome':
        this.welcome = message
        return this.hooks.onWelcome(message)
      case 'collect':
        return this.pressure.collect()
      case 'workerDied':
        return this.badNews.workerDied(message.workerId, message.death, () => this.hooks.onMessage(message))
      case 'routeHold':
        return this.routes.hold(message.nodeId, message.held)
      case 'nodeDied':
        return this.badNews.nodeDied(message)
      case 'actorState':
        if (message.view.phase === 'alive' && !this.badNews.any) break
        return this.badNews.tell(() => this.act({ is: 'message', from: from.workerId, message }))
      case 'pulled':
        return this.fetches.pulled(message.id)
      case 'pullFailed':
        return this.fetches.failed(message.id, message.error)
      case 'answer':
      case 'actorNamed':
      case 'groupNamed':
        return this.requests.answered(message)
      case 'groupState':
        return this.groups.told(message)
      case 'ask':
        return this.send(from.workerId, { is: 'told', request: message.request, rows: this.requests.rows(message.what, message.argument) })
      case 'log':
      case 'jobOver':
      case 'warning':
      case 'headAway':
      case 'nodeEnds':
      case 'refused':
      case 'retire':
        return this.hooks.onMessage(message)
    }
    this.act({ is: 'message', from: from.workerId, message })
  }

  onPeerClosed(peer: Peer, reason: string, detail: string): void {
    this.badNews.endedClaims.keep(peer, reason === 'corrupt')
    this.runner?.onPeerClosed(peer)
    if (this.closed) return
    if (peer.workerId === this.node) this.hooks.onNodeLost(detail === '' ? reason : `${reason}: ${detail}`)
    else if (reason === 'corrupt') {
      this.send(this.node, { is: 'corrupt', workerId: peer.workerId, detail })
      this.mesh.scheduleFlush()
    }
  }

  onBatchEnd(): void {
    this.mesh.scheduleFlush()
  }

  // ------------------------------------------------------------------------------------------------------------------

  private carryOut(): void {
    if (this.acting) return
    this.acting = true
    const { out } = this
    try {
      for (let i = 0; i < out.length; i++) this.effect(out[i] as Effect)
    } finally {
      out.length = 0
      this.acting = false
    }
    this.arm()
  }

  private effect(effect: Effect): void {
    switch (effect.is) {
      case 'dispatch':
        if (!this.dispatcher.task(effect.task, effect.lane)) this.badNews.endedClaims.neverSent(effect.lane.workerId, effect.task.claim)
        break
      case 'call': {
        const peer = this.mesh.peer(effect.to)
        if (peer !== null) this.dispatcher.call(effect.call, peer, effect.incarnation)
        break
      }
      case 'settled':
        this.wake(effect.entry)
        break
      case 'send':
        if (!this.mesh.send(effect.to, effect.message)) this.badNews.unreachable(effect.to)
        break
      case 'revoke': {
        const ok = effect.task.lane === effect.lane && this.dispatcher.revoke(effect.task, effect.lane)
        this.owner.handle({ is: 'revoked', task: effect.task, lane: effect.lane, ok }, performance.now(), this.out)
        break
      }
      case 'value': {
        const peer = this.mesh.peer(effect.to)
        if (peer !== null) writeValue(this.mesh, peer, effect.entry, encodeError)
        break
      }
      case 'drop':
        this.dropped(effect.entry, effect.nodes)
        break
      case 'discard':
        this.store.delete(objectId(this.self, effect.seq))
        if (effect.elsewhere) this.fetches.free({ is: 'free', nodes: [], seqs: [effect.seq] })
        break
      case 'located':
        this.fetches.located(effect)
        break
      case 'free':
        this.fetches.free(effect)
        break
      case 'actorChanged': {
        const observers = effect.actor.observers
        effect.actor.observers = []
        for (const each of observers) each()
        break
      }
      case 'acked': {
        const waiters = this.ackWaiters
        this.ackWaiters = []
        for (const each of waiters) each()
        this.mesh.scheduleFlush()
        break
      }
    }
  }

  share(entry: Entry): void {
    this.owner.references.share(entry)
  }

  /** Asks for room in the store: here and in every other process. */
  makeRoom(): void {
    this.pressure.collect()
    this.send(this.node, { is: 'collect' })
  }

  /** A turn of the event loop for what has been collected, when the store is well filled. */
  async breathe(): Promise<void> {
    this.pressure.high = false
    // One turn for V8 to say what it has collected, one for the finalizers of views.
    for (let turn = 0; turn < 2; turn++) await new Promise(resolve => setImmediate(resolve))
  }

  private wake(entry: Entry): void {
    if (entry.state === STATE.stored && entry.owner === null && entry.storedAs === null) this.pressure.stored(entry.sizeBytes)
    if (entry.firstRef !== null) {
      if (this.owner.references.setPrivate(entry)) entry.firstRef = null
      else watch(entry)
    }
    const { waiters } = entry
    if (waiters === null) return
    entry.waiters = null
    for (const each of waiters) each(entry)
  }

  private dropped(entry: Entry, nodes: NodeId[]): void {
    if (entry.isActor) return this.requests.actorDropped(entry)
    if (entry.owner === null) this.fetches.dropped(entry, nodes)
    if (
      entry.error !== null &&
      !entry.seen &&
      entry.owner === null &&
      this.runner === null &&
      !(entry.error instanceof TaskCancelledError)
    ) {
      const error = this.reader.failure(entry)
      process.stderr.write(`eagleray: a task failed and nobody looked at its result: ${error.message}\n`)
    }
  }

  private arm(): void {
    if (this.timer !== null || this.closed) return
    const deadline = this.owner.deadline()
    if (deadline === null) return
    this.timer = setTimeout(
      () => {
        this.timer = null
        this.act({ is: 'tick' })
        this.mesh.scheduleFlush()
      },
      // Never longer than a lease may be idle: what becomes due sooner than what this waits for is then noticed in time.
      Math.min(limits.leaseIdleMs, Math.max(1, deadline - performance.now())),
    )
    this.timer.unref()
  }
}

/** How the runtime is asked for by the API of this process: null before init. */
export const session: { runtime: Runtime | null /** Why this process may not use the API yet. */; notYet: string | null } = {
  runtime: null,
  notYet: null,
}

/** Limits the spin to what the configuration says. */
export const SPIN_MICROS = Number(process.env.EAGLERAY_SPIN_MICROS ?? limits.spinMicros)
