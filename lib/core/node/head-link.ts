// SPDX-License-Identifier: Apache-2.0
// A node's side of a head that is another process: it registers, says that it lives, and brings what its processes and the
// node itself have for the head. While the head is away everything here goes on, and what is for the head waits.
//
//   away --up--> registering --registered, watching, the rest sent again, synced--> joined --restarted, registerAgain--> registering
//     \_____________________________________ fenced (final) _______________________________________________/
//
// Invariants: nothing is sent before `registered` but `register`; what the head has not kept is sent again to the next
// one, before `synced`, which tells what lives here as it is after all that; whoever watches an actor is told to each head,
// before anything else, since what the one before was to tell must not come after what the next is asked.

import { ActorUnschedulableError, type EaglerayError } from '../../errors.js'
import { limits } from '../../options.js'
import type {
  ActorSeat,
  ActorView,
  Amounts,
  BundleSeat,
  Control,
  Demand,
  HeadMessage,
  KvAnswer,
  NodeDied,
  NodeId,
  NodeView,
  Registered,
  View,
  WorkerId,
} from '../../wire/messages.js'
import { assert } from '../assert.js'
import { viewOfNone } from '../head/actor.js'
import { Watchers } from '../head/watchers.js'
import { type Machine, type Millis, soonest } from '../machine.js'
import type { HeadToNode, NodeToHead } from './events.js'
import { HeadAbsence } from './head-absence.js'
import { Outbox } from './outbox.js'

export interface Membership {
  /** Who this node is. `available` is filled in. */
  readonly node: Omit<NodeView, 'available' | 'state' | 'deathCause'>
  /** What is free now, and what waits for more. */
  readonly load: () => { available: Amounts; demand: Demand[] }
  readonly lives: () => { actors: ActorSeat[]; placing: string[]; jobs: string[]; bundles: BundleSeat[] }
  readonly encodeError: (error: EaglerayError) => Uint8Array
}

export type HeadLinkEvent =
  /** There is a link to the head. */
  | { is: 'headUp' }
  | { is: 'headDown' }
  /** Behind the link is another process than before. What was sent last may be lost. */
  | { is: 'headRestarted' }
  | { is: 'fromHead'; message: Control }
  /** From a process of this node. */
  | { is: 'forHead'; from: WorkerId; message: Control }
  | { is: 'toHead'; event: NodeToHead }
  | { is: 'tick' }

export type HeadLinkEffect =
  | { is: 'sendHead'; message: HeadMessage }
  | { is: 'send'; to: WorkerId; message: Control }
  | { is: 'headToNode'; event: HeadToNode }
  | { is: 'cluster'; message: View | NodeDied }
  /** Part of the cluster (again). */
  | { is: 'joined'; clusterId: string; nodeDeadAfterMs: number }
  | { is: 'fenced'; why: string }
  /** For the drivers. */
  | { is: 'headAway'; isAway: boolean; storage: string | null }

/** In place of why the head has not placed something yet. */
export interface AwayRow {
  isHeadAway: true
  storage: string | null
}

type Load = ReturnType<Membership['load']>

export class HeadLink implements Machine<HeadLinkEvent, HeadLinkEffect> {
  readonly #membership: Membership
  readonly #outbox = new Outbox()
  #state: 'away' | 'registering' | 'joined' | 'fenced' = 'away'
  #isUp = false
  #clusterId: string | null = null
  /** Other nodes that the head has told of, and not of their end. */
  readonly #others = new Set<NodeId>()
  /** Those that the head said were dead when this node registered last. */
  #dead = new Set<NodeId>()
  /** The head has heard of it, so it hears of its end. */
  readonly #known = new Set<WorkerId>()
  readonly #watches = new Watchers()
  readonly #groupWatches = new Watchers()
  #idleMs: number = limits.beatIdleMs
  #lastBeat: Millis = 0
  #told: Load | null = null
  /** When it was last looked whether there is news. */
  #lookedAt: Millis = 0
  /** Something may have changed since the last beat. */
  #isDirty = false
  readonly #absence = new HeadAbsence()
  /** It was drained, and has said so. */
  #isDrained = false

  constructor(membership: Membership) {
    this.#membership = membership
  }

  get isJoined(): boolean {
    return this.#state === 'joined'
  }

  /** What drivers have been told of the head's absence; null: that it is there. */
  get told(): Extract<HeadLinkEffect, { is: 'headAway' }> | null {
    return this.#absence.isTold ? { is: 'headAway', isAway: true, storage: this.#absence.storage } : null
  }

