// SPDX-License-Identifier: Apache-2.0
// The mesh: this process's channels to the others of its node, and routes to those of other nodes, by WorkerId. Frames written during one turn of the event
// loop leave together, as few packets as they fit in; what a full ring refuses waits here, in order, up to a limit.

import { WireError } from '../errors.js'
import { nodeOf, slotOf } from '../ids.js'
import { type NativeModule, type NativePort, type NativeStore, native } from '../native.js'
import { limits } from '../options.js'
import { decodeControl, encodeControl } from '../wire/codec.js'
import { FRAME, FRAME_HEADER_BYTES, ROUTE_HEADER_BYTES } from '../wire/frames.js'
import type { Control, NodeId, WorkerId } from '../wire/messages.js'
import { LOOPBACK, Peer, REMOTE } from './peer.js'
import { type RouteHost, Routes, type Uplink } from './routes.js'

/** A packet leaves at once when it holds this much, so that the receiver starts while the sender goes on. */
const EAGER_BYTES = 8192
/** A frame of this size that is passed on is a packet of its own, without being copied first. */
const DIRECT_BYTES = 2048
const INBOX_BYTES = 1 << 20
const FRAME_NAME: Record<number, string> = { [FRAME.fragment]: 'fragment', [FRAME.route]: 'route' }
const PACKETS_PER_CALL = 256

export { Peer } from './peer.js'

export interface MeshListener {
  onControl(from: Peer, message: Control): void
  /** A task, reply or value frame: its body is `bytes[at, end)`, valid only during the call. */
  onFrame(from: Peer, kind: number, bytes: Uint8Array, view: DataView, at: number, end: number): void
  /**
   * After everything the peer sent was handled. Reason: 'closed' | 'died' | 'corrupt'. Nothing more is sent to a corrupt one, nor heard
   * of it, until `gone` says that it is dead. `detail` says what was wrong with what it sent.
   */
  onPeerClosed(peer: Peer, reason: string, detail: string): void
  /** After all packets of one wake-up were handled; a good moment to flush. */
  onBatchEnd(): void
}

export class Mesh implements RouteHost {
  private readonly port: NativePort
  private readonly inbox = new Uint8Array(INBOX_BYTES)
  private readonly inboxView = new DataView(this.inbox.buffer)
  private readonly index = new Int32Array(3 * PACKETS_PER_CALL)
  private readonly byId = new Map<WorkerId, Peer>()
  private readonly byChannel = new Map<number, Peer>()
  /** Processes that sent garbage and are not known to be dead. */
  private readonly refused = new Set<WorkerId>()
  private dirty: Peer[] = []
  private flushScheduled = false
  private ended = false
  private readonly packetBytesMax = native.packetBytesMax
  /** A frame of this size fits into a packet, also into one that goes to another node. */
  private readonly frameBytesMax = native.packetBytesMax - ROUTE_HEADER_BYTES
  private readonly nodeId: NodeId
  /** Null while this process talks to nobody on another node. */
  private routes: Routes | null = null
  private readonly deadNodes = new Set<NodeId>()
  /** Processes of other nodes that are dead, oldest first. The last of what they sent may come after the news, and would begin a peer anew. */
  private readonly deadRemotes = new Set<WorkerId>()
  /** Called instead of failing when objects this process expects may have been sealed. */
  onSealed: () => void = () => {}
  /** Called before each flush, for whoever gathers messages over a turn. */
  beforeFlush: () => void = () => {}

  constructor(
    private readonly store: NativeStore,
    private readonly listener: MeshListener,
    spinMicros: number,
    openPort: NativeModule['openPort'] = native.openPort,
  ) {
    this.nodeId = nodeOf(store.workerId)
    this.port = openPort(
      store,
      {
        onPackets: count => this.receive(count),
        onClosed: (channel, reason) => this.closed(channel, reason),
        onOpened: (channel, slot) => this.opened(channel, slot),
        onWritable: channel => this.writable(channel),
        onSealed: () => this.onSealed(),
      },
      this.inbox,
      this.index,
      spinMicros,
    )
  }

  /** The peer, with a channel opened when there is none. Null when that process is gone. */
  peer(workerId: WorkerId): Peer | null {
    const known = this.byId.get(workerId)
    if (known !== undefined) return known.open ? known : null
    if (workerId === this.store.workerId) return this.admit(LOOPBACK, workerId)
    if (this.refused.has(workerId)) return null
    if (nodeOf(workerId) !== this.nodeId) return this.remote(workerId)
    try {
      return this.admit(this.port.connect(slotOf(workerId), workerId), workerId)
    } catch {
      return null
    }
  }

