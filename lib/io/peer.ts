// SPDX-License-Identifier: Apache-2.0
// The other end of a channel: of a ring in shared memory, of this process to itself, or of a route to a process of
// another node. What is written to a peer is the same in all three cases.

import type { NativePort } from '../native.js'
import { CLAIM_WORDS, type PacketBuffer, writeHex } from '../wire/frames.js'
import type { WorkerId } from '../wire/messages.js'

const FIRST_PACKET_BYTES = 4096
/** Channel number of the peer that is this process itself: an actor that calls itself, a worker that is lent to its own task. */
export const LOOPBACK = -1
/** And of those of other nodes. */
export const REMOTE = -2

export interface ClaimWords {
  mine: Int32Array
  theirs: Int32Array
}

/** Words that are shared with nobody. Of this process with itself: both ends are here, and see the same. Of a peer on another node each end has its own. */
function ownWords(channel: number): ClaimWords {
  const mine = new Int32Array(CLAIM_WORDS)
  return { mine, theirs: channel === LOOPBACK ? mine : new Int32Array(CLAIM_WORDS) }
}

/** Credits with a process of another node, in bytes of frames. */
export class RouteEnd {
  /** The peer's id as it stands in a route. */
  readonly id = new Uint8Array(12)
  /** Sent, and not known to be handled there. */
  outstanding = 0
  /** Handled here, which the peer does not know yet. */
  consumed = 0

  constructor(workerId: WorkerId) {
    writeHex(this.id, 0, workerId, 12)
  }
}

export class Peer implements PacketBuffer {
  bytes = new Uint8Array(FIRST_PACKET_BYTES)
  view = new DataView(this.bytes.buffer)
  length = 0
  /** Packets the ring, or the credit, had no room for, oldest first. */
  readonly backlog: Uint8Array[] = []
  backlogBytes = 0
  open = true
  /** Pieces of a frame larger than a packet, as they come in. */
  fragments: Uint8Array[] = []
  /** Code this process has sent over the channel, and its number there; and code received, by number (the executor's). */
  readonly sentCode = new Map<object, number>()
  readonly receivedCode: unknown[] = []
  /** Of a process of another node; null otherwise. */
  readonly route: RouteEnd | null
  private words: ClaimWords | null = null

  constructor(
    readonly workerId: WorkerId,
    readonly channel: number,
    private readonly port: NativePort,
  ) {
    this.route = channel === REMOTE ? new RouteEnd(workerId) : null
  }

  /** Revocable-task words of the channel: those of tasks I send, and of tasks the peer sends. */
  get claims(): ClaimWords {
    this.words ??= this.channel < 0 ? ownWords(this.channel) : this.port.claims(this.channel)
    return this.words
  }

  /** Makes `bytes` at least that long; what is written stays. */
  grow(needed: number, most: number): void {
    const grown = new Uint8Array(Math.min(most, Math.max(2 * this.bytes.length, needed)))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }
}
