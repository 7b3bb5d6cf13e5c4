// SPDX-License-Identifier: Apache-2.0
// Frames of a link as bytes, little endian. One message of the transport is one of them:
//
//   u8 kind · u24 0 · u32 from · u32 to · f64 received · f64 number · rest
//
// The rest of `hello`, `welcome` and `refused` is the MessagePack of a control message, that of `data` a packet of frames as on a ring
// (frames.ts). Whoever writes a packet leaves room for the header before it, so that packet and header are one piece of memory.

import type { LinkFrame, LinkFrameKind } from '../core/link/frame.js'
import { WireError } from '../errors.js'

export const LINK_HEADER_BYTES = 28

const kinds: readonly (LinkFrameKind | 'refused' | null)[] = [
  ...([null, 'hello', 'welcome', 'data', 'ack', 'again', 'probe', 'stranger', 'refused'] as const),
]
const numbers = new Map(kinds.map((kind, number) => [kind, number]))

/** A packet to be sent, `bytes` long apart from its header. */
export function newPacket(bytes: number): Uint8Array {
  // No Buffer: its `slice` is a view. And not filled with zeros, which for large packets costs as much as to copy them.
  const packet = new Uint8Array(Buffer.allocUnsafeSlow(LINK_HEADER_BYTES + bytes).buffer)
  packet[0] = 0
  return packet
}

/** The frame as bytes: data in the packet's own memory, unless that was used before and may still be read by whoever sends it. */
export function encodeLinkFrame(
  frame: Omit<LinkFrame<Uint8Array>, 'kind'> & { kind: LinkFrameKind | 'refused' },
  rest: Uint8Array | null,
): Uint8Array {
  const { packet } = frame
  let bytes: Uint8Array
  if (packet !== null) bytes = packet[0] === 0 ? packet : packet.slice()
  else {
    bytes = new Uint8Array(LINK_HEADER_BYTES + (rest?.length ?? 0))
    if (rest !== null) bytes.set(rest, LINK_HEADER_BYTES)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, LINK_HEADER_BYTES)
  view.setUint32(0, numbers.get(frame.kind) as number, true)
  view.setUint32(4, frame.from, true)
  view.setUint32(8, frame.to, true)
  view.setFloat64(12, frame.received, true)
  view.setFloat64(20, frame.number, true)
  return bytes
}

export type HeardFrame = Omit<LinkFrame<Uint8Array>, 'kind'> & { kind: LinkFrameKind | 'refused' }

/** The packet of `data` is all of `bytes`, header included. */
export function decodeLinkFrame(bytes: Uint8Array): HeardFrame | WireError {
  if (bytes.length < LINK_HEADER_BYTES) return new WireError(`a link frame of ${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, LINK_HEADER_BYTES)
  const kind = kinds[view.getUint32(0, true)] ?? null
  const received = view.getFloat64(12, true)
  const number = view.getFloat64(20, true)
  if (kind === null) return new WireError(`unknown link frame ${view.getUint32(0, true)}`)
  if (!isCount(received) || !isCount(number)) return new WireError(`a link frame counts ${received} and ${number} packets`)
  const packet = kind === 'data' ? bytes : null
  return { kind, from: view.getUint32(4, true), to: view.getUint32(8, true), received, number, packet }
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0
