// SPDX-License-Identifier: Apache-2.0
// Small envelopes: one format byte and a payload that the envelope's own length ends. No header, no allocation.
//
//   undefined, null, false, true   1 byte            bigint64   1 + 8
//   int32                          1 + 4             latin1     1 + n    characters below 128, one byte each
//   float64                        1 + 8             utf8, utf16  1 + n  (utf16 keeps lone surrogates)

import { WireError } from '../errors.js'
import { format } from './envelope.js'
import { isWellFormed, readLatin1, readUtf8, readUtf16, utf8BytesMax, writeUtf8, writeUtf16 } from './text.js'

/** What `decodeSmall` gives for an envelope that is not a small one. */
export const NOT_SMALL: unique symbol = Symbol('not a small value')

const SMALL_CHARACTERS_MAX = 4096
/** What `decodeSmall` reads from no more bytes than these, `encodeSmall` can write again. Longer strings are none of its values. */
export const SMALL_BYTES_MAX = 1 + SMALL_CHARACTERS_MAX

/**
 * Encodes undefined, null, booleans, numbers, strings of at most 4096 characters and bigints of 64 bits into
 * `target` at `offset`. Gives the bytes written, or 0 when the value is another one or does not fit.
 * `view` is a DataView over the same bytes as `target`.
 */
export function encodeSmall(value: unknown, target: Uint8Array, view: DataView, offset: number): number {
  const room = target.length - offset
  if (room < 9) return room > 0 ? encodeTight(value, target, offset, room) : 0
  switch (typeof value) {
    case 'number':
      if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
        target[offset] = format.int32
        view.setInt32(offset + 1, value, true)
        return 5
      }
      target[offset] = format.float64
      view.setFloat64(offset + 1, value, true)
      return 9
    case 'string':
      return value.length <= SMALL_CHARACTERS_MAX && fits(value, room) ? encodeText(value, target, offset) : 0
    case 'boolean':
      target[offset] = value ? format.true : format.false
      return 1
    case 'undefined':
      target[offset] = format.undefined
      return 1
    case 'object':
      if (value !== null) return 0
      target[offset] = format.null
      return 1
    case 'bigint':
      if (BigInt.asIntN(64, value) !== value) return 0
      target[offset] = format.bigint64
      view.setBigInt64(offset + 1, value, true)
      return 9
    default:
      return 0
  }
}

/** Whether `encodeText` stays within `room` bytes. Only near the end of a target is the exact size worth finding out. */
function fits(text: string, room: number): boolean {
  if (utf8BytesMax(text) < room) return true
  return (isWellFormed(text) ? Buffer.byteLength(text) : text.length * 2) < room
}

/** Near the end of a target: encodes aside, and copies what fits. */
function encodeTight(value: unknown, target: Uint8Array, offset: number, room: number): number {
  if (typeof value === 'string' && value.length > room) return 0
  const aside = new Uint8Array(64)
  const length = encodeSmall(value, aside, new DataView(aside.buffer), 0)
  if (length === 0 || length > room) return 0
  target.set(aside.subarray(0, length), offset)
  return length
}

/** A string of any length that fits; gives the bytes written. */
export function encodeText(text: string, target: Uint8Array, offset: number): number {
  const written = writeUtf8(target, offset + 1, text)
  if (written === text.length) {
    target[offset] = format.latin1
    return 1 + written
  }
  if (isWellFormed(text)) {
    target[offset] = format.utf8
    return 1 + written
  }
  target[offset] = format.utf16
  return 1 + writeUtf16(target, offset + 1, text)
}

/**
 * Decodes the small envelope `bytes[offset, offset + length)`; NOT_SMALL when it is a large one.
 * `view` is a DataView over the same bytes as `bytes`. A malformed one is a WireError.
 */
export function decodeSmall(bytes: Uint8Array, view: DataView, offset: number, length: number): unknown {
  if (length < 1 || offset + length > bytes.length) throw new WireError('an empty value')
  switch (bytes[offset]) {
    case format.int32:
      if (length !== 5) break
      return view.getInt32(offset + 1, true)
    case format.float64:
      if (length !== 9) break
      return view.getFloat64(offset + 1, true)
    case format.latin1:
      return readLatin1(bytes, offset + 1, offset + length)
    case format.utf8:
      return readUtf8(bytes, offset + 1, offset + length)
    case format.utf16:
      if (length % 2 !== 1) break
      return readUtf16(bytes, offset + 1, offset + length)
    case format.undefined:
      if (length !== 1) break
      return undefined
    case format.null:
      if (length !== 1) break
      return null
    case format.true:
      if (length !== 1) break
      return true
    case format.false:
      if (length !== 1) break
      return false
    case format.bigint64:
      if (length !== 9) break
      return view.getBigInt64(offset + 1, true)
    default:
      return NOT_SMALL
  }
  throw new WireError(`a small value of format ${bytes[offset]} has ${length} bytes`)
}
