// SPDX-License-Identifier: Apache-2.0
// Values to envelopes and back. The parts: small.ts (scalars), encode.ts and decode.ts (MessagePack and its extensions),
// buffers.ts (arrays out of band), arrow.ts, classes.ts, errors.ts; envelope.ts draws the layout.

import { SerializationError, WireError } from '../errors.js'
import { arrowKind, arrowRegion, prepareArrow, readArrow } from './arrow.js'
import { binaryKind, binaryPrototype, isDetached, kindOfClass, type PartOf, RegionReader } from './buffers.js'
import type { CodecContext } from './context.js'
import { asWireError, ValueReader } from './decode.js'
import { ValueWriter } from './encode.js'
import {
  ALIGNMENT,
  alignUp,
  type Encoded,
  finishEnvelope,
  flag,
  format,
  HEADER_BYTES,
  type Header,
  headBytes,
  payloadEndOf,
  type Region,
  readFunctionTable,
  readHeader,
  VIEW_BYTES_MIN,
} from './envelope.js'
import { refusal } from './refusals.js'
import { decodeSmall, encodeSmall, encodeText, NOT_SMALL, SMALL_BYTES_MAX } from './small.js'
import { utf8BytesMax } from './text.js'
import { checkViewable, TooLargeToView } from './view-limit.js'

export type { PartOf } from './buffers.js'
export { deregisterSerializer, registerSerializer, type Serializer } from './classes.js'
export type { CodecContext, FunctionCodec, ReferenceCodec } from './context.js'
export { type Encoded, writeEncoded } from './envelope.js'
export { decodeSmall, encodeSmall, NOT_SMALL, SMALL_BYTES_MAX }

/** Longest wire form of a reference, in bytes. */
const REFERENCE_BYTES_MAX = 255

/** Encodes values, one after the other, into a buffer it keeps. */
export class Encoder {
  private readonly writer: ValueWriter
  private readonly lenient: boolean
  private busy = false

  /** `lenient`: fields of errors that cannot travel are dropped instead of refused, and references are not carried. */
  constructor(context: CodecContext, lenient = false) {
    this.writer = new ValueWriter(context, lenient)
    this.lenient = lenient
  }

  /**
   * Encodes `value`, which `path` names in refusals. Nothing large is copied: `buffers` are views of the value's own
   * memory, so place them before the caller goes on. Throws SerializationError with the path of what cannot travel.
   */
  encode(value: unknown, path = 'value'): Encoded {
    const { writer } = this
    // A serializer of the user, or the codec of functions, may encode on its own meanwhile.
    if (this.busy) return new Encoder(writer.context, this.lenient).encode(value, path)
    this.busy = true
    try {
      writer.begin(path)
      return this.small(value) ?? (typeof value === 'object' ? this.bare(value!) : null) ?? this.walk(value)
    } catch (error) {
      throw this.explain(error, path)
    } finally {
      // Nothing of the value is kept alive by its encoder: a ref in it would keep its object.
      writer.begin('')
      this.busy = false
    }
  }

  private small(value: unknown): Encoded | null {
    const { writer } = this
    let length = encodeSmall(value, writer.bytes, writer.view, 0)
    if (length === 0) {
      if (typeof value !== 'string') return null
      writer.ensure(utf8BytesMax(value) + 1)
      length = encodeText(value, writer.bytes, 0)
    }
    return { byteLength: length, head: writer.bytes.subarray(0, length), buffers: [], offsets: [], references: [] }
  }

  /** The formats of a value that is nothing but an array, a table or a list of references; null for any other. */
  private bare(value: object): Encoded | null {
    if (Array.isArray(value)) return this.referenceList(value)
    const kind = binaryKind(value)
    if (kind >= 0) return this.binary(value as ArrayBufferLike | ArrayBufferView, kind)
    const arrow = arrowKind(value)
    if (arrow < 0) return null
    return this.single(format.arrow, arrow, arrowRegion(value, this.writer.path.render()), true)
  }

  private binary(value: ArrayBufferLike | ArrayBufferView, kind: number): Encoded | null {
    if (Object.getPrototypeOf(value) !== binaryPrototype(kind)) return null
    const view = ArrayBuffer.isView(value)
    const buffer = view ? value.buffer : value
    if (
      isDetached(buffer) ||
      (buffer as { resizable?: boolean }).resizable === true ||
      (buffer as { growable?: boolean }).growable === true
    )
      return null
    checkViewable(this.writer.path.render(), value.byteLength)
    const bytes = view ? new Uint8Array(buffer, value.byteOffset, value.byteLength) : new Uint8Array(buffer)
    return this.single(format.binary, kind, { byteLength: bytes.byteLength, parts: [bytes] }, view)
  }

