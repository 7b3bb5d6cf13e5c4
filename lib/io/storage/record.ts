// SPDX-License-Identifier: Apache-2.0
// Records of a log, each of which is whole or is none:
//
//   u32 length of the text · u32 CRC-32 of length and text · text (UTF-8)       numbers little endian

import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'

const HEADER_BYTES = 8
/** A length beyond this is damage. */
const TEXT_BYTES_MAX = 1 << 30

export function encodeRecord(text: string): Buffer {
  const size = Buffer.byteLength(text)
  if (size > TEXT_BYTES_MAX) throw new RangeError(`a batch of ${size} bytes is too large to be kept`)
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + size)
  bytes.writeUInt32LE(size, 0)
  bytes.write(text, HEADER_BYTES)
  bytes.writeUInt32LE(checksum(bytes, 0, size), 4)
  return bytes
}

/** The whole records from `start` on, and where the last one ends. */
export function decodeRecords(bytes: Buffer, start = 0): { texts: string[]; end: number } {
  const texts: string[] = []
  let at = start
  for (let size = sizeAt(bytes, at); size >= 0; size = sizeAt(bytes, at)) {
    texts.push(bytes.toString('utf8', at + HEADER_BYTES, at + HEADER_BYTES + size))
    at += HEADER_BYTES + size
  }
  return { texts, end: at }
}

/** Whether a whole record begins anywhere behind: then what is before it is not the end of a write that was cut short. */
export function hasRecordAfter(bytes: Buffer, from: number): boolean {
  for (let at = from; at + HEADER_BYTES < bytes.length; at++) if (sizeAt(bytes, at) > 0) return true
  return false
}

/** Of the text of the record that begins there; -1: none does. */
function sizeAt(bytes: Buffer, at: number): number {
  if (at + HEADER_BYTES > bytes.length) return -1
  const size = bytes.readUInt32LE(at)
  if (size > TEXT_BYTES_MAX || at + HEADER_BYTES + size > bytes.length) return -1
  return bytes.readUInt32LE(at + 4) === checksum(bytes, at, size) ? size : -1
}

function checksum(bytes: Buffer, at: number, size: number): number {
  return crc32(bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + size), crc32(bytes.subarray(at, at + 4)))
}