  handle(event: HeadLinkEvent, now: Millis, out: HeadLinkEffect[]): void {
    if (this.#state === 'fenced') return
    this.#handle(event, now, out)
    const told = this.#absence.look(this.#state === 'joined' && this.#isUp, now)
    if (told !== null) out.push({ is: 'headAway', isAway: told, storage: this.#absence.storage })
    if (this.#absence.isAway) for (const { from, request } of this.#outbox.answeredHere()) this.#explain(from, request, out)
  }

  #handle(event: HeadLinkEvent, now: Millis, out: HeadLinkEffect[]): void {
    switch (event.is) {
      case 'headUp':
        this.#isUp = true
        return this.#state === 'away' ? this.#register(out) : undefined
      case 'headDown':
        this.#isUp = false
        this.#absence.storage = null
        return
      case 'headRestarted':
        this.#state = 'away'
        this.#absence.storage = null
        return this.#isUp ? this.#register(out) : undefined
      case 'fromHead':
        return this.#fromHead(event.message as HeadMessage, now, out)
      case 'forHead':
        return this.#forHead(event.from, event.message, out)
      case 'toHead':
        return this.#toHead(event.event, out)
      case 'tick':
        return this.#beat(now, out)
    }
  }

  /** What is free may have changed. */
  touch(): void {
    this.#isDirty = true
  }

  deadline(): Millis | null {
    if (this.#state === 'fenced') return null
    return soonest([this.#absence.deadline(), this.#beatAt()])
  }

  #beatAt(): Millis | null {
    if (this.#state !== 'joined' || !this.#isUp) return null
    const idle = this.#lastBeat + this.#idleMs
    return this.#isDirty ? Math.min(idle, this.#lookedAt + limits.beatMs) : idle
  }

  invariants(): void {
    this.#watches.invariants()
    let last = 0
    for (const { seq } of this.#outbox.all()) {
      assert(seq > last, 'what waits for the head is out of order')
      last = seq
    }
  }

  #register(out: HeadLinkEffect[]): void {
    this.#state = 'registering'
    const node: NodeView = { ...this.#membership.node, available: this.#membership.load().available, state: 'alive', deathCause: null }
    out.push({ is: 'sendHead', message: { is: 'register', clusterId: this.#clusterId, node } })
  }

  #fromHead(message: HeadMessage, now: Millis, out: HeadLinkEffect[]): void {
    switch (message.is) {
      case 'registered':
        return this.#state === 'registering' ? this.#registered(message, now, out) : undefined
      case 'registerAgain':
        return this.#state === 'joined' ? this.#register(out) : undefined
      case 'headAck':
        return this.#outbox.kept(message.seq)
      case 'deliver':
        return this.#deliver(message.to, message.message, out)
      case 'toNode':
        if (message.event.is === 'watchProcess') this.#known.add(message.event.workerId)
        out.push({ is: 'headToNode', event: message.event })
        return
      case 'view':
        return this.#view(message, out)
      case 'nodeDied':
        return this.#nodeDied(message, out)
      case 'headStorage':
        this.#absence.storage = message.storage
        return
      case 'fenced':
        this.#state = 'fenced'
        // A head that was killed let it go, and could not say so any more.
        if (this.#isDrained) out.push({ is: 'headToNode', event: { is: 'leave' } })
        else out.push({ is: 'fenced', why: message.why })
    }
  }

  /** A node that is not in a full view has died while this one heard nothing: the head of that time was about to tell it, or this one was away. */
  #view(view: View, out: HeadLinkEffect[]): void {
    const living = new Set(view.nodes.filter(({ state }) => state !== 'dead').map(({ nodeId }) => nodeId))
    const why = 'its death was told while this node did not hear the head'
    if (view.full) for (const nodeId of [...this.#others]) if (!living.has(nodeId)) this.#nodeDied({ is: 'nodeDied', nodeId, why }, out)
    for (const nodeId of living) if (nodeId !== this.#membership.node.nodeId) this.#others.add(nodeId)
    out.push({ is: 'cluster', message: view })
  }

  #nodeDied(message: NodeDied, out: HeadLinkEffect[]): void {
    this.#others.delete(message.nodeId)
    out.push({ is: 'cluster', message })
  }

  #registered({ clusterId, seen, nodeDeadAfterMs, dead }: Registered, now: Millis, out: HeadLinkEffect[]): void {
    this.#clusterId = clusterId
    this.#idleMs = Math.min(limits.beatIdleMs, nodeDeadAfterMs / 4)
    this.#state = 'joined'
    this.#outbox.kept(seen)
    const [actors, groups] = [[...this.#watches.all()], [...this.#groupWatches.all()]]
    out.push({ is: 'sendHead', message: { is: 'watching', actors, groups } })
    for (const message of this.#outbox.all()) out.push({ is: 'sendHead', message })
    out.push({ is: 'sendHead', message: { is: 'synced', ...this.#membership.lives() } })
    this.#told = null
    out.push({ is: 'joined', clusterId, nodeDeadAfterMs })
    this.#bury(dead, out)
    this.#beat(now, out)
  }

  /** What was on nodes that this one has never heard of may still be asked for here. */
  #bury(dead: NodeId[], out: HeadLinkEffect[]): void {
    const why = 'it died before this node heard of it'
    for (const nodeId of dead)
      if (!this.#dead.has(nodeId) && !this.#others.has(nodeId)) this.#nodeDied({ is: 'nodeDied', nodeId, why }, out)
    this.#dead = new Set(dead)
  }

  #forHead(from: WorkerId, message: Control, out: HeadLinkEffect[]): void {
    if (this.#isFull && this.#refuse(from, message, out)) return
    this.#known.add(from)
    if (message.is === 'actorCreate') this.#watches.add(message.spec.actorId, from)
    if (message.is === 'actorWatch') this.#watches.add(message.actorId, from)
    if (message.is === 'groupWatch') this.#groupWatches.add(message.groupId, from)
    const numbered = this.#outbox.forHead(from, message)
    if (this.#state === 'joined') out.push({ is: 'sendHead', message: numbered })
  }

  #toHead(event: NodeToHead, out: HeadLinkEffect[]): void {
    if (event.is === 'drained') this.#isDrained = true
    if (event.is === 'placed') this.#known.add(event.workerId)
    if (event.is === 'processDied') {
      this.#outbox.processGone(event.workerId)
      this.#watches.processGone(event.workerId)
      this.#groupWatches.processGone(event.workerId)
      // Most processes run tasks and are nothing to the head.
      if (!this.#known.delete(event.workerId)) return
    }
    const numbered = this.#outbox.toHead(event)
    if (this.#state === 'joined') out.push({ is: 'sendHead', message: numbered })
  }

  #deliver(to: WorkerId, message: Control, out: HeadLinkEffect[]): void {
    if ('request' in message) this.#outbox.answered(to, message.request)
    if (message.is === 'groupState' && (message.view === null || message.view.phase === 'removed')) this.#groupWatches.drop(message.groupId)
    if (message.is === 'actorState' && message.view.phase === 'dead') this.#watches.remove(message.actorId, to)
    out.push({ is: 'send', to, message })
  }

  /** Why something waits for the head is plain while that is away; the question need not wait for it as well. */
  #explain(to: WorkerId, request: number, out: HeadLinkEffect[]): void {
    this.#outbox.answered(to, request)
    const row: AwayRow = { isHeadAway: true, storage: this.#absence.storage }
    out.push({ is: 'send', to, message: { is: 'answer', request, rows: [row] } })
  }

  #beat(now: Millis, out: HeadLinkEffect[]): void {
    const due = this.#beatAt()
    if (due === null || (now < due && this.#told !== null)) return
    const load = this.#membership.load()
    this.#isDirty = false
    this.#lookedAt = now
    if (now < this.#lastBeat + this.#idleMs && !isNews(this.#told, load, this.#membership.node.total)) return
    this.#told = load
    this.#lastBeat = now
    out.push({ is: 'sendHead', message: { is: 'beat', ...load } })
  }

  get #isFull(): boolean {
    return this.#outbox.size >= limits.headQueueMax || this.#outbox.bytes >= limits.headQueueBytesMax
  }

  /** Gives false for what is small and must not be lost. */
  #refuse(from: WorkerId, message: Control, out: HeadLinkEffect[]): boolean {
    const why = `the head of the cluster is away, and ${this.#outbox.size} messages wait for it already`
    if (message.is === 'actorCreate') {
      const { actorId, className } = message.spec
      const error = new ActorUnschedulableError(`Actor ${className} cannot be created: ${why}`)
      const view: ActorView = viewOfNone(actorId, this.#membership.encodeError(error))
      out.push({ is: 'send', to: from, message: { is: 'actorState', actorId, view } })
    } else if (message.is === 'query' || message.is === 'drainNode') {
      out.push({ is: 'send', to: from, message: { is: 'answer', request: message.request, rows: [] } })
    } else if (message.is === 'actorByName') {
      out.push({ is: 'send', to: from, message: { is: 'actorNamed', request: message.request, view: null } })
    } else if (message.is === 'kvPut' || message.is === 'kvGet' || message.is === 'kvDelete' || message.is === 'kvList') {
      const answer: KvAnswer = { is: 'kvAnswer', request: message.request, done: false, value: null, keys: [], error: why }
      out.push({ is: 'send', to: from, message: answer })
    } else return false
    return true
  }
}

/** By how much of the total what is left for others changes before they hear at once, if some of it was left and is left. */
const NEWS_SHARE = 1 / 8

/**
 * Whether others should hear at once. Of what somebody waits for here nothing is left for them, however its amounts go up and down while
 * leases change hands: that can wait for the next sign of life.
 */
function isNews(told: Load | null, load: Load, total: Amounts): boolean {
  if (told === null) return true
  const [before, after] = [leftForOthers(told), leftForOthers(load)]
  return Object.keys({ ...before, ...after }).some(name => {
    const [from, to] = [before[name] ?? 0, after[name] ?? 0]
    return from !== to && ((from === 0) !== (to === 0) || Math.abs(from - to) >= NEWS_SHARE * (total[name] ?? 0))
  })
}

/** What is available, less what something here waits for because there is too little of it. */
function leftForOthers({ demand, available }: Load): Amounts {
  const left = { ...available }
  for (const { resources } of demand) for (const name in resources) if ((available[name] ?? 0) < (resources[name] as number)) left[name] = 0
  return left
}
