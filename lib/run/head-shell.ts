// SPDX-License-Identifier: Apache-2.0
// The head's shell: brings messages of daemons and time to its machine, and carries out what it asks for. What the machine
// wants kept is written in batches, and whatever follows it waits until that is done.

import type { HeadEffect, HeadEvent } from '../core/head/events.js'
import type { Head } from '../core/head/head.js'
import type { Persist } from '../core/head/tables.js'
import { WireError } from '../errors.js'
import { nodeOf } from '../ids.js'
import type { PeerName, Refusal, Transport, TransportListener } from '../io/transport.js'
import { decodeControl, encodeControl } from '../wire/codec.js'
import { FRAME, FRAME_HEADER_BYTES } from '../wire/frames.js'
import type { Control, NodeId } from '../wire/messages.js'
import { LinkOutbox } from './link-outbox.js'
import { RefusalLog } from './refusal-log.js'

/** Keeps rows; resolves when they are kept for good. */
export type Keep = (rows: readonly Persist[]) => Promise<void>

type Outside = Exclude<HeadEffect, Persist>

export class HeadShell implements TransportListener {
  readonly #head: Head
  readonly #keep: Keep
  readonly #refusals = new RefusalLog(text => process.stderr.write(`${text}\n`))
  readonly #outboxes = new Map<NodeId, LinkOutbox>()
  #dirty: LinkOutbox[] = []
  #transport: Transport | null = null
  /** In order, from the first that has to wait. */
  #waiting: HeadEffect[] = []
  #isKeeping = false
  #isTurnOpen = false
  #timer: NodeJS.Timeout | null = null

  /** `keep` that rejects ends the process: what was promised cannot be held. */
  constructor(head: Head, keep: Keep) {
    this.#head = head
    this.#keep = keep
  }

  start(transport: Transport): void {
    this.#transport = transport
    this.#handle({ is: 'tick' })
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#transport = null
  }

  onPacket(nodeId: NodeId, bytes: Uint8Array, start: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let at = start; at < bytes.length; ) {
      const next = bytes.length - at < FRAME_HEADER_BYTES ? Number.POSITIVE_INFINITY : at + 4 + view.getUint32(at, true)
      if (next > bytes.length || next < at + FRAME_HEADER_BYTES || bytes[at + 4] !== FRAME.control)
        return this.#giveUp(nodeId, 'what is no control frame')
      const message = decodeControl(bytes.subarray(at + FRAME_HEADER_BYTES, next))
      if (message instanceof WireError) return this.#giveUp(nodeId, message.message)
      this.#handle({ is: 'fromDaemon', nodeId, message })
      at = next
    }
  }

  onUp({ id }: PeerName): void {
    const outbox = this.#outbox(id)
    outbox.linked = true
    this.#touch(outbox)
  }

  onDown(): void {
    // Its silence is what counts.
  }

  onRestarted(): void {
    // A node that starts again has another id.
  }

  onWritable(): void {}

  onRefused(refusal: Refusal): void {
    this.#refusals.refused(refusal)
  }

  #handle(event: HeadEvent): void {
    if (this.#transport === null) return
    this.#head.handle(event, performance.now(), this.#waiting)
    this.#pump()
    if (event.is === 'fromDaemon') this.#endTurnSoon()
    this.#arm()
  }

  /** Once for all packets of a turn. */
  #endTurnSoon(): void {
    if (this.#isTurnOpen) return
    this.#isTurnOpen = true
    setImmediate(() => {
      this.#isTurnOpen = false
      this.#handle({ is: 'turnEnd' })
    })
  }

  #pump(): void {
    if (this.#isKeeping) return
    const first = this.#waiting.findIndex(({ is }) => is === 'persist')
    const now = first < 0 ? this.#waiting : this.#waiting.slice(0, first)
    this.#waiting = first < 0 ? [] : this.#waiting.slice(first)
    for (const effect of now) this.#carryOut(effect as Outside)
    this.#flush()
    if (first < 0) return
    const batch = this.#waiting.filter((effect): effect is Persist => effect.is === 'persist')
    this.#waiting = this.#waiting.filter(({ is }) => is !== 'persist')
    this.#isKeeping = true
    void this.#keep(batch).then(() => {
      this.#isKeeping = false
      this.#pump()
    })
  }

  #carryOut(effect: Outside): void {
    switch (effect.is) {
      case 'send':
        return this.#send(nodeOf(effect.to), { is: 'deliver', to: effect.to, message: effect.message })
      case 'toNode':
        return this.#send(effect.nodeId, { is: 'toNode', event: effect.event })
      case 'toDaemon':
        return this.#send(effect.nodeId, effect.message)
      case 'forget':
        this.#flush()
        this.#transport?.forget(effect.nodeId)
        this.#outboxes.get(effect.nodeId)?.end()
        this.#outboxes.delete(effect.nodeId)
    }
  }

  #send(nodeId: NodeId, message: Control): void {
    const outbox = this.#outbox(nodeId)
    outbox.control(encodeControl(message))
    this.#touch(outbox)
  }

  #touch(outbox: LinkOutbox): void {
    if (outbox.dirty) return
    outbox.dirty = true
    this.#dirty.push(outbox)
    if (this.#dirty.length === 1) queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    const outboxes = this.#dirty
    this.#dirty = []
    for (const outbox of outboxes) {
      const { nodeId } = outbox
      if (!outbox.flush(packet => this.#transport?.send(nodeId, packet) ?? true)) this.#giveUp(nodeId, 'nothing of what it is sent')
    }
  }

  #outbox(nodeId: NodeId): LinkOutbox {
    let outbox = this.#outboxes.get(nodeId)
    if (outbox === undefined) {
      outbox = new LinkOutbox(nodeId, () => this.#outboxes.delete(nodeId))
      this.#outboxes.set(nodeId, outbox)
    }
    return outbox
  }

  /** Its silence from now on makes it dead. */
  #giveUp(nodeId: NodeId, why: string): void {
    process.stderr.write(`eagleray: giving up the link to node ${nodeId}: it takes or sends ${why}\n`)
    this.#transport?.forget(nodeId)
    this.#outboxes.get(nodeId)?.end()
    this.#outboxes.delete(nodeId)
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const at = this.#head.deadline()
    if (at === null || this.#transport === null) return
    this.#timer = setTimeout(() => this.#handle({ is: 'tick' }), Math.max(1, Math.ceil(at - performance.now())))
  }
}
