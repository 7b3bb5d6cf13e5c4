// SPDX-License-Identifier: Apache-2.0
// The node daemon's part in moving objects: what its processes need is brought here, and what others ask for is sent. The
// machines in core/node decide (pulls.ts, serves.ts); here are the store, the channel, messages and time.

import { encodeError } from '../codec/error-value.js'
import { type PullEffect, type PullEvent, Pulls } from '../core/node/pulls.js'
import { type Presence, type ServeEffect, type ServeEvent, Serves, type Wanted } from '../core/node/serves.js'
import { Strays } from '../core/node/strays.js'
import { HEAD_ID, nodeOf, objectId, ownerOf } from '../ids.js'
import { type DataChannel, type DataListener, type Lent, NotNow, type Question } from '../io/data/channel.js'
import type { NativeStore } from '../native.js'
import { limits } from '../options.js'
import type { Control, Located, NodeId, PullWhy, View, WorkerId } from '../wire/messages.js'
import { Drafts } from './drafts.js'
import type { DataPort } from './links.js'
import { Pins } from './pins.js'
import { RefusalLog } from './refusal-log.js'

export interface TransferHost {
  readonly store: NativeStore
  /** False when that process is gone. */
  send(to: WorkerId, message: Control): boolean
  /** To the daemon of another node. */
  sendToNode(nodeId: NodeId, message: Control): void
  /** Whether the owner of an object is dead. */
  isOrphan(id: string): boolean
  /** Where an object of a dead owner is, which is kept until `unseek`; null while its owner lives. */
  seek(id: string): Located | null
  unseek(id: string): void
  /** A copy is here now. */
  arrived(id: string): void
  /** Memory is short: processes of this node should collect garbage. */
  collect(): void
}

const WHYS = new Set<string>(['get', 'wait', 'argument'] satisfies PullWhy[])

export class Transfer implements DataListener {
  readonly #nodeId: NodeId
  readonly #pulls: Pulls
  readonly #serves = new Serves()
  readonly #pins: Pins
  readonly #drafts: Drafts
  readonly #strays = new Strays()
  readonly #refusals = new RefusalLog(text => process.emitWarning(text))
  #strayLookAt = 0
  readonly #questions = new Map<number, Question>()
  /** Copies that could not be read when they were sent: each is said to be missing, once, to who asks next. */
  readonly #broken = new Set<string>()
  /** Objects this daemon keeps for processes that have not read them yet. */
  readonly #held = new Set<string>()
  readonly #events: PullEvent[] = []
  #lastKey = 0
  #handling = false
  #closed = false
  #timer: NodeJS.Timeout | null = null
  /** Null where this node is alone. */
  #channel: DataChannel | null = null
  /** The other nodes, with where their data channels listen. */
  #others = new Map<NodeId, string>()
  #hasView = false

  constructor(private readonly host: TransferHost) {
    const { store } = host
    this.#nodeId = nodeOf(store.workerId)
    this.#pulls = new Pulls(this.#nodeId, Math.floor(store.stats().capacityBytes * limits.pullShare))
    this.#pins = new Pins(store)
    this.#drafts = new Drafts(store, this.#pins)
  }

  /** This node is one of several. */
  attach(port: DataPort): void {
    this.#channel = port.channel
    port.listener = this
  }

  /** Pulls that wait for their turn, and that get bytes. */
  counts(): { queued: number; moving: number } {
    return this.#pulls.counts()
  }

  /** Gives whether the message was about objects, and about nothing else. */
  heard(from: WorkerId, message: Control): boolean {
    const isHere = nodeOf(from) === this.#nodeId
    switch (message.is) {
      case 'pull': {
        const why = WHYS.has(message.why) ? message.why : 'get'
        if (isHere) this.#pull({ is: 'want', from, id: message.id, why, here: this.host.store.contains(message.id) })
        return true
      }
      case 'pullEnd':
        if (isHere) this.#pull({ is: 'unwant', from, id: message.id })
        return true
      case 'located': {
        const id = objectId(from, message.seq)
        this.#pull({ is: 'located', id, located: message, here: this.host.store.contains(id) })
        return true
      }
      case 'freeCopies':
        if (isHere) this.#freeCopies(from, message.nodes, message.ids)
        return true
      case 'free':
        for (const id of message.ids) if (nodeOf(ownerOf(id)) === nodeOf(from)) this.#delete(id)
        return true
      case 'view':
        if (from === HEAD_ID) this.#view(message)
        return false
      case 'workerDied':
        this.workerDied(message.workerId)
        return false
      case 'nodeDied':
        this.#nodeDied(message.nodeId)
        return false
      default:
        return false
    }
  }

