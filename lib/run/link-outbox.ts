// SPDX-License-Identifier: Apache-2.0
// What goes to one node: frames gather in one packet until the end of a turn. Packets are cut from larger pieces of memory, so
// that a frame is copied once on its way from a ring to the socket.

import { limits } from '../options.js'
import { FRAME, FRAME_HEADER_BYTES } from '../wire/frames.js'
import { LINK_HEADER_BYTES, newPacket } from '../wire/link-frames.js'
import type { NodeId, WorkerId } from '../wire/messages.js'

/** Of the pieces that packets are cut from: the first, and the largest after doublings. */
const PIECE_BYTES = [8 << 10, 64 << 10] as const

export class LinkOutbox {
  /** The transport has a link to it. */
  #linked = false
  dirty = false
  /** Who speaks for the node, once that is known. */
  daemonId: WorkerId = ''
  /** Processes here were asked to hold back what is for this node. */
  held = false
  /** Packets from the time before there was a link. */
  #waiting: Uint8Array[] = []
  waitingBytes = 0
  #piece: Uint8Array = newPacket(0)
  #pieceBytes: number = PIECE_BYTES[0]
  #start = 0
  #end = 0
  #timer: NodeJS.Timeout | null

  constructor(
    readonly nodeId: NodeId,
    onUnknown: () => void,
  ) {
    this.#timer = setTimeout(onUnknown, limits.unknownNodeMs)
    this.#timer.unref()
  }

  get linked(): boolean {
    return this.#linked
  }

  set linked(linked: boolean) {
    this.#linked = linked
    if (linked) this.end()
  }

  /** Appends a frame, `bytes[start, end)`, which is copied. */
  frame(bytes: Uint8Array, start: number, end: number): void {
    const at = this.#room(end - start)
    this.#piece.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), at)
  }

  /** Appends a control message. */
  control(body: Uint8Array): void {
    const at = this.#room(FRAME_HEADER_BYTES + body.length)
    new DataView(this.#piece.buffer, this.#piece.byteOffset).setUint32(at, 1 + body.length, true)
    this.#piece[at + 4] = FRAME.control
    this.#piece.set(body, at + FRAME_HEADER_BYTES)
  }

  /** Hands over what has gathered; false when `send` does not take it. Without a link it waits. */
  flush(send: (packet: Uint8Array) => boolean): boolean {
    this.dirty = false
    this.#cut()
    if (!this.#linked || this.#waiting.length === 0) return true
    const packets = this.#waiting
    this.#waiting = []
    this.waitingBytes = 0
    return packets.every(send)
  }

  /** Nobody waits for a link any more. */
  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  /** Where `size` bytes may be written, at the end of the packet that gathers. */
  #room(size: number): number {
    const header = this.#end === this.#start ? LINK_HEADER_BYTES : 0
    if (this.#end + header + size > this.#piece.length) this.#grow(size)
    if (this.#end === this.#start) {
      this.#piece[this.#start] = 0
      this.#end += LINK_HEADER_BYTES
    }
    const at = this.#end
    this.#end += size
    return at
  }

  #grow(size: number): void {
    this.#cut()
    this.#piece = newPacket(Math.max(size, this.#pieceBytes))
    this.#pieceBytes = Math.min(2 * this.#pieceBytes, PIECE_BYTES[1])
    this.#start = 0
    this.#end = 0
  }

  #cut(): void {
    if (this.#end === this.#start) return
    const packet = this.#piece.subarray(this.#start, this.#end)
    this.#start = this.#end
    this.#waiting.push(packet)
    this.waitingBytes += packet.length
  }
}