  private single(kind: number, detail: number, region: Region, view: boolean): Encoded {
    const { writer } = this
    const flags = view && region.byteLength >= VIEW_BYTES_MIN ? flag.views : 0
    writer.ensure(headBytes(HEADER_BYTES, 1))
    return finishEnvelope(writer.bytes, writer.view, kind, detail, flags, HEADER_BYTES, HEADER_BYTES, [region], [])
  }

  /** An array of distinct references and nothing else: records of one length, without a walk. */
  private referenceList(value: unknown[]): Encoded | null {
    const { writer } = this
    const { references } = writer.context
    if (references === null || this.lenient || value.length === 0 || Object.getPrototypeOf(value) !== Array.prototype) return null
    const seen = new Set<object>()
    let size = 0
    for (let i = 0; i < value.length; i++) {
      const each = value[i]
      const wire = isCandidate(each) ? references.encode(each) : null
      if (wire === null || (i > 0 && wire.length !== size) || wire.length > REFERENCE_BYTES_MAX) return this.again()
      if (i === 0) writer.ensure((size = wire.length) * value.length)
      const { bytes } = writer
      for (let j = 0, at = writer.at; j < size; j++) bytes[at + j] = wire[j]!
      writer.at += size
      seen.add(each as object)
    }
    if (seen.size !== value.length || size === 0) return this.again()
    const end = writer.at
    writer.ensure(headBytes(end, 0) - end)
    return finishEnvelope(writer.bytes, writer.view, format.references, size, 0, end, end, [], value.slice() as object[])
  }

  private again(): null {
    this.writer.at = HEADER_BYTES
    return null
  }

  private walk(value: unknown): Encoded {
    const { writer } = this
    writer.write(value)
    const payloadEnd = writer.at
    let flags = 0
    if (writer.functions.count > 0) {
      writer.functions.writeTo(writer)
      flags |= flag.functions
    }
    if (writer.buffers.settle(writer.view)) flags |= flag.views
    const { regions } = writer.buffers
    const end = writer.at
    writer.ensure(headBytes(end, regions.length) - end)
    return finishEnvelope(
      writer.bytes,
      writer.view,
      writer.extended ? format.rich : format.plain,
      0,
      flags,
      payloadEnd,
      end,
      regions,
      writer.references,
    )
  }

  /** What went wrong, with the path: a getter, a trap of a Proxy or a serializer threw, or the value is nested too deep. */
  private explain(error: unknown, path: string): unknown {
    if (error instanceof SerializationError || error instanceof TooLargeToView) return error
    if (error instanceof RangeError && /call stack/i.test(error.message))
      return refusal(path, 'it is nested too deep to be serialised', error)
    return this.writer.refuse(`reading it threw ${String(error)}`, error)
  }
}

/** Whether it may be a reference: an object, and not one of the two commonest classes. */
function isCandidate(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype !== Object.prototype && prototype !== Array.prototype
}

/** Decodes envelopes, one after the other. */
export class Decoder {
  private readonly reader: ValueReader
  private busy = false

  constructor(context: CodecContext) {
    this.reader = new ValueReader(context)
  }

  /**
   * `bytes` is one envelope. `zeroCopy`: arrays of >= 4096 bytes become views over bytes.buffer; otherwise everything is
   * copied. `part` is asked for ArrayBuffers of >= 4096 bytes over the envelope's memory; without it they are copied too.
   * Throws WireError for bytes that are no envelope. `prepare` must have been awaited if it gave a promise.
   */
  decode(bytes: Uint8Array, zeroCopy: boolean, part: PartOf | null = null): unknown {
    const kind = bytes[0]
    if (kind === undefined || kind < format.binary) return this.small(bytes)
    // A serializer of the user, or the codec of functions, may decode on its own meanwhile.
    if (this.busy) return new Decoder(this.reader.context).decode(bytes, zeroCopy, part)
    this.busy = true
    try {
      if (kind === format.plain) return this.reader.readPlain(bytes, HEADER_BYTES, payloadEndOf(bytes))
      return this.large(bytes, readHeader(bytes), zeroCopy, part)
    } catch (error) {
      throw asWireError(error)
    } finally {
      this.busy = false
    }
  }

