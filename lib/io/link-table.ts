// SPDX-License-Identifier: Apache-2.0
// The links of one process, by NodeId, over connections that somebody else makes (zmq/transport.ts; a fake in tests). It
// knows who is at the other end of each connection, refuses those who speak another language, and picks the connection
// that a link uses: where two nodes dialled each other at once, the one that the smaller NodeId dialled.

import type { LinkFrame } from '../core/link/frame.js'
import { Link, type LinkEffect, type LinkEvent } from '../core/link/link.js'
import { WireError } from '../errors.js'
import { isNodeId, isWorkerId, nodeOf } from '../ids.js'
import { limits } from '../options.js'
import { decodeControl, encodeControl } from '../wire/codec.js'
import { decodeLinkFrame, encodeLinkFrame, type HeardFrame, LINK_HEADER_BYTES } from '../wire/link-frames.js'
import { type LinkHello, type NodeId, PROTOCOL_VERSION } from '../wire/messages.js'
import type { PeerName, TransportListener } from './transport.js'

/** A way to one peer. */
export interface Connection {
  /** Of the other end, as far as it is known. */
  readonly address: string
  /** Sends at once, or loses what it is given. */
  send(bytes: Uint8Array): void
  close(): void
}

export interface Dialler {
  /** Starts to connect; `connected` follows each time it succeeds. */
  dial(address: string): Connection
}

export interface Clock {
  now(): number
  /** Gives how to call it off. */
  after(ms: number, run: () => void): () => void
}

interface Peer extends PeerName {
  link: Link<Uint8Array>
  dialled: Connection | null
  /** The dialled connection stands. */
  connected: boolean
  /** The one the peer dialled. */
  accepted: Connection | null
}

/** Timers of links are late by up to this (ms), so that those of many links go off together. */
const TICK_MS = 10

export class LinkTable {
  readonly #peers = new Map<NodeId, Peer>()
  /** Who is at the other end. */
  readonly #ends = new Map<Connection, Peer>()
  /** Peers that are to have no link again, and why; oldest first. */
  readonly #unwanted = new Map<NodeId, string>()
  readonly #timed = new Set<Peer>()
  #timerAt = Number.POSITIVE_INFINITY
  #cancelTimer: (() => void) | null = null
  #closed = false
  readonly #hello: Uint8Array

