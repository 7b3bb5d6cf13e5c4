// SPDX-License-Identifier: Apache-2.0
// Writes MessagePack tokens into a buffer that grows and is reused. Knows nothing of values; see encode.ts.

import { HEADER_BYTES } from './envelope.js'
import { extension } from './extensions.js'
import { isWellFormed, utf8BytesMax, writeUtf8, writeUtf16 } from './text.js'

const INITIAL_BYTES = 4096
/** A buffer that grew beyond this is not kept for the next value. */
const KEPT_BYTES_MAX = 1 << 20

export class Writer {
  bytes = new Uint8Array(INITIAL_BYTES)
  view = new DataView(this.bytes.buffer)
  /** Where the next token goes. */
  at = HEADER_BYTES
  /** Whether an extension type was written: the payload is no longer plain MessagePack. */
  extended = false

  reset(): void {
    if (this.bytes.length > KEPT_BYTES_MAX) this.resize(INITIAL_BYTES)
    this.at = HEADER_BYTES
    this.extended = false
  }

  /** Makes room for `bytes` more. */
  ensure(bytes: number): void {
    const needed = this.at + bytes
    if (needed > this.bytes.length) this.resize(Math.max(needed, this.bytes.length * 2))
  }

  private resize(bytes: number): void {
    const grown = new Uint8Array(bytes)
    if (bytes > this.bytes.length) grown.set(this.bytes.subarray(0, this.at))
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }

  byte(value: number): void {
    this.ensure(1)
    this.bytes[this.at++] = value
  }

  /** Little-endian, inside extensions. */
  uint32(value: number): void {
    this.ensure(4)
    this.view.setUint32(this.at, value, true)
    this.at += 4
  }

  float64(value: number): void {
    this.ensure(8)
    this.view.setFloat64(this.at, value, true)
    this.at += 8
  }

  raw(bytes: Uint8Array): void {
    this.ensure(bytes.length)
    this.bytes.set(bytes, this.at)
    this.at += bytes.length
  }

  nil(): void {
    this.byte(0xc0)
  }

  boolean(value: boolean): void {
    this.byte(value ? 0xc3 : 0xc2)
  }

  /** Integers as integers up to 2^53, all else (and -0) as float64. */
  number(value: number): void {
    this.ensure(9)
    if ((value | 0) === value) {
      if (value > 0 || (value === 0 && 1 / value > 0)) return this.uint(value)
      if (value < 0) return this.negative(value)
    } else if (Number.isSafeInteger(value)) {
      if (value > 0 && value <= 0xffffffff) return this.uint(value)
      this.bytes[this.at] = value > 0 ? 0xcf : 0xd3
      this.view.setInt32(this.at + 1, Math.floor(value / 2 ** 32))
      this.view.setUint32(this.at + 5, value - Math.floor(value / 2 ** 32) * 2 ** 32)
      this.at += 9
      return
    }
    this.bytes[this.at] = 0xcb
    this.view.setFloat64(this.at + 1, value)
    this.at += 9
  }

  private uint(value: number): void {
    const { bytes } = this
    if (value < 0x80) {
      bytes[this.at++] = value
    } else if (value < 0x100) {
      bytes[this.at] = 0xcc
      bytes[this.at + 1] = value
      this.at += 2
    } else if (value < 0x10000) {
      bytes[this.at] = 0xcd
      this.view.setUint16(this.at + 1, value)
      this.at += 3
    } else {
      bytes[this.at] = 0xce
      this.view.setUint32(this.at + 1, value)
      this.at += 5
    }
  }

  private negative(value: number): void {
    const { bytes } = this
    if (value >= -32) {
      bytes[this.at++] = value & 0xff
    } else if (value >= -0x80) {
      bytes[this.at] = 0xd0
      bytes[this.at + 1] = value & 0xff
      this.at += 2
    } else if (value >= -0x8000) {
      bytes[this.at] = 0xd1
      this.view.setInt16(this.at + 1, value)
      this.at += 3
    } else {
      bytes[this.at] = 0xd2
      this.view.setInt32(this.at + 1, value)
      this.at += 5
    }
  }

  string(text: string): void {
    const length = text.length
    if (length < 32) {
      // One byte of header holds up to 31 bytes, which nearly all strings this short have.
      this.ensure(6 + utf8BytesMax(text))
      const written = writeUtf8(this.bytes, this.at + 1, text)
      if (written < 32) {
        if (written === length || isWellFormed(text)) {
          this.bytes[this.at] = 0xa0 | written
          this.at += 1 + written
          return
        }
      }
    }
    if (!isWellFormed(text)) return this.text16(text)
    this.ensure(6 + utf8BytesMax(text))
    const written = writeUtf8(this.bytes, this.at + 5, text)
    this.bytes[this.at] = 0xdb
    this.view.setUint32(this.at + 1, written)
    this.at += 5 + written
  }

  private text16(text: string): void {
    const body = this.beginExtension(extension.text16)
    this.ensure(text.length * 2)
    this.at += writeUtf16(this.bytes, this.at, text)
    this.endExtension(body)
  }

  arrayHeader(length: number): void {
    this.ensure(5)
    if (length < 16) this.bytes[this.at++] = 0x90 | length
    else this.longHeader(length, 0xdc)
  }

  mapHeader(length: number): void {
    this.ensure(5)
    if (length < 16) this.bytes[this.at++] = 0x80 | length
    else this.longHeader(length, 0xde)
  }

  private longHeader(length: number, tag16: number): void {
    if (length < 0x10000) {
      this.bytes[this.at] = tag16
      this.view.setUint16(this.at + 1, length)
      this.at += 3
    } else {
      this.bytes[this.at] = tag16 + 1
      this.view.setUint32(this.at + 1, length)
      this.at += 5
    }
  }

  undefined(hole = 0): void {
    this.ensure(3)
    this.extended = true
    this.bytes[this.at] = 0xd4
    this.bytes[this.at + 1] = extension.undefined
    this.bytes[this.at + 2] = hole
    this.at += 3
  }

  /** An extension that holds one u32. */
  extension32(type: number, value: number): void {
    this.ensure(6)
    this.extended = true
    this.bytes[this.at] = 0xd6
    this.bytes[this.at + 1] = type
    this.view.setUint32(this.at + 2, value, true)
    this.at += 6
  }

  /** Begins an extension of unknown length; gives what `endExtension` needs. */
  beginExtension(type: number): number {
    this.ensure(6)
    this.extended = true
    this.bytes[this.at] = 0xc9
    this.bytes[this.at + 5] = type
    this.at += 6
    return this.at
  }

  endExtension(body: number): void {
    this.view.setUint32(body - 5, this.at - body)
  }
}