  /** The peer if a channel to it was opened, also when that process is dead. */
  known(workerId: WorkerId): Peer | null {
    return this.byId.get(workerId) ?? null
  }

  /** Sends a control message. False when that process is gone: its death is, or will be, told by the node. */
  send(to: WorkerId, message: Control): boolean {
    const peer = this.peer(to)
    if (peer === null) return false
    this.sendTo(peer, message)
    return true
  }

  sendTo(peer: Peer, message: Control): void {
    const body = encodeControl(message)
    if (FRAME_HEADER_BYTES + body.length > this.frameBytesMax) return this.sendFragments(peer, FRAME.control, body)
    const at = this.reserve(peer, FRAME_HEADER_BYTES + body.length)
    peer.view.setUint32(at, 1 + body.length, true)
    peer.view.setUint8(at + 4, FRAME.control)
    peer.bytes.set(body, at + FRAME_HEADER_BYTES)
    peer.length = at + FRAME_HEADER_BYTES + body.length
  }

  /** Makes room for `size` bytes of frames in the peer's packet and gives where they may start. The caller advances `peer.length`. */
  reserve(peer: Peer, size: number): number {
    if (peer.length === 0) this.markDirty(peer)
    else if (peer.length >= EAGER_BYTES || peer.length + size > this.packetBytesMax) {
      this.flushPeer(peer)
      this.markDirty(peer)
    }
    const needed = peer.length + size
    if (needed > peer.bytes.length) peer.grow(needed, this.packetBytesMax)
    return peer.length
  }

  /** Makes room as `reserve` does and gives true; false when the frame is larger than a packet and must go through `sendFrame`. */
  reserveOrFragment(peer: Peer, size: number): boolean {
    if (size > this.frameBytesMax) return false
    this.reserve(peer, size)
    return true
  }

  /** Sends a whole frame (kind and body, without its length) of any size, in pieces. */
  sendFrame(peer: Peer, frame: Uint8Array): void {
    this.sendFragments(peer, frame[0] as number, frame.subarray(1))
  }

  /** Sends everything written so far. */
  flush = (): void => {
    this.flushScheduled = false
    this.beforeFlush()
    // Packets for other nodes become frames for the daemon.
    while (this.dirty.length > 0) {
      const peers = this.dirty
      this.dirty = []
      for (const peer of peers) this.flushPeer(peer)
    }
    this.flushScheduled = false
  }

  /** Sees to it that `flush` runs at the end of this turn. */
  scheduleFlush(): void {
    if (this.flushScheduled) return
    this.flushScheduled = true
    queueMicrotask(this.flush)
  }

  /** Handles what has arrived, now. */
  poll(): number {
    return this.port.poll()
  }

  /** Timers get a turn, and all that has arrived is handled: the next immediate alone may come before this turn of the loop has read anything. */
  async turn(): Promise<void> {
    this.flush()
    await new Promise(resolve => setImmediate(resolve))
    this.poll()
  }

  ref(): void {
    this.port.ref()
  }

  unref(): void {
    this.port.unref()
  }

  peers(): Iterable<Peer> {
    return this.byId.values()
  }

  /** Something was said that no ring, and no credit, has room for yet. */
  get isWaiting(): boolean {
    for (const peer of this.byId.values()) if (peer.backlogBytes > 0) return true
    return false
  }

  close(): void {
    this.flush()
    for (const peer of this.byId.values()) peer.open = false
    this.ended = true
    this.port.close()
  }

  /** Ends the channel to a peer that is gone; what is queued for it is dropped. */
  forget(peer: Peer): void {
    peer.open = false
    peer.backlog.length = 0
    peer.backlogBytes = 0
    peer.length = 0
    if (this.byId.get(peer.workerId) === peer) this.byId.delete(peer.workerId)
    if (this.byChannel.get(peer.channel) === peer) {
      this.byChannel.delete(peer.channel)
      if (peer.channel !== LOOPBACK && !this.ended) this.port.disconnect(peer.channel)
    }
  }

  /** That process is dead: whatever is kept for it goes. */
  gone(workerId: WorkerId): void {
    this.refused.delete(workerId)
    if (nodeOf(workerId) !== this.nodeId) this.deadRemotes.add(workerId)
    const [oldest] = this.deadRemotes
    if (this.deadRemotes.size > limits.deadOwnersKept && oldest !== undefined) this.deadRemotes.delete(oldest)
    const peer = this.byId.get(workerId)
    if (peer !== undefined) this.forget(peer)
  }