  /** The other nodes of the cluster that are alive; null: of none has been heard yet. */
  others(): NodeId[] | null {
    return this.#channel !== null && !this.#hasView ? null : [...this.#others.keys()]
  }

  /** That process, of this or another node, is gone. */
  workerDied(workerId: WorkerId): void {
    this.#pull({ is: 'died', workerId })
  }

  /** Tells owners of other nodes what is here of theirs, now and then; to be called often. */
  tellHeld(now: number): void {
    if (this.#channel === null || this.#closed || now < this.#strayLookAt) return
    const began = performance.now()
    for (const [owner, seqs] of this.#strays.look(this.#foreign(), now)) {
      for (let i = 0; i < seqs.length; i += limits.copiesHeldMax)
        this.host.send(owner, { is: 'copiesHeld', seqs: seqs.slice(i, i + limits.copiesHeldMax) })
    }
    // A look at a store of very many objects takes its time, which is others' too.
    const took = performance.now() - began
    this.#strayLookAt = now + Math.max(limits.copiesHeldLookMs, limits.copiesHeldLookShare * took)
  }

  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#channel?.close()
    this.#drafts.close()
    this.#pins.close()
  }

  // DataListener ----------------------------------------------------------------------------------------------------

  onQuestion(question: Question): void {
    const key = ++this.#lastKey
    const { peer, id, offset, length } = question
    this.#questions.set(key, question)
    this.#serve({ is: 'asked', wanted: { key, peer, id, offset, length }, presence: this.#presence(id, offset, length) })
  }

  onPeerGone(peer: NodeId): void {
    for (const [key, question] of this.#questions) if (question.peer === peer) this.#questions.delete(key)
    this.#serve({ is: 'peerGone', peer })
  }

  onRefused(address: string, why: string): void {
    // Each connection has a port of its own; who makes them is one.
    this.#refusals.refused({ why: `at the data port: ${why}`, address: address.replace(/:\d+$/, ''), id: null })
  }

  // Pulls -----------------------------------------------------------------------------------------------------------

  #pull(event: PullEvent): void {
    if (this.#closed) return
    this.#events.push(event)
    if (this.#handling) return
    this.#handling = true
    const out: PullEffect[] = []
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        this.#pulls.handle(next, performance.now(), out)
        for (const effect of out) this.#carryOut(effect)
        out.length = 0
      }
    } finally {
      this.#handling = false
    }
    this.#arm()
  }

  #carryOut(effect: PullEffect): void {
    switch (effect.is) {
      case 'send': {
        const { to, message } = effect
        const ids = message.is === 'locate' ? message.seqs.map(seq => objectId(to, seq)) : []
        if (ids.map(id => this.sought(id)).includes(true)) return
        if (!this.host.send(to, message)) for (const id of ids) this.#pull({ is: 'unasked', id })
        return
      }
      case 'make':
        return this.#pull(this.#drafts.make(effect.id, effect.sizeBytes))
      case 'fetch':
        return this.#fetch(effect)
      case 'seal':
        return this.#seal(effect.id)
      case 'abort':
        return this.#drafts.abort(effect.id)
      case 'ended':
        this.host.unseek(effect.id)
        return this.#changed(effect.id)
      case 'pin':
        if (this.#pins.hold(effect.id)) this.#held.add(effect.id)
        return
      case 'unpin':
        if (this.#held.delete(effect.id)) this.#pins.release(effect.id)
        return
      case 'fail': {
        const error = effect.error instanceof Uint8Array ? effect.error : encodeError(effect.error)
        return void this.host.send(effect.to, { is: 'pullFailed', id: effect.id, error })
      }
      case 'collect':
        return this.host.collect()
    }
  }

  /** Looks for what a dead owner had. Gives whether it is one of these. */
  sought(id: string): boolean {
    const located = this.host.seek(id)
    if (located !== null) this.#pull({ is: 'located', id, located, here: this.host.store.contains(id) })
    return located !== null
  }

  #seal(id: string): void {
    if (!this.#drafts.seal(id)) return
    this.#broken.delete(id)
    this.host.arrived(id)
    this.#pull({ is: 'sealed', id })
    this.#changed(id)
  }

  #fetch({ id, source, piece, offset, length }: Extract<PullEffect, { is: 'fetch' }>): void {
    const address = this.#others.get(source)
    const failed = (missing: boolean, why: string, unwritten = false): void =>
      this.#pull({ is: 'failed', id, source, piece, missing, unwritten, why })
    if (this.#channel === null || address === undefined) return failed(false, 'no node of that id is known here')
    const range = { id, offset, length }
    const sink = this.#drafts.sink(range, (failure, unwritten) => {
      if (failure !== null) return failed(failure.missing, failure.why, unwritten)
      this.#pull({ is: 'arrived', id, source, piece })
      this.#changed(id)
    })
    this.#channel.fetch({ nodeId: source, address }, range, sink)
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const deadline = this.#pulls.deadline()
    if (deadline === null || this.#closed) return
    this.#timer = setTimeout(() => this.#pull({ is: 'tick' }), Math.max(1, Math.ceil(deadline - performance.now())))
  }

