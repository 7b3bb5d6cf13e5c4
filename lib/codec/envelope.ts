// SPDX-License-Identifier: Apache-2.0
// The envelope: how an encoded value lies in a message, in the store or in a file. Little-endian throughout.
//
//   small   [ format u8 | payload ]                             the length of the envelope ends the payload; see small.ts
//   large   [ format u8 | version u8 | detail u8 | flags u8 | regions u32 | payload bytes u64 ]        16 bytes
//           [ payload | function table, when flags say so | zeros to a multiple of 8 ]
//           [ region table: regions × ( offset u64 | bytes u64 ) ]
//           [ regions, each at a multiple of 64, ascending, disjoint ]
//
// `head` is everything before the first region. Regions hold the bytes of arrays and tables, out of band, so that they
// are copied once on the way in and not at all on the way out. Invariants of a valid envelope: offsets ascend and never
// overlap (so that copying every region copies no more than the envelope), and everything ends within it.

import { WireError } from '../errors.js'

export const VERSION = 1
export const HEADER_BYTES = 16
export const REGION_ENTRY_BYTES = 16
export const ALIGNMENT = 64
/** From this size on, arrays are views over the store's memory; smaller ones are copied, which is cheaper than to pin them. */
export const VIEW_BYTES_MIN = 4096

/** The first byte of an envelope. 0 is none, so that zeroed memory is not a value. */
export const format = {
  undefined: 1,
  null: 2,
  false: 3,
  true: 4,
  int32: 5,
  float64: 6,
  bigint64: 7,
  latin1: 8,
  utf8: 9,
  utf16: 10,
  /** One typed array, Buffer, DataView or ArrayBuffer, in region 0; `detail` is its kind (buffers.ts). */
  binary: 16,
  /** One Arrow Table or RecordBatch as an IPC stream, in region 0; `detail` is its kind (arrow.ts). */
  arrow: 17,
  /** Plain MessagePack, which any language reads. */
  plain: 18,
  /** MessagePack with the extension types of extensions.ts. */
  rich: 19,
  /** An array of distinct references: payload = count records of `detail` bytes. */
  references: 20,
} as const

export const flag = {
  /** A function table follows the payload: u32 count, then of each u8 optional, u32 length, bytes. */
  functions: 1,
  /** Some array of the value becomes a view over the envelope's memory when decoded without a copy. */
  views: 2,
} as const

/** An encoded value, before it is placed in a message or the store. `head` is valid until the next encode of the same Encoder. */
export interface Encoded {
  /** Of the whole envelope, padding included. */
  byteLength: number
  /** Envelope header, payload and tables; goes to offset 0. */
  head: Uint8Array
  /** Out-of-band views of the caller's memory, uncopied. */
  buffers: Uint8Array[]
  /** `buffers[i]` goes to `offsets[i]` of the envelope. The first part of each region is 64-byte aligned. */
  offsets: number[]
  /** The refs and handles it contains, in order of first appearance (as given to ReferenceCodec.encode). */
  references: object[]
}

/** The bytes of one region: usually one part; a table has many, one after the other. */
export interface Region {
  byteLength: number
  parts: Uint8Array[]
}

export interface Header {
  format: number
  detail: number
  flags: number
  /** End of the payload; it begins at HEADER_BYTES. */
  payloadEnd: number
  /** Where each region begins, from the start of the envelope, and its length. */
  offsets: number[]
  lengths: number[]
}

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment
}

/** Bytes of a head whose tables end the payload part at `end`. */
export function headBytes(end: number, regions: number): number {
  return alignUp(end, 8) + regions * REGION_ENTRY_BYTES
}

/**
 * Fills in the header and the region table of `head`, whose payload and function table lie in [HEADER_BYTES, end) already
 * and which has room for `headBytes(end, regions.length)`. `view` is over the same bytes.
 */
export function finishEnvelope(
  head: Uint8Array,
  view: DataView,
  kind: number,
  detail: number,
  flags: number,
  payloadEnd: number,
  end: number,
  regions: Region[],
  references: object[],
): Encoded {
  head[0] = kind
  head[1] = VERSION
  head[2] = detail
  head[3] = flags
  view.setUint32(4, regions.length, true)
  setUint53(view, 8, payloadEnd - HEADER_BYTES)
  let entry = alignUp(end, 8)
  head.fill(0, end, entry)
  const headLength = entry + regions.length * REGION_ENTRY_BYTES
  const buffers: Uint8Array[] = []
  const offsets: number[] = []
  let place = headLength
  for (const region of regions) {
    place = alignUp(place, ALIGNMENT)
    setUint53(view, entry, place)
    setUint53(view, entry + 8, region.byteLength)
    entry += REGION_ENTRY_BYTES
    for (const part of region.parts) {
      buffers.push(part)
      offsets.push(place)
      place += part.byteLength
    }
  }
  return { byteLength: place, head: head.subarray(0, headLength), buffers, offsets, references }
}