  /** Talks to other nodes from now on. */
  routeOver(uplink: Uplink): Routes {
    this.routes = new Routes(this.store.workerId, this, uplink)
    return this.routes
  }

  /** The processes of that node are dead. */
  nodeGone(nodeId: NodeId): void {
    this.deadNodes.add(nodeId)
    const [oldest] = this.deadNodes
    if (this.deadNodes.size > limits.deadNodesKept && oldest !== undefined) this.deadNodes.delete(oldest)
    for (const peer of this.remotes()) if (nodeOf(peer.workerId) === nodeId) this.gone(peer.workerId)
  }

  isDeadNode(nodeId: NodeId): boolean {
    return this.deadNodes.has(nodeId)
  }

  /** The peer of another node. */
  remote(workerId: WorkerId): Peer | null {
    const known = this.byId.get(workerId)
    if (known !== undefined) return known.open && known.route !== null ? known : null
    const nodeId = nodeOf(workerId)
    if (this.routes === null || nodeId === this.nodeId || this.refused.has(workerId)) return null
    if (this.deadNodes.has(nodeId) || this.deadRemotes.has(workerId)) return null
    const peer = new Peer(workerId, REMOTE, this.port)
    this.byId.set(workerId, peer)
    return peer
  }

  remotes(): Peer[] {
    return [...this.byId.values()].filter(peer => peer.route !== null)
  }

  touch(peer: Peer): void {
    if (peer.length === 0) this.markDirty(peer)
  }

