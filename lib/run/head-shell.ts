// SPDX-License-Identifier: Apache-2.0
// The shell of a head that is a process of its own: brings what daemons say and time to the machine, and carries out what
// it asks for. What one turn of the event loop changes is kept as one batch; everything else that the turn caused waits
// for that, so nobody hears of what a crash could undo.

import type { HeadEffect, HeadEvent } from '../core/head/events.js'
import type { Head } from '../core/head/head.js'
import { WireError } from '../errors.js'
import { nodeOf } from '../ids.js'
import { toText } from '../io/storage/row-text.js'
import type { Change, Storage } from '../io/storage/storage.js'
import type { PeerName, Refusal, Transport, TransportListener } from '../io/transport.js'
import { limits } from '../options.js'
import { decodeControl, encodeControl } from '../wire/codec.js'
import { FRAME, FRAME_HEADER_BYTES } from '../wire/frames.js'
import type { Control, NodeId } from '../wire/messages.js'
import { LinkOutbox } from './link-outbox.js'
import { RefusalLog } from './refusal-log.js'

/** How long the link to a dead node stays, for the last words to it (ms). */
const FORGET_MS = 1_000

export interface HeadShellOptions {
  head: Head
  storage: Storage
  /** Nothing can be kept any more. Called once. */
  onFailure: (error: Error) => void
}

export class HeadShell implements TransportListener {
  readonly #head: Head
  readonly #storage: Storage
  readonly #onFailure: (error: Error) => void
  readonly #outboxes = new Map<NodeId, LinkOutbox>()
  readonly #refusals = new RefusalLog(text => process.emitWarning(text))
  #transport: Transport | null = null
  /** Of this turn. */
  #batch: Change[] = []
  #effects: HeadEffect[] = []
  #turnEnds = false
  /** The turns whose effects wait, as one after the other. */
  #kept: Promise<void> = Promise.resolve()
  #held = 0
  #timer: NodeJS.Timeout | null = null
  #timerAt = Number.POSITIVE_INFINITY
  #ended = false
  #storageAway: string | null = null
  /** What was encoded last: one message often goes to many. */
  #encoded: { message: Control; body: Uint8Array } | null = null

  constructor({ head, storage, onFailure }: HeadShellOptions) {
    this.#head = head
    this.#storage = storage
    this.#onFailure = onFailure
  }