  // Serving ---------------------------------------------------------------------------------------------------------

  #serve(event: ServeEvent): void {
    if (this.#closed) return
    const out: ServeEffect[] = []
    this.#serves.handle(event, 0, out)
    for (const effect of out) {
      if (effect.is === 'serve') this.#send(effect.wanted)
      else this.#take(effect.key)?.refuse(effect.why)
    }
  }

  /** Sends a piece; of an object on its way here, or of a whole one, in memory or on disk. */
  #send(wanted: Wanted): void {
    const { key, id, offset, length } = wanted
    const question = this.#take(key)
    const served = (): void => this.#serve({ is: 'served', key })
    if (question === undefined) return served()
    // While it waited for its turn the copy may have gone, and another of that id may have been begun.
    const presence = this.#presence(id, offset, length)
    if (presence !== 'here') {
      question.refuse(presence === 'no' ? 'missing' : 'busy')
      return served()
    }
    const lent = this.#lend(wanted)
    if (lent === null) {
      question.refuse('missing')
      return served()
    }
    const unreadable = (error: Error): never => {
      if (!(error instanceof NotNow)) this.#broken.add(id)
      this.#warn(wanted, error)
      throw error
    }
    question.send({
      read(at, target) {
        try {
          return lent.read(at, target)?.catch(unreadable) ?? null
        } catch (error) {
          return unreadable(error as Error)
        }
      },
      done() {
        lent.done()
        served()
      },
    })
  }

  #lend(wanted: Wanted): Lent | null {
    // In the middle of a piece nothing could be said of that but by ending the connection.
    if (this.#broken.delete(wanted.id)) return null
    try {
      return this.#drafts.lend(wanted) ?? this.#pins.lend(wanted)
    } catch (error) {
      this.#warn(wanted, error as Error)
      return null
    }
  }

  #warn({ id, peer }: Wanted, { message }: Error): void {
    process.emitWarning(`eagleray: the object ${id} could not be read for node ${peer}: ${message}`)
  }

  #take(key: number): Question | undefined {
    const question = this.#questions.get(key)
    this.#questions.delete(key)
    return question
  }

  #presence(id: string, offset: number, length: number): Presence {
    const pull = this.#pulls.get(id)
    if (pull?.stale) return this.host.store.contains(id) ? 'here' : 'no'
    if (pull?.state === 'moving') return pull.has(offset, length) ? 'here' : 'coming'
    if (pull?.state === 'sealing') return 'coming'
    if (this.host.store.contains(id)) return 'here'
    return pull === undefined ? 'no' : 'coming'
  }

  #changed(id: string): void {
    this.#serve({ is: 'changed', id, presence: (offset, length) => this.#presence(id, offset, length) })
  }

  // The end of objects ----------------------------------------------------------------------------------------------

  #freeCopies(owner: WorkerId, nodes: NodeId[], ids: string[]): void {
    const own = ids.filter(id => ownerOf(id) === owner)
    for (const node of nodes.length === 0 ? [this.#nodeId, ...this.#others.keys()] : nodes) {
      if (node === this.#nodeId) for (const id of own) this.#delete(id)
      // The head may not have told of a node yet that has a copy.
      else this.host.sendToNode(node, { is: 'free', ids: own })
    }
  }

  /** What is here of processes of other nodes. Those that are dead are no business of this (orphans.ts). */
  #foreign(): string[] {
    const known = new Map<WorkerId, boolean>()
    return this.host.store.list().flatMap(({ id, state }) => {
      const owner = ownerOf(id)
      if (state !== 'sealed' || nodeOf(owner) === this.#nodeId) return []
      const isAlive = known.get(owner) ?? !this.host.isOrphan(id)
      known.set(owner, isAlive)
      return isAlive ? [id] : []
    })
  }

  #view({ full, nodes }: View): void {
    this.#hasView = true
    if (full) this.#others.clear()
    for (const { nodeId, state, dataAddress } of nodes) {
      if (state === 'dead') this.#others.delete(nodeId)
      else if (nodeId !== this.#nodeId) this.#others.set(nodeId, dataAddress)
    }
  }

  #nodeDied(nodeId: NodeId): void {
    this.#others.delete(nodeId)
    this.#channel?.forget(nodeId)
    this.#pull({ is: 'nodeDied', nodeId })
  }

  #delete(id: string): void {
    this.host.store.delete(id)
    this.#pins.deleted(id)
    this.#broken.delete(id)
  }
}