  private small(bytes: Uint8Array): unknown {
    const value = decodeSmall(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength)
    if (value === NOT_SMALL) throw new WireError(`a value of unknown format ${bytes[0]}`)
    return value
  }

  private large(bytes: Uint8Array, header: Header, zeroCopy: boolean, part: PartOf | null): unknown {
    // Arrays of every element size must be aligned where they are to stay there.
    const inPlace = zeroCopy && bytes.byteOffset % 8 === 0
    const regions = new RegionReader(bytes, header, inPlace && (header.flags & flag.views) !== 0, inPlace ? part : null)
    switch (header.format) {
      case format.rich:
        return this.reader.readRich(bytes, HEADER_BYTES, header.payloadEnd, readFunctionTable(bytes, header), regions)
      case format.binary:
        return regions.whole(header.detail)
      case format.arrow:
        return readArrow(header.detail, regions.regionForReading(0))
      case format.references:
        return this.referenceList(bytes, header)
      default:
        throw new WireError(`a value of unknown format ${header.format}`)
    }
  }

  private referenceList(bytes: Uint8Array, header: Header): unknown[] {
    const { references } = this.reader.context
    const size = header.detail
    if (references === null || size === 0 || (header.payloadEnd - HEADER_BYTES) % size !== 0)
      throw new WireError('a malformed list of references')
    const list: object[] = []
    for (let at = HEADER_BYTES; at < header.payloadEnd; at += size) list.push(references.decode(bytes.subarray(at, at + size)))
    return list
  }

  /** null when decode may be called at once, else a promise to await first (functions and classes to import). */
  prepare(bytes: Uint8Array): Promise<void> | null {
    if (bytes[0] === format.arrow) return prepareArrow()
    const { functions } = this.reader.context
    if (functions === null || bytes[0] !== format.rich || (bytes[3]! & flag.functions) === 0) return null
    const waits: Promise<void>[] = []
    for (const entry of readFunctionTable(bytes, readHeader(bytes))) {
      const wait = functions.prepare(entry.bytes)
      // What the value can do without may fail to load.
      if (wait !== null) waits.push(entry.optional ? wait.catch(() => {}) : wait)
    }
    return waits.length === 0 ? null : Promise.all(waits).then(() => {})
  }

  /**
   * Whether the decoded value will hold views over `bytes.buffer` when zeroCopy. False: it can go right after decode, for what
   * `part` gave stands by itself.
   */
  holdsViews(bytes: Uint8Array): boolean {
    return bytes.length >= HEADER_BYTES && bytes[0]! >= format.binary && (bytes[3]! & flag.views) !== 0
  }
}

/** Where one array that is written in place lies in its envelope. */
export interface ArrayPlace {
  /** Goes to offset 0. */
  head: Uint8Array
  /** Where the first element goes. */
  offset: number
  /** Of the whole envelope. */
  byteLength: number
}

/** The envelope of a typed array (or Buffer) of `length` elements whose bytes its producer writes in place. */
export function encodeArrayHeader(type: { readonly name: string; readonly BYTES_PER_ELEMENT?: number }, length: number): ArrayPlace {
  const kind = kindOfClass(type)
  if (kind < 0) throw new TypeError(`${type.name} is not a class of typed arrays`)
  const bytes = length * (type.BYTES_PER_ELEMENT ?? 1)
  const head = new Uint8Array(headBytes(HEADER_BYTES, 1))
  const flags = bytes >= VIEW_BYTES_MIN ? flag.views : 0
  // One part of that length stands for the bytes to come.
  const region: Region = { byteLength: bytes, parts: [] }
  finishEnvelope(head, new DataView(head.buffer), format.binary, kind, flags, HEADER_BYTES, HEADER_BYTES, [region], [])
  const offset = alignUp(head.byteLength, ALIGNMENT)
  return { head, offset, byteLength: offset + bytes }
}

/**
 * What an envelope holds, as bytes and without a copy: of a binary value exactly its bytes, of a table its Arrow IPC
 * stream, of any other value the envelope itself.
 */
export function payloadOf(envelope: Uint8Array): Uint8Array {
  const kind = envelope[0]
  if (kind !== format.binary && kind !== format.arrow) return envelope
  return new RegionReader(envelope, readHeader(envelope), true, null).region(0)
}