  /** What it waits for, which nodes hear at once: nothing else can be said meanwhile. Null: it is back. */
  storageAway(why: string | null): void {
    if (why === this.#storageAway) return
    this.#storageAway = why
    for (const outbox of this.#outboxes.values())
      if (outbox.linked) this.#flush(this.#write(outbox.nodeId, { is: 'headStorage', storage: why }))
  }

  start(transport: Transport): void {
    this.#transport = transport
    this.#handle({ is: 'tick' })
  }

  /** Resolves when what was decided is kept and said. */
  async end(): Promise<void> {
    this.#endTurn()
    this.#ended = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#kept
  }

  onPacket(id: NodeId, bytes: Uint8Array, at: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    while (at < bytes.length) {
      const end = bytes.length - at < FRAME_HEADER_BYTES ? Number.POSITIVE_INFINITY : at + 4 + view.getUint32(at, true)
      const isControl = end <= bytes.length && end >= at + FRAME_HEADER_BYTES && bytes[at + 4] === FRAME.control
      const message = isControl
        ? decodeControl(bytes.subarray(at + FRAME_HEADER_BYTES, end))
        : new WireError('a frame that is none for a head')
      // Silence is the death of a node that speaks nonsense.
      if (message instanceof WireError)
        return process.emitWarning(`eagleray: node ${id} sent what is no message of this protocol: ${message.message}`)
      this.#handle({ is: 'fromDaemon', nodeId: id, message })
      at = end
    }
  }

  onUp({ id }: PeerName): void {
    this.#outbox(id).linked = true
    if (this.#storageAway !== null) this.#write(id, { is: 'headStorage', storage: this.#storageAway })
    this.#flush(this.#outbox(id))
  }

  /** What is sent meanwhile waits in the link; of one that never became a node, or is none any more, nothing is. */
  onDown(id: NodeId): void {
    this.#forgetUnlessAlive(id)
  }

  onRestarted(): void {
    // A daemon that starts again is another node, with another id.
  }

  onWritable(): void {
    // A node that does not keep up is silent as well, and dead before much is kept for it.
  }

  onRefused(refusal: Refusal): void {
    this.#refusals.refused(refusal)
  }

  #handle(event: HeadEvent): void {
    if (this.#ended) return
    const out: HeadEffect[] = []
    this.#head.handle(event, performance.now(), out)
    for (const effect of out) {
      if (effect.is !== 'persist') this.#effects.push(effect)
      // As text at once: the machine goes on changing what it shows.
      else this.#batch.push({ table: effect.table, key: effect.key, text: effect.row === null ? null : toText(effect.row) })
    }
    if (this.#turnEnds) return
    this.#turnEnds = true
    setImmediate(() => this.#endTurn())
  }

  #endTurn(): void {
    if (this.#ended) return
    this.#head.handle({ is: 'turnEnd' }, performance.now(), this.#effects)
    this.#turnEnds = false
    const [batch, effects] = [this.#batch, this.#effects]
    this.#batch = []
    this.#effects = []
    this.#arm()
    if (batch.length === 0 && this.#held === 0) return this.#carryOut(effects)
    this.#held += effects.length + 1
    if (this.#held > limits.heldBackMax) return this.#fail(new Error(`${this.#held} messages wait for the storage, which is too slow`))
    const kept = batch.length === 0 ? Promise.resolve() : this.#storage.write(batch)
    this.#kept = Promise.all([kept, this.#kept]).then(
      () => {
        this.#held -= effects.length + 1
        if (!this.#ended) this.#carryOut(effects)
      },
      (error: Error) => this.#fail(error),
    )
  }

  #carryOut(effects: readonly HeadEffect[]): void {
    const dirty = new Set<LinkOutbox>()
    for (const effect of effects) {
      if (effect.is === 'send') dirty.add(this.#write(nodeOf(effect.to), { is: 'deliver', to: effect.to, message: effect.message }))
      else if (effect.is === 'toNode') dirty.add(this.#write(effect.nodeId, { is: 'toNode', event: effect.event }))
      else if (effect.is === 'toDaemon') dirty.add(this.#write(effect.nodeId, effect.message))
      else if (effect.is === 'forget') setTimeout(() => this.#forgetUnlessAlive(effect.nodeId), FORGET_MS).unref()
    }
    for (const outbox of dirty) this.#flush(outbox)
  }

  #write(nodeId: NodeId, message: Control): LinkOutbox {
    const outbox = this.#outbox(nodeId)
    if (this.#encoded?.message !== message) this.#encoded = { message, body: encodeControl(message).slice() }
    const { body } = this.#encoded
    if (body.length <= limits.linkPacketBytesMax) outbox.control(body)
    else process.emitWarning(`eagleray: a message ${message.is} of ${body.length} bytes is too large for a node (linkPacketBytesMax)`)
    return outbox
  }

  #flush(outbox: LinkOutbox): void {
    const { nodeId } = outbox
    const taken = outbox.flush(packet => this.#transport?.send(nodeId, packet) ?? false)
    if (!taken) process.emitWarning(`eagleray: too much is kept for node ${nodeId}, which is away`)
  }

  #forgetUnlessAlive(nodeId: NodeId): void {
    if (!this.#head.nodes.isAlive(nodeId)) this.#forget(nodeId)
  }

  #forget(nodeId: NodeId): void {
    this.#transport?.forget(nodeId)
    this.#outboxes.get(nodeId)?.end()
    this.#outboxes.delete(nodeId)
  }

  /** Of a node that speaks, so there is a link; one that does not come up is forgotten. */
  #outbox(nodeId: NodeId): LinkOutbox {
    let outbox = this.#outboxes.get(nodeId)
    if (outbox === undefined) this.#outboxes.set(nodeId, (outbox = new LinkOutbox(nodeId, () => this.#forget(nodeId))))
    return outbox
  }

  #fail(error: Error): void {
    if (this.#ended) return
    this.#ended = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#onFailure(error)
  }

  #arm(): void {
    const at = this.#head.deadline() ?? Number.POSITIVE_INFINITY
    if (at === this.#timerAt && this.#timer !== null) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#timerAt = at
    if (at === Number.POSITIVE_INFINITY) return
    // Rounded up: a timer that fires early would find nothing due and be set again at once.
    this.#timer = setTimeout(
      () => {
        this.#timer = null
        this.#handle({ is: 'tick' })
      },
      Math.max(1, Math.ceil(at - performance.now())),
    )
  }
}
