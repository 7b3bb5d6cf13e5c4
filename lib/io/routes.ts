// SPDX-License-Identifier: Apache-2.0
// Peers on other nodes. Their packets leave as route frames to this process's own daemon, which hands them to the daemon
// of the other node, which puts them on the ring of their receiver. Between the two ends there is credit, in bytes: a
// receiver that does not keep up holds back its senders, and nothing piles up in the daemons between them.

import { WireError } from '../errors.js'
import { nodeOf } from '../ids.js'
import { limits } from '../options.js'
import { FRAME, ROUTE, ROUTE_HEADER_BYTES, readHex, writeHex } from '../wire/frames.js'
import type { NodeId, WorkerId } from '../wire/messages.js'
import type { Peer, RouteEnd } from './peer.js'

/** What routes need of the mesh they are part of. */
export interface RouteHost {
  /** The peer of another node, made when there was none; null when nothing of it is heard any more. */
  remote(workerId: WorkerId): Peer | null
  remotes(): Iterable<Peer>
  /** Sees to it that the peer's packet, with at least a header in it, is flushed at the end of this turn. */
  touch(peer: Peer): void
  /** Handles the frames in `bytes[at, end)`. */
  packet(peer: Peer, bytes: Uint8Array, view: DataView, at: number, end: number): WireError | null
  refuse(peer: Peer, error: WireError): void
}

/** Where route frames go, and who may bring some. */
export interface Uplink {
  /** Takes `bytes[0, length)`, one route frame, and copies it. */
  send(bytes: Uint8Array, length: number): void
  /** A route frame from `peer` for another process than this. Its frame is `bytes[start, end)`. */
  forward(peer: Peer, bytes: Uint8Array, view: DataView, start: number, end: number): WireError | null
  /** Whether routes to this process itself may come from there. */
  trusts(peer: Peer): boolean
}

export class Routes {
  /** Nodes that take nothing for now. */
  readonly #held = new Set<NodeId>()
  readonly #self = new Uint8Array(12)

  constructor(
    self: WorkerId,
    private readonly host: RouteHost,
    private readonly uplink: Uplink,
  ) {
    writeHex(this.#self, 0, self, 12)
  }

  /** Starts the packet of a remote peer. */
  begin(peer: Peer): void {
    const { id } = peer.route as RouteEnd
    peer.bytes[4] = FRAME.route
    peer.bytes.set(id, ROUTE.to)
    peer.bytes.set(this.#self, ROUTE.from)
    peer.length = ROUTE_HEADER_BYTES
  }

  /** Sends the packet `peer.bytes[0, length)`, or keeps it until there is credit. */
  flush(peer: Peer, length: number): void {
    const end = peer.route as RouteEnd
    const inner = length - ROUTE_HEADER_BYTES
    if (inner === 0) {
      if (end.consumed > 0) this.#send(end, peer.bytes, length)
      return
    }
    if (peer.backlog.length === 0 && this.#mayPass(peer, end, inner)) return this.#send(end, peer.bytes, length)
    peer.backlog.push(peer.bytes.slice(0, length))
    peer.backlogBytes += length
  }

  /** A route frame in `bytes[start, end)`, complete. */
  heard(from: Peer, bytes: Uint8Array, view: DataView, start: number, end: number): WireError | null {
    if (end - start < ROUTE_HEADER_BYTES) return new WireError(`a route of ${end - start} bytes`)
    if (!this.#isForUs(bytes, start)) return this.uplink.forward(from, bytes, view, start, end)
    if (!this.uplink.trusts(from)) return new WireError('a route from a process that is no daemon')
    this.unwrap(bytes, view, start, end)
    return null
  }

  /** Handles a route to this process. Whatever is wrong with it is its sender's fault. */
  unwrap(bytes: Uint8Array, view: DataView, start: number, end: number): void {
    const peer = this.host.remote(readHex(bytes, start + ROUTE.from, 12))
    if (peer === null) return
    const route = peer.route as RouteEnd
    const given = view.getUint32(start + ROUTE.consumed, true)
    if (given > route.outstanding)
      return this.host.refuse(peer, new WireError(`it gives back ${given} bytes of credit, of ${route.outstanding}`))
    const at = start + ROUTE_HEADER_BYTES
    const error = at === end ? null : this.host.packet(peer, bytes, view, at, end)
    if (error !== null) return this.host.refuse(peer, error)
    if (!peer.open) return
    route.consumed += end - at
    if (route.consumed >= limits.routeCreditBytes) this.host.touch(peer)
    if (given === 0) return
    route.outstanding -= given
    this.#drain(peer)
  }

  /** That node takes nothing, or takes something again. */
  hold(nodeId: NodeId, held: boolean): void {
    if (held) {
      this.#held.add(nodeId)
      return
    }
    if (!this.#held.delete(nodeId)) return
    for (const peer of this.host.remotes()) if (nodeOf(peer.workerId) === nodeId) this.#drain(peer)
  }

  #isForUs(bytes: Uint8Array, start: number): boolean {
    for (let i = 0; i < 12; i++) if (bytes[start + ROUTE.to + i] !== this.#self[i]) return false
    return true
  }

  #mayPass(peer: Peer, end: RouteEnd, inner: number): boolean {
    if (end.outstanding > 0 && end.outstanding + inner > limits.routeWindowBytes) return false
    return this.#held.size === 0 || !this.#held.has(nodeOf(peer.workerId))
  }

  #send(end: RouteEnd, bytes: Uint8Array, length: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, ROUTE_HEADER_BYTES)
    view.setUint32(0, length - 4, true)
    view.setUint32(ROUTE.consumed, end.consumed, true)
    end.consumed = 0
    end.outstanding += length - ROUTE_HEADER_BYTES
    this.uplink.send(bytes, length)
  }

  #drain(peer: Peer): void {
    const end = peer.route as RouteEnd
    let packet = peer.backlog[0]
    while (packet !== undefined && this.#mayPass(peer, end, packet.length - ROUTE_HEADER_BYTES)) {
      peer.backlog.shift()
      peer.backlogBytes -= packet.length
      this.#send(end, packet, packet.length)
      packet = peer.backlog[0]
    }
  }
}