/** Reads and checks the header and region table of a large envelope. */
export function readHeader(bytes: Uint8Array): Header {
  if (bytes.byteLength < HEADER_BYTES) throw new WireError(`a value of ${bytes.byteLength} bytes is shorter than its header`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes[1] !== VERSION) throw new WireError(`a value of format version ${bytes[1]}; this process reads version ${VERSION}`)
  const regions = view.getUint32(4, true)
  const flags = bytes[3]!
  const payloadEnd = HEADER_BYTES + getUint53(view, 8)
  if (payloadEnd + regions * REGION_ENTRY_BYTES > bytes.byteLength) throw new WireError('a value is shorter than its header says')
  const tableAt = alignUp((flags & flag.functions) === 0 ? payloadEnd : functionTableEnd(view, payloadEnd), 8)
  let low = tableAt + regions * REGION_ENTRY_BYTES
  if (low > bytes.byteLength && regions > 0) throw new WireError('the region table of a value is cut off')
  const offsets: number[] = []
  const lengths: number[] = []
  for (let i = 0, entry = tableAt; i < regions; i++, entry += REGION_ENTRY_BYTES) {
    const offset = getUint53(view, entry)
    const length = getUint53(view, entry + 8)
    if (offset < low || offset % ALIGNMENT !== 0 || offset + length > bytes.byteLength)
      throw new WireError(`region ${i} of a value lies outside of it`)
    low = offset + length
    offsets.push(offset)
    lengths.push(length)
  }
  return { format: bytes[0]!, detail: bytes[2]!, flags, payloadEnd, offsets, lengths }
}

/** Where the payload of a large envelope without functions and regions ends. */
export function payloadEndOf(bytes: Uint8Array): number {
  if (bytes.length < HEADER_BYTES || bytes[1] !== VERSION) return readHeader(bytes).payloadEnd
  const low = (bytes[8]! | (bytes[9]! << 8) | (bytes[10]! << 16) | (bytes[11]! << 24)) >>> 0
  const high = bytes[12]! | (bytes[13]! << 8) | (bytes[14]! << 16) | (bytes[15]! << 24)
  const end = HEADER_BYTES + low
  if (high !== 0 || end > bytes.length) return readHeader(bytes).payloadEnd
  return end
}

/** The functions of a value: their bytes, and whether the value can do without (the class of an error). */
export interface FunctionEntry {
  bytes: Uint8Array
  optional: boolean
}

export function readFunctionTable(bytes: Uint8Array, header: Header): FunctionEntry[] {
  if ((header.flags & flag.functions) === 0) return []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  functionTableEnd(view, header.payloadEnd)
  const entries: FunctionEntry[] = []
  let at = header.payloadEnd + 4
  for (let left = view.getUint32(header.payloadEnd, true); left > 0; left--) {
    const length = view.getUint32(at + 1, true)
    entries.push({ optional: bytes[at] === 1, bytes: bytes.subarray(at + 5, at + 5 + length) })
    at += 5 + length
  }
  return entries
}

function functionTableEnd(view: DataView, start: number): number {
  const cut = (): never => {
    throw new WireError('the function table of a value is cut off')
  }
  if (start + 4 > view.byteLength) cut()
  let at = start + 4
  for (let left = view.getUint32(start, true); left > 0; left--) {
    if (at + 5 > view.byteLength) cut()
    at += 5 + view.getUint32(at + 1, true)
  }
  return at > view.byteLength ? cut() : at
}

/** Copies an Encoded into one contiguous place, `target[offset, offset + encoded.byteLength)`; the gaps become zero. */
export function writeEncoded(encoded: Encoded, target: Uint8Array, offset: number): void {
  target.set(encoded.head, offset)
  let end = encoded.head.byteLength
  for (let i = 0; i < encoded.buffers.length; i++) {
    const buffer = encoded.buffers[i]!
    const at = encoded.offsets[i]!
    if (at > end) target.fill(0, offset + end, offset + at)
    target.set(buffer, offset + at)
    end = at + buffer.byteLength
  }
}

/** Sizes and offsets are u64 on the wire and safe integers here. */
export function setUint53(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true)
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}

export function getUint53(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true)
  if (high >= 2 ** 21) throw new WireError('a size in a value exceeds 2^53')
  return high * 2 ** 32 + view.getUint32(at, true)
}
