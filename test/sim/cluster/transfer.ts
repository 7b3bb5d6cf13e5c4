// SPDX-License-Identifier: Apache-2.0
// A simulated daemon's part in moving objects, as lib/run/transfer.ts is: the machines that decide as they ship, and around
// them the store, the channel, messages and time.

import { type PullEffect, type PullEvent, Pulls } from '#lib/core/node/pulls.js'
import { type Presence, type ServeEffect, type ServeEvent, Serves, type Wanted } from '#lib/core/node/serves.js'
import { HEAD_ID, nodeOf, objectId } from '#lib/ids.js'
import { limits } from '#lib/options.js'
import type { Control, NodeId, View, WorkerId } from '#lib/wire/messages.js'
import { encodeError } from '../errors.js'
import type { Encoded } from '../frames.js'
import { sizeOf } from '../object-store.js'
import type { Question } from './data.js'
import type { SimNode } from './node.js'

export class SimTransfer {
  readonly pulls: Pulls
  readonly serves = new Serves()
  readonly #questions = new Map<number, Question>()
  /** What has come of objects on their way. */
  readonly #drafts = new Map<string, Encoded | null>()
  readonly #events: PullEvent[] = []
  readonly #others = new Set<NodeId>()
  #hasView = false
  #lastKey = 0
  #handling = false
  #tickAt = Number.POSITIVE_INFINITY

  constructor(private readonly host: SimNode) {
    this.pulls = new Pulls(host.nodeId, Math.ceil(host.cluster.settings.storeCapacity / 2) * limits.pieceBytes)
  }

  /** Gives whether the message was about objects, and about nothing else. */
  heard(from: WorkerId, message: Control): boolean {
    const { nodeId, store } = this.host
    const isHere = nodeOf(from) === nodeId
    switch (message.is) {
      case 'pull':
        if (isHere) this.#pull({ is: 'want', from, id: message.id, why: message.why, here: store.has(message.id) })
        return true
      case 'pullEnd':
        if (isHere) this.#pull({ is: 'unwant', from, id: message.id })
        return true
      case 'located': {
        const id = objectId(from, message.seq)
        this.#pull({ is: 'located', id, located: message, here: store.has(id) })
        return true
      }
      case 'freeCopies':
        if (isHere) this.#freeCopies(message.nodes, message.ids)
        return true
      case 'free':
        for (const id of message.ids) store.delete(id)
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

  /** Null: of none has been heard yet. */
  others(): NodeId[] | null {
    return this.#hasView ? [...this.#others] : null
  }

  workerDied(workerId: WorkerId): void {
    this.#pull({ is: 'died', workerId })
  }

  /** Another node asks for a piece. */
  asked(question: Question): void {
    const key = ++this.#lastKey
    const { peer, id, offset, length } = question
    this.#questions.set(key, question)
    this.#serve({ is: 'asked', wanted: { key, peer, id, offset, length }, presence: this.#presence(id, offset, length) })
  }

  // Pulls --------------------------------------------------------------------------------------------------------------

  #pull(event: PullEvent): void {
    this.#events.push(event)
    if (this.#handling) return
    this.#handling = true
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      const out: PullEffect[] = []
      this.pulls.handle(next, this.host.life.now, out)
      for (const effect of out) this.#carryOut(effect)
    }
    this.#handling = false
    this.host.cluster.check(this.pulls)
    this.#arm()
  }

  #carryOut(effect: PullEffect): void {
    const { host } = this
    switch (effect.is) {
      case 'send':
        if (this.#isOrphan(effect)) return
        if (!host.send(host.node, effect.to, { is: 'control', message: effect.message }) && effect.message.is === 'locate')
          for (const seq of effect.message.seqs) this.#pull({ is: 'unasked', id: objectId(effect.to, seq) })
        return
      case 'make':
        return this.#pull(this.#make(effect.id, effect.sizeBytes))
      case 'fetch':
        return this.#fetch(effect)
      case 'seal':
        // Once nothing of it is on its way to others.
        return host.life.after(host.cluster.random.around(0.5), () => this.#sealed(effect.id))
      case 'abort':
        host.store.endDraft(effect.id, null)
        this.#drafts.delete(effect.id)
        return
      case 'ended':
        host.orphans.unseek(effect.id)
        return this.#changed(effect.id)
      case 'pin':
        return host.store.pin(effect.id)
      case 'unpin':
        return host.store.unpin(effect.id)
      case 'fail': {
        const error = effect.error instanceof Uint8Array ? effect.error : encodeError(effect.error)
        host.send(host.node, effect.to, { is: 'control', message: { is: 'pullFailed', id: effect.id, error } })
      }
    }
  }

  /** Of what a dead owner had this node itself knows where it is. */
  #isOrphan({ to, message }: Extract<PullEffect, { is: 'send' }>): boolean {
    return message.is === 'locate' && message.seqs.map(seq => this.sought(objectId(to, seq))).includes(true)
  }

  sought(id: string): boolean {
    const located = this.host.orphans.seek(id)
    if (located !== null) this.#pull({ is: 'located', id, located, here: this.host.store.has(id) })
    return located !== null
  }

  #sealed(id: string): void {
    this.host.store.endDraft(id, this.#drafts.get(id) as Encoded)
    this.#drafts.delete(id)
    this.host.orphans.arrived(id)
    this.#pull({ is: 'sealed', id })
    this.#changed(id)
  }

  #make(id: string, sizeBytes: number): PullEvent {
    if (sizeBytes !== sizeOf(id)) this.host.faulty(`object ${id} is said to have ${sizeBytes} bytes, and has ${sizeOf(id)}`)
    if (this.host.store.has(id)) return { is: 'exists', id, here: true }
    if (!this.host.store.draft(id)) return { is: 'noRoom', id, error: null }
    this.#drafts.set(id, null)
    return { is: 'made', id }
  }