  constructor(
    private readonly self: PeerName,
    private readonly listener: TransportListener,
    private readonly dialler: Dialler,
    private readonly clock: Clock,
    /** Gives a new number for each link, never 0. */
    private readonly epoch: () => number,
  ) {
    this.#hello = encodeControl({
      is: 'linkHello',
      protocol: PROTOCOL_VERSION,
      nodeId: self.id,
      daemonId: self.daemonId,
      address: self.address,
    })
  }

  open({ id, address }: { id: NodeId; address: string }): void {
    if (this.#closed || id === this.self.id) return
    const peer = this.#peers.get(id) ?? this.#admit(id)
    peer.address = address
    if (peer.dialled === null && peer.accepted === null) this.#dial(peer)
  }

  send(id: NodeId, packet: Uint8Array): boolean {
    const peer = this.#peers.get(id)
    if (peer === undefined || peer.link.bytes + packet.length > limits.linkBytesMax) return false
    this.#act(peer, { is: 'send', packet })
    return true
  }

  isFull(id: NodeId): boolean {
    return this.#peers.get(id)?.link.full ?? false
  }

  unacknowledged(id: NodeId): number {
    return this.#peers.get(id)?.link.bytes ?? 0
  }

  forget(id: NodeId, why = ''): void {
    if (why !== '') this.#unwanted.set(id, why)
    const [oldest] = this.#unwanted.keys()
    if (this.#unwanted.size > limits.deadNodesKept && oldest !== undefined) this.#unwanted.delete(oldest)
    const peer = this.#peers.get(id)
    if (peer === undefined) return
    this.#peers.delete(id)
    this.#timed.delete(peer)
    this.#hangUp(peer)
    this.#dropAccepted(peer)
  }

  /** Whether there is a link whose peer is at the other end. */
  knows(connection: Connection): boolean {
    return this.#ends.has(connection)
  }

  close(): void {
    this.#closed = true
    this.#cancelTimer?.()
    for (const id of [...this.#peers.keys()]) this.forget(id)
  }

  /** Nothing that was sent is on its way any more. */
  get settled(): boolean {
    return [...this.#peers.values()].every(peer => peer.link.bytes === 0)
  }

  /** A connection that was dialled stands now. */
  connected(connection: Connection): void {
    const peer = this.#ends.get(connection)
    if (peer === undefined || peer.dialled !== connection) return
    peer.connected = true
    this.#act(peer, { is: 'path', up: true, why: '' })
  }

  /** It does not any more; one that was dialled is tried again by whoever made it, of another nothing more will be heard. */
  disconnected(connection: Connection, why: string): void {
    const peer = this.#ends.get(connection)
    if (peer === undefined) return
    if (peer.dialled === connection) peer.connected = false
    else this.#dropAccepted(peer)
    if (this.#path(peer) === null) this.#act(peer, { is: 'path', up: false, why })
    if (peer.dialled === null && peer.accepted === null && peer.address !== '' && this.#peers.get(peer.id) === peer) this.#dial(peer)
  }

  heard(connection: Connection, bytes: Uint8Array): void {
    if (this.#closed) return
    const frame = decodeLinkFrame(bytes)
    if (frame instanceof WireError) return this.#malformed(connection, frame)
    if (frame.kind === 'refused') return this.#refusedBy(connection, bytes)
    const peer = this.#ends.get(connection)
    if (frame.kind === 'hello' || frame.kind === 'welcome') return this.#greeted(connection, peer, frame, bytes)
    if (peer !== undefined) return this.#act(peer, { is: 'heard', frame: frame as LinkFrame<Uint8Array> })
    if (frame.kind !== 'stranger') connection.send(encodeLinkFrame(reply('stranger', frame), null))
  }

  // Getting to know each other ---------------------------------------------------------------------------------------

  #greeted(connection: Connection, known: Peer | undefined, frame: HeardFrame, bytes: Uint8Array): void {
    const hello = decodeControl(bytes.subarray(LINK_HEADER_BYTES))
    if (hello instanceof WireError) return this.#malformed(connection, hello)
    if (hello.is !== 'linkHello') return this.#malformed(connection, new WireError(`${hello.is} in place of a hello`))
    const wrong = this.#wrong(hello, known)
    if (wrong !== null) {
      connection.send(encodeLinkFrame(reply('refused', frame), encodeControl({ is: 'linkRefused', message: wrong })))
      return this.#refuse(connection, wrong, hello.nodeId)
    }
    const peer = known ?? this.#peers.get(hello.nodeId) ?? this.#admit(hello.nodeId)
    peer.daemonId = hello.daemonId
    if (hello.address !== '') peer.address = hello.address
    if (peer.dialled !== connection && peer.accepted !== connection) this.#accept(peer, connection)
    if (peer.dialled === connection) peer.connected = true
    this.#act(peer, { is: 'heard', frame: frame as LinkFrame<Uint8Array> }, connection)
  }

  #wrong({ protocol, nodeId, daemonId }: LinkHello, known: Peer | undefined): string | null {
    if (protocol !== PROTOCOL_VERSION)
      return `a peer of protocol ${protocol} does not fit one of protocol ${PROTOCOL_VERSION}: use one version of eagleray in a cluster`
    if (!isNodeId(nodeId) || !isWorkerId(daemonId) || nodeOf(daemonId) !== nodeId) return 'it has no proper id'
    if (nodeId === this.self.id) return `it says that it is ${nodeId}, which is the node it speaks to`
    const unwanted = this.#unwanted.get(nodeId)
    if (unwanted !== undefined) return unwanted
    if (known !== undefined && known.id !== nodeId) return `it says that it is node ${nodeId}, and not ${known.id}, which is expected there`
    if (known === undefined && !this.#peers.has(nodeId) && this.#peers.size >= limits.linksMax)
      return `there are ${limits.linksMax} links already`
    return null
  }

  #accept(peer: Peer, connection: Connection): void {
    this.#dropAccepted(peer)
    peer.accepted = connection
    this.#ends.set(connection, peer)
    if (peer.dialled !== null && peer.id < this.self.id) this.#hangUp(peer)
  }

  #admit(id: NodeId): Peer {
    const peer: Peer = { id, daemonId: '', address: '', link: new Link(this.epoch()), dialled: null, connected: false, accepted: null }
    this.#peers.set(id, peer)
    return peer
  }

  #dial(peer: Peer): void {
    peer.dialled = this.dialler.dial(peer.address)
    peer.connected = false
    this.#ends.set(peer.dialled, peer)
  }

  #hangUp(peer: Peer): void {
    if (peer.dialled === null) return
    this.#ends.delete(peer.dialled)
    peer.dialled.close()
    peer.dialled = null
    peer.connected = false
  }

  #dropAccepted(peer: Peer): void {
    if (peer.accepted === null) return
    this.#ends.delete(peer.accepted)
    peer.accepted.close()
    peer.accepted = null
  }

  #refusedBy(connection: Connection, bytes: Uint8Array): void {
    const message = decodeControl(bytes.subarray(LINK_HEADER_BYTES))
    const peer = this.#ends.get(connection)
    if (peer === undefined || message instanceof WireError || message.is !== 'linkRefused') return
    const { id } = peer
    // To ask again would not help.
    if (peer.dialled === connection) this.#hangUp(peer)
    this.#act(peer, { is: 'path', up: false, why: message.message })
    this.listener.onRefused({ why: `it refuses us: ${message.message}`, address: connection.address, id, refusesUs: true })
  }

  #malformed(connection: Connection, error: WireError): void {
    this.#refuse(connection, `it sent what is no message of this protocol: ${error.message}`, this.#ends.get(connection)?.id ?? null)
  }

  #refuse({ address }: Connection, why: string, id: NodeId | null): void {
    this.listener.onRefused({ why, address, id })
  }

  // ------------------------------------------------------------------------------------------------------------------

  #path(peer: Peer): Connection | null {
    return peer.connected ? peer.dialled : peer.accepted
  }

  #act(peer: Peer, event: LinkEvent<Uint8Array>, answerOver: Connection | null = null): void {
    const out: LinkEffect<Uint8Array>[] = []
    peer.link.handle(event, this.clock.now(), out)
    for (const effect of out) this.#carryOut(peer, effect, answerOver)
    if (this.#peers.get(peer.id) === peer) this.#arm(peer)
  }

  #carryOut(peer: Peer, effect: LinkEffect<Uint8Array>, answerOver: Connection | null): void {
    const { id, daemonId, address } = peer
    switch (effect.is) {
      case 'transmit': {
        const { kind } = effect.frame
        const path = kind === 'welcome' ? answerOver : this.#path(peer)
        path?.send(encodeLinkFrame(effect.frame, kind === 'hello' || kind === 'welcome' ? this.#hello : null))
        return
      }
      case 'deliver':
        return this.listener.onPacket(id, effect.packet, LINK_HEADER_BYTES)
      case 'up':
        return this.listener.onUp({ id, daemonId, address })
      case 'down':
        return this.listener.onDown(id, effect.why)
      case 'restarted':
        return this.listener.onRestarted(id, effect.packets.map(unused))
      case 'writable':
        return this.listener.onWritable(id)
    }
  }

  #arm(peer: Peer): void {
    const at = peer.link.deadline()
    if (at === null) {
      this.#timed.delete(peer)
      return
    }
    this.#timed.add(peer)
    if (at < this.#timerAt) this.#setTimer(at)
  }

  #setTimer(at: number): void {
    this.#cancelTimer?.()
    this.#timerAt = at
    this.#cancelTimer = this.clock.after(Math.max(TICK_MS, at - this.clock.now()), () => this.#tick())
  }

  #tick(): void {
    this.#timerAt = Number.POSITIVE_INFINITY
    this.#cancelTimer = null
    const now = this.clock.now()
    for (const peer of [...this.#timed]) if ((peer.link.deadline() ?? now + 1) <= now) this.#act(peer, { is: 'tick' })
    let next = Number.POSITIVE_INFINITY
    for (const peer of this.#timed) next = Math.min(next, peer.link.deadline() ?? next)
    if (next < this.#timerAt) this.#setTimer(next)
  }
}

function reply(kind: 'stranger' | 'refused', { from }: HeardFrame): Omit<HeardFrame, 'kind'> & { kind: 'stranger' | 'refused' } {
  return { kind, from: 0, to: from, received: 0, number: 0, packet: null }
}

/** The packet as if it had never been sent; its own memory may still be read by whoever sends it. */
function unused(packet: Uint8Array): Uint8Array {
  const copy = packet.slice()
  copy[0] = 0
  return copy
}
