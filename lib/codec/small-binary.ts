// SPDX-License-Identifier: Apache-2.0
// The whole envelope of a small array in one piece: what `Encoder` gives as a head and a buffer, without making either.

import { binaryKind, binaryPrototype } from './buffers.js'
import { ALIGNMENT, format, HEADER_BYTES, VERSION, VIEW_BYTES_MIN } from './envelope.js'

/** The header and a table of one region, padded. */
const DATA_OFFSET = ALIGNMENT

/**
 * Writes the envelope of a typed array, Buffer or DataView below 4 KiB to the start of `target`. Gives the bytes written, or 0 when
 * the value is another one, does not fit, or is not plain enough: subclassed, resizable, or empty, which may mean detached.
 * `view` is a DataView over the same bytes as `target`.
 */
export function encodeSmallBinary(value: unknown, target: Uint8Array, view: DataView): number {
  if (!ArrayBuffer.isView(value)) return 0
  const { byteLength, buffer } = value
  if (byteLength === 0 || byteLength >= VIEW_BYTES_MIN || DATA_OFFSET + byteLength > target.length) return 0
  const kind = binaryKind(value)
  if (kind < 0 || Object.getPrototypeOf(value) !== binaryPrototype(kind)) return 0
  if ((buffer as { resizable?: boolean }).resizable === true || (buffer as { growable?: boolean }).growable === true) return 0
  target.fill(0, 0, DATA_OFFSET)
  target[0] = format.binary
  target[1] = VERSION
  target[2] = kind
  view.setUint32(4, 1, true)
  view.setUint32(HEADER_BYTES, DATA_OFFSET, true)
  view.setUint32(HEADER_BYTES + 8, byteLength, true)
  target.set(value instanceof Uint8Array ? value : new Uint8Array(buffer, value.byteOffset, byteLength), DATA_OFFSET)
  return DATA_OFFSET + byteLength
}