  /** Puts a frame that is complete, `bytes[start, end)`, behind what was written to the peer so far. */
  pass(peer: Peer, bytes: Uint8Array, start: number, end: number): void {
    const size = end - start
    if (size < DIRECT_BYTES) {
      const at = this.reserve(peer, size)
      peer.bytes.set(bytes.subarray(start, end), at)
      peer.length = at + size
      return
    }
    this.flushPeer(peer)
    if (!peer.open) return
    const packet = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)
    if (peer.backlog.length === 0 && this.port.send(peer.channel, packet, size)) return
    peer.backlog.push(packet.slice())
    peer.backlogBytes += size
  }

  private markDirty(peer: Peer): void {
    if (peer.route !== null) this.routes?.begin(peer)
    this.dirty.push(peer)
    this.scheduleFlush()
  }

  private flushPeer(peer: Peer): void {
    if (peer.length === 0) return
    const length = peer.length
    peer.length = 0
    if (!peer.open) return
    if (peer.channel < 0) return this.flushElsewhere(peer, length)
    if (peer.backlog.length === 0 && this.port.send(peer.channel, peer.bytes, length)) return
    peer.backlog.push(peer.bytes.slice(0, length))
    peer.backlogBytes += length
  }

  private flushElsewhere(peer: Peer, length: number): void {
    if (peer.route !== null) this.routes?.flush(peer, length)
    else this.deliver(peer, peer.bytes.slice(0, length))
  }

  /** To this process itself: in a later turn, as from anybody. */
  private deliver(peer: Peer, packet: Uint8Array): void {
    setImmediate(() => {
      if (!peer.open) return
      const error = this.packet(peer, packet, new DataView(packet.buffer), 0, packet.length)
      if (error !== null) this.refuse(peer, error)
      this.listener.onBatchEnd()
    })
  }

  private writable(channel: number): void {
    const peer = this.byChannel.get(channel)
    if (peer === undefined) return
    while (peer.backlog.length > 0) {
      const packet = peer.backlog[0] as Uint8Array
      if (!this.port.send(channel, packet, packet.length)) return
      peer.backlog.shift()
      peer.backlogBytes -= packet.length
    }
  }

  private sendFragments(peer: Peer, kind: number, body: Uint8Array): void {
    const room = this.frameBytesMax - FRAME_HEADER_BYTES - 2
    for (let from = -1; from < body.length; ) {
      const first = from === -1
      const start = Math.max(0, from)
      const take = Math.min(room - (first ? 1 : 0), body.length - start)
      const size = FRAME_HEADER_BYTES + 1 + (first ? 1 : 0) + take
      let at = this.reserve(peer, size)
      peer.view.setUint32(at, size - 4, true)
      peer.view.setUint8(at + 4, FRAME.fragment)
      peer.view.setUint8(at + 5, start + take === body.length ? 1 : 0)
      at += 6
      if (first) peer.view.setUint8(at++, kind)
      peer.bytes.set(body.subarray(start, start + take), at)
      peer.length = at + take
      from = start + take
    }
  }

  private admit(channel: number, workerId: WorkerId): Peer {
    const peer = new Peer(workerId, channel, this.port)
    this.byId.set(workerId, peer)
    this.byChannel.set(channel, peer)
    return peer
  }

  private opened(channel: number, slot: number): void {
    if (this.byChannel.has(channel)) return
    const client = this.store.clients().find(candidate => candidate.slot === slot)
    if (client === undefined || this.refused.has(client.workerId)) return this.port.disconnect(channel)
    this.admit(channel, client.workerId)
  }

  private closed(channel: number, reason: string): void {
    const peer = this.byChannel.get(channel)
    if (peer === undefined) return
    if (reason === 'corrupt') this.refuse(peer, new WireError('its ring is no ring any more'))
    else {
      peer.open = false
      this.listener.onPeerClosed(peer, reason, '')
      this.forget(peer)
    }
    this.listener.onBatchEnd()
  }

  private receive(count: number): void {
    for (let i = 0; i < count; i++) {
      const peer = this.byChannel.get(this.index[3 * i] as number)
      if (peer === undefined) continue
      const at = this.index[3 * i + 1] as number
      const error = this.packet(peer, this.inbox, this.inboxView, at, at + (this.index[3 * i + 2] as number))
      if (error !== null) this.refuse(peer, error)
    }
    this.listener.onBatchEnd()
  }

  /** Handles the frames in `bytes[at, end)`; a WireError means the rest cannot be trusted. */
  packet(peer: Peer, bytes: Uint8Array, view: DataView, at: number, end: number): WireError | null {
    while (at < end) {
      if (end - at < FRAME_HEADER_BYTES) return new WireError(`a frame header is cut short: ${end - at} bytes`)
      const next = at + 4 + view.getUint32(at, true)
      if (next > end || next < at + FRAME_HEADER_BYTES)
        return new WireError(`a frame claims ${next - at} bytes, the packet has ${end - at}`)
      const error = this.frame(peer, view.getUint8(at + 4), bytes, view, at + FRAME_HEADER_BYTES, next)
      if (error !== null) return error
      at = next
    }
    return null
  }

  private frame(peer: Peer, kind: number, bytes: Uint8Array, view: DataView, at: number, end: number): WireError | null {
    if (kind === FRAME.task || kind === FRAME.reply || kind === FRAME.value) {
      try {
        this.listener.onFrame(peer, kind, bytes, view, at, end)
        return null
      } catch (error) {
        if (error instanceof WireError) return error
        if (error instanceof RangeError) return new WireError(`a frame of kind ${kind} is cut short: ${error.message}`)
        throw error
      }
    }
    if (kind === FRAME.control) {
      const message = decodeControl(bytes.subarray(at, end))
      if (message instanceof WireError) return message
      this.listener.onControl(peer, message)
      return null
    }
    if (kind === FRAME.fragment) return this.fragment(peer, bytes, at, end)
    if (kind === FRAME.route && this.routes !== null) return this.routes.heard(peer, bytes, view, at - FRAME_HEADER_BYTES, end)
    return new WireError(`unknown frame kind ${kind}`)
  }

  private fragment(peer: Peer, bytes: Uint8Array, at: number, end: number): WireError | null {
    if (at >= end) return new WireError('an empty fragment')
    peer.fragments.push(bytes.slice(at + 1, end))
    if (bytes[at] === 0) return null
    const whole = Buffer.concat(peer.fragments)
    peer.fragments = []
    if (whole.length === 0) return new WireError('fragments of nothing')
    if (whole[0] === FRAME.fragment || whole[0] === FRAME.route) return new WireError(`fragments of a ${FRAME_NAME[whole[0]]}`)
    return this.frame(peer, whole[0] as number, whole, new DataView(whole.buffer, whole.byteOffset, whole.length), 1, whole.length)
  }

  /** A peer that sends garbage loses its channel for good; nothing else happens to us. */
  refuse(peer: Peer, error: WireError): void {
    if (!peer.open) return
    peer.open = false
    this.refused.add(peer.workerId)
    process.emitWarning(`eagleray: closing the channel to process ${peer.workerId}: ${error.message}`)
    this.listener.onPeerClosed(peer, 'corrupt', error.message)
    this.forget(peer)
  }
}
