// SPDX-License-Identifier: Apache-2.0
// What carries the bytes of objects from node to node. Who may have which bytes, and when, is decided elsewhere; a channel asks,
// carries, and says when it cannot.

import type { NodeId } from '../../wire/messages.js'

export interface DataPeer {
  nodeId: NodeId
  /** Where its channel listens. */
  address: string
}

/** Some bytes of an object. */
export interface Piece {
  /** 40 hex digits. */
  id: string
  offset: number
  /** At most `pieceBytes`. */
  length: number
}

export interface Failure {
  /** The peer has no such bytes; else it may have them, but they did not come. */
  missing: boolean
  why: string
}

/** The bytes are there, and cannot be read now: too many files are open, or the like. Whoever asked may ask again. */
export class NotNow extends Error {
  override readonly name = 'NotNow'

  constructor(
    /** As the system gives it, below 0. */
    readonly errno: number,
    message: string,
  ) {
    super(message)
  }
}

/** Where the bytes of one piece go. */
export interface Sink {
  /** Memory for what follows after the first `at` bytes, to be written from its start, at least one byte of it. It is not kept beyond `wrote` or `done`. */
  room(at: number): Uint8Array
  /** So many bytes were written to what `room(at)` gave. */
  wrote(at: number, count: number): void
  /** Called once, after which nothing is written any more; null: all bytes came. Also from within `fetch`. */
  done(failure: Failure | null): void
}

/** The bytes of one piece, which stay as they are until `done`. */
export interface Lent {
  /** Copies what is at `at` of the piece into all of `target`: at once, null, or later where a disk is read. Throws, or rejects, when it cannot: with `NotNow` where it may later. */
  read(at: number, target: Uint8Array): Promise<void> | null
  /** Called once: nothing more is read. */
  done(): void
}

/** A piece that a peer asks for: to be answered once. */
export interface Question extends Piece {
  peer: NodeId
  /** Read as the connection takes it. What cannot be read from the start is as if it were refused as missing, unless it may be read later. */
  send(lent: Lent): void
  refuse(why: 'missing' | 'busy'): void
}

export interface DataListener {
  onQuestion(question: Question): void
  /** No connection to that peer is left: what it asked for is wanted no more, and answers go nowhere. */
  onPeerGone(peer: NodeId): void
  /** Somebody who connected is no node of the cluster, or does not behave like one. */
  onRefused(address: string, why: string): void
}

export interface DataChannel {
  /** Where other nodes reach this one. */
  readonly address: string
  fetch(peer: DataPeer, piece: Piece, sink: Sink): void
  /** The peer is dead: what was asked of it fails. */
  forget(nodeId: NodeId): void
  /** Ends everything; what was asked fails. */
  close(): void
}

/** Of one end of a connection. */
export interface Timing {
  nodeId: NodeId
  handshakeMs: number
  stallMs: number
}

export interface DataOptions {
  nodeId: NodeId
  /** What all nodes of the cluster know and nobody else. */
  token: string
  /** The interface that is listened on, and the port; 0: any. The default is '127.0.0.1' and any. */
  host?: string
  /** What other nodes are told in place of `host`. */
  advertised?: string | undefined
  port?: number
  listener: DataListener
  /** How long a handshake may take, and how long bytes that are due may not come (ms). */
  handshakeMs?: number
  stallMs?: number
}