  #fetch({ id, source, piece, offset, length }: Extract<PullEffect, { is: 'fetch' }>): void {
    const failed = (missing: boolean, why: string): void => this.#pull({ is: 'failed', id, source, piece, missing, unwritten: false, why })
    if (!this.#others.has(source)) return failed(false, 'no node of that id is known here')
    this.host.cluster.data.fetch(this.host, source, { id, offset, length }, answer => {
      if (typeof answer === 'string') return failed(answer === 'missing', answer)
      if (this.#drafts.has(id)) this.#drafts.set(id, answer)
      this.#pull({ is: 'arrived', id, source, piece })
      this.#changed(id)
    })
  }

  #arm(): void {
    const due = this.pulls.deadline()
    if (due === null || due >= this.#tickAt) return
    this.#tickAt = due
    this.host.life.at(due, () => {
      if (this.#tickAt !== due) return
      this.#tickAt = Number.POSITIVE_INFINITY
      this.#pull({ is: 'tick' })
    })
  }

  // Serving ------------------------------------------------------------------------------------------------------------

  #serve(event: ServeEvent): void {
    const out: ServeEffect[] = []
    this.serves.handle(event, 0, out)
    this.host.cluster.check(this.serves)
    for (const effect of out) {
      if (effect.is === 'serve') this.#send(effect.wanted)
      else this.#take(effect.key)?.answer(effect.why)
    }
  }

  #send({ key, id }: Wanted): void {
    const encoded = this.#drafts.get(id) ?? this.host.store.read(id)
    this.#take(key)?.answer(encoded ?? 'missing')
    // It takes a while to leave.
    this.host.life.after(this.host.cluster.random.around(1), () => this.#serve({ is: 'served', key }))
  }

  #take(key: number): Question | undefined {
    const question = this.#questions.get(key)
    this.#questions.delete(key)
    return question
  }

  #presence(id: string, offset: number, length: number): Presence {
    const pull = this.pulls.get(id)
    if (pull?.stale) return this.host.store.has(id) ? 'here' : 'no'
    if (pull?.state === 'moving') return pull.has(offset, length) ? 'here' : 'coming'
    if (pull?.state === 'sealing') return 'coming'
    if (this.host.store.has(id)) return 'here'
    return pull === undefined ? 'no' : 'coming'
  }

  #changed(id: string): void {
    this.#serve({ is: 'changed', id, presence: (offset, length) => this.#presence(id, offset, length) })
  }

  // The end of objects -------------------------------------------------------------------------------------------------

  #freeCopies(nodes: NodeId[], ids: string[]): void {
    const { nodeId, store, relay } = this.host
    for (const node of nodes.length === 0 ? [nodeId, ...this.#others] : nodes) {
      if (node === nodeId) for (const id of ids) store.delete(id)
      else relay.toNode(node, { is: 'free', ids })
    }
  }

  #view({ full, nodes }: View): void {
    this.#hasView = true
    if (full) this.#others.clear()
    for (const { nodeId, state } of nodes) {
      if (state === 'dead') this.#others.delete(nodeId)
      else if (nodeId !== this.host.nodeId) this.#others.add(nodeId)
    }
  }

  #nodeDied(nodeId: NodeId): void {
    this.#others.delete(nodeId)
    for (const [key, { peer }] of this.#questions) if (peer === nodeId) this.#questions.delete(key)
    this.#serve({ is: 'peerGone', peer: nodeId })
    this.#pull({ is: 'nodeDied', nodeId })
  }
}
