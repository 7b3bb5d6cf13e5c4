// SPDX-License-Identifier: Apache-2.0
// What connects nodes: packets to and from peers that are named by NodeId, delivered once and in order for as long as
// both processes live, whatever happens to the connections between them.

import type { NodeId, WorkerId } from '../wire/messages.js'

export interface PeerName {
  id: NodeId
  /** The process that speaks for the node. */
  daemonId: WorkerId
  /** Where it listens. */
  address: string
}

export interface Refusal {
  why: string
  /** Of the peer, as far as it is known. */
  address: string
  id: NodeId | null
  /** It ended our connections before their handshake: it does not know our key, or is no such peer. */
  turnedAway?: boolean
  /** The peer `id`, which is who it says, will have nothing to do with us. */
  refusesUs?: boolean
}

export interface TransportListener {
  /** A packet of frames in `bytes[at, ...)`; the memory is the listener's from now on. */
  onPacket(id: NodeId, bytes: Uint8Array, at: number): void
  /** The peer can be talked to. A peer that was not opened here opened the link itself. */
  onUp(peer: PeerName): void
  /** It cannot be for now. What is sent waits for the next `onUp`. */
  onDown(id: NodeId, why: string): void
  /**
   * The peer is another process than before (after `onDown`, before `onUp`). Of these packets it is not known whether the former one heard
   * them. They go nowhere unless they are sent again.
   */
  onRestarted(id: NodeId, packets: Uint8Array[]): void
  /** After `isFull` was true: it is not any more. */
  onWritable(id: NodeId): void
  /** Somebody was not let in, or did not let us in. Called for every attempt. */
  onRefused(refusal: Refusal): void
}

export interface Transport {
  /** Where others reach this node: 'tcp://host:port'. */
  readonly address: string
  /** Makes a link to a peer that listens there; no effect when there is one. It stays until `forget`, and reconnects by itself. */
  open(peer: { id: NodeId; address: string }): void
  /**
   * Takes the packet, which was made by `newPacket` and is not written to any more. False, and not taken, when there is no link to that
   * peer or more than `linkBytesMax` is kept for it already.
   */
  send(id: NodeId, packet: Uint8Array): boolean
  /** More than `linkFullBytes` is kept for the peer: whoever can wait should. */
  isFull(id: NodeId): boolean
  /** Bytes that the peer is not known to have. */
  unacknowledged(id: NodeId): number
  /**
   * The peer is dead: what is kept for it goes. When it speaks again nevertheless, that is a new link; or, where there is a reason to want none, it
   * is refused with that (`refusesUs` there).
   */
  forget(id: NodeId, why?: string): void
  /** Waits up to `drainMs` until the peers have what was sent, then ends all connections. */
  close(drainMs: number): Promise<void>
}
