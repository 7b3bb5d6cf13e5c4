// SPDX-License-Identifier: Apache-2.0
// Reads MessagePack tokens from bytes nobody vouches for. Never reads beyond `end`, and never believes a count: a
// collection announced larger than the bytes left could hold is a WireError before anything is allocated.

import { WireError } from '../errors.js'
import { extension } from './extensions.js'
import { readLatin1, readUtf8, readUtf16 } from './text.js'

/** What an array element that is not there decodes to. */
export const HOLE: unique symbol = Symbol('hole')

const KEY_BYTES_MAX = 24
const KEY_SLOTS = 512

const scratch = new Uint8Array(8)
const scratchView = new DataView(scratch.buffer)

export class Reader {
  bytes: Uint8Array = scratch
  at = 0
  end = 0
  private view: DataView | null = null
  /** Keys met before, by a hash of their bytes: the same few names come again and again. */
  private readonly keys: (string | undefined)[] = new Array(KEY_SLOTS).fill(undefined)

  open(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes
    this.view = null
    this.at = start
    this.end = end
  }

  close(): void {
    this.bytes = scratch
    this.view = null
    this.at = 0
    this.end = 0
  }

  /** Moves past `length` bytes and gives where they began. */
  take(length: number): number {
    const start = this.at
    if (length > this.end - start) throw new WireError('a value is cut off')
    this.at = start + length
    return start
  }

  byte(): number {
    return this.bytes[this.take(1)]!
  }

  /** Little-endian, inside extensions. */
  uint32(): number {
    const at = this.take(4)
    const { bytes } = this
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  }

  float64Little(): number {
    this.fill(8)
    return scratchView.getFloat64(0, true)
  }

  /** Big-endian, inside tokens. */
  big16(): number {
    const at = this.take(2)
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!
  }

  big32(): number {
    const at = this.take(4)
    const { bytes } = this
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  }

  float64(): number {
    if (this.view !== null) return this.view.getFloat64(this.take(8))
    this.fill(8)
    return scratchView.getFloat64(0)
  }

  /** Many numbers follow: from here on a DataView pays, which is not worth making for a few. */
  expectMany(): void {
    this.view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
  }

  private fill(length: number): void {
    const at = this.take(length)
    for (let i = 0; i < length; i++) scratch[i] = this.bytes[at + i]!
  }

  /** A number, string, boolean or null whose first byte was `tag`; `undefined` when it is none of these. */
  scalar(tag: number): unknown {
    if (tag < 0x80) return tag
    if (tag >= 0xe0) return tag - 0x100
    if (tag >= 0xa0 && tag < 0xc0) return this.text(tag & 0x1f)
    switch (tag) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xca:
        this.fill(4)
        return scratchView.getFloat32(0)
      case 0xcb:
        return this.float64()
      case 0xcc:
        return this.byte()
      case 0xcd:
        return this.big16()
      case 0xce:
        return this.big32()
      case 0xcf:
        return this.wide(this.big32())
      case 0xd0:
        return (this.byte() << 24) >> 24
      case 0xd1:
        return (this.big16() << 16) >> 16
      case 0xd2:
        return this.big32() | 0
      case 0xd3:
        return this.wide(this.big32() | 0)
      case 0xd9:
        return this.text(this.byte())
      case 0xda:
        return this.text(this.big16())
      case 0xdb:
        return this.text(this.big32())
      default:
        return undefined
    }
  }

  /** 64-bit integers beyond 2^53, which only other writers produce, become bigints. */
  private wide(high: number): number | bigint {
    const low = this.big32()
    const value = high * 2 ** 32 + low
    return Number.isSafeInteger(value) ? value : (BigInt(high) << 32n) | BigInt(low)
  }

  private text(length: number): string {
    const start = this.take(length)
    return readUtf8(this.bytes, start, start + length)
  }

  /** The elements or pairs that follow, each of which takes at least `bytesEach`. */
  count(announced: number, bytesEach: number): number {
    if (announced * bytesEach > this.end - this.at) throw new WireError(`a collection of ${announced} is cut off`)
    return announced
  }

  /** A key of a map: a string, or text16. */
  key(): string {
    const tag = this.byte()
    if (tag >= 0xa0 && tag < 0xa0 + KEY_BYTES_MAX) return this.shortKey(tag & 0x1f)
    const value = this.scalar(tag)
    if (typeof value === 'string') return value
    if (typeof value === 'number') return String(value)
    if (value === undefined) {
      const length = this.extensionLength(tag)
      if (length >= 0 && this.byte() === extension.text16) return this.text16(length)
    }
    throw new WireError('a map has a key that is no string')
  }

  text16(length: number): string {
    if (length % 2 !== 0) throw new WireError('UTF-16 text of odd length')
    const start = this.take(length)
    return readUtf16(this.bytes, start, start + length)
  }

  private shortKey(length: number): string {
    const start = this.take(length)
    const { bytes } = this
    let hash = length
    for (let i = start; i < this.at; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0
    const slot = (hash ^ (hash >>> 9)) & (KEY_SLOTS - 1)
    const known = this.keys[slot]
    if (known !== undefined && known.length === length && this.matches(known, start)) return known
    for (let i = start; i < this.at; i++) if (bytes[i]! >= 0x80) return readUtf8(bytes, start, this.at)
    const key = readLatin1(bytes, start, this.at)
    this.keys[slot] = key
    return key
  }

  private matches(known: string, start: number): boolean {
    for (let i = 0; i < known.length; i++) if (known.charCodeAt(i) !== this.bytes[start + i]) return false
    return true
  }

  /** Length of the extension whose first byte was `tag` (its type byte follows); -1 when it is none. */
  extensionLength(tag: number): number {
    switch (tag) {
      case 0xc7:
        return this.byte()
      case 0xc8:
        return this.big16()
      case 0xc9:
        return this.big32()
      case 0xd4:
        return 1
      case 0xd5:
        return 2
      case 0xd6:
        return 4
      case 0xd7:
        return 8
      case 0xd8:
        return 16
      default:
        return -1
    }
  }
}
