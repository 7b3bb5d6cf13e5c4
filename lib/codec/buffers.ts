// SPDX-License-Identifier: Apache-2.0
// Typed arrays, Buffers, DataViews and ArrayBuffers inside a value. Large ones become regions, small ones stay inline.
//
// Record of the `binary` extension, RECORD_BYTES, little-endian; an inline one is followed by its bytes:
//   [ kind u8 | place u8 | 0 u16 | inline: bytes u32, else region u32 | offset in region u64 | bytes u64 | largest size u64 ]
//
// Aliasing is kept: views that overlap in memory share one region, and an ArrayBuffer that is itself part of the value
// shares one with all views over it (`place.own`), of which the reader makes one ArrayBuffer. Which of these holds is
// known only at the end of the walk, so records are written first and patched by `settle`; an inline one that turns out
// to be aliased leaves its inline bytes behind unread. Of a view that aliases nothing only its own bytes are carried.

import { types } from 'node:util'
import { WireError } from '../errors.js'
import { type Header, type Region, setUint53, VIEW_BYTES_MIN } from './envelope.js'
import { checkViewable } from './view-limit.js'

export const RECORD_BYTES = 32

export const place = {
  inline: 0,
  /** In a region whose bytes other views may share. */
  shared: 1,
  /** In a region that becomes an ArrayBuffer of its own, which is part of the value. */
  own: 2,
  /** As `own`, a SharedArrayBuffer. */
  ownShared: 3,
} as const

type ViewMaker = (buffer: ArrayBufferLike, offset: number, length: number) => ArrayBufferView
interface Kind {
  name: string
  elementBytes: number
  make: ViewMaker | null
  prototype: object | null
}

/** By kind number. `make` is null for the buffers themselves, and for what this version of Node lacks. */
const kinds: Kind[] = [
  { name: 'ArrayBuffer', elementBytes: 1, make: null, prototype: ArrayBuffer.prototype },
  { name: 'SharedArrayBuffer', elementBytes: 1, make: null, prototype: SharedArrayBuffer.prototype },
  { name: 'DataView', elementBytes: 1, make: (b, o, n) => new DataView(b, o, n), prototype: DataView.prototype },
  { name: 'Buffer', elementBytes: 1, make: (b, o, n) => Buffer.from(b as ArrayBuffer, o, n), prototype: Buffer.prototype },
  ...[
    'Uint8Array',
    'Int8Array',
    'Uint8ClampedArray',
    'Int16Array',
    'Uint16Array',
    'Int32Array',
    'Uint32Array',
    'Float32Array',
    'Float64Array',
    'BigInt64Array',
    'BigUint64Array',
    'Float16Array',
  ].map(typedKind),
]
const ARRAY_BUFFER = 0
const SHARED_ARRAY_BUFFER = 1
const DATA_VIEW = 2
const BUFFER = 3
const kindByName = new Map(kinds.map((kind, index) => [kind.name, index]))
const typedArrayName = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!.get!

function typedKind(name: string): Kind {
  const type = (globalThis as Record<string, unknown>)[name] as Uint8ArrayConstructor | undefined
  if (type === undefined) return { name, elementBytes: 1, make: null, prototype: null }
  const { BYTES_PER_ELEMENT: size, prototype } = type
  return { name, elementBytes: size, make: (b, o, n) => new type(b as ArrayBuffer, o, n / size), prototype }
}

/** The kind number of anything binary, by what it is and not by its prototype; -1 for all else. */
export function binaryKind(value: object): number {
  if (ArrayBuffer.isView(value)) {
    if (Buffer.isBuffer(value)) return BUFFER
    const name = typedArrayName.call(value) as string | undefined
    return name === undefined ? DATA_VIEW : (kindByName.get(name) ?? -1)
  }
  if (!types.isAnyArrayBuffer(value)) return -1
  return types.isSharedArrayBuffer(value) ? SHARED_ARRAY_BUFFER : ARRAY_BUFFER
}

/** The prototype that a binary value of that kind has unless its class is derived. */
export function binaryPrototype(kind: number): object | null {
  return kinds[kind]!.prototype
}

/** The kind number of a class of typed arrays; -1 for any other class. */
export function kindOfClass(type: { readonly name: string }): number {
  const kind = kindByName.get(type.name) ?? -1
  return kind > DATA_VIEW ? kind : -1
}

/** Whether the memory behind it was given away (transferred): there is nothing left to carry. */
export function isDetached(buffer: ArrayBufferLike): boolean {
  if (buffer.byteLength > 0) return false
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}

interface ViewRecord {
  at: number
  buffer: ArrayBufferLike
  start: number
  end: number
  inline: boolean
  whole: boolean
}

/** The largest size of a resizable or growable buffer; 0 for an ordinary one. */
function largestSize(buffer: ArrayBufferLike): number {
  const { resizable, growable, maxByteLength } = buffer as { resizable?: boolean; growable?: boolean; maxByteLength?: number }
  return (resizable ?? growable ?? false) ? maxByteLength! : 0
}

/** Collects the binary parts of one value while it is written, and settles where each lies. */
export class BufferPlan {
  readonly records: ViewRecord[] = []
  readonly regions: Region[] = []

  reset(): void {
    if (this.records.length > 0) this.records.length = 0
    if (this.regions.length > 0) this.regions.length = 0
  }

  /** Adds a region of its own; gives its number. */
  addRegion(region: Region): number {
    return this.regions.push(region) - 1
  }

  /** Notes the record at `at`. Gives the bytes to write inline behind it, or null when they go out of band. */
  add(value: ArrayBufferLike | ArrayBufferView, at: number): Uint8Array | null {
    const view = ArrayBuffer.isView(value)
    const buffer = view ? value.buffer : value
    const start = view ? value.byteOffset : 0
    const end = start + value.byteLength
    checkViewable('an array in the value', value.byteLength)
    const inline = value.byteLength < VIEW_BYTES_MIN && (view || largestSize(buffer) === 0)
    this.records.push({ at, buffer, start, end, inline, whole: !view })
    return inline ? new Uint8Array(buffer, start, end - start) : null
  }

  /**
   * Assigns regions and patches the records of the payload that `target` views. Gives whether any becomes a view when read
   * without a copy.
   */
  settle(target: DataView): boolean {
    const { records } = this
    if (records.length === 0) return this.regions.length > 0
    let views = this.regions.length > 0
    const groups = new Map<ArrayBufferLike, ViewRecord[]>()
    for (const record of records) {
      const group = groups.get(record.buffer)
      if (group === undefined) groups.set(record.buffer, [record])
      else group.push(record)
    }
    for (const [buffer, group] of groups) {
      if (group.some(record => record.whole)) this.settleOwn(target, buffer, group)
      else views = this.settleShared(target, buffer, group) || views
    }
    return views
  }

  private settleOwn(target: DataView, buffer: ArrayBufferLike, group: ViewRecord[]): void {
    if (group.length === 1 && group[0]!.inline) return
    const region = this.addRegion({ byteLength: buffer.byteLength, parts: [new Uint8Array(buffer)] })
    const how = types.isSharedArrayBuffer(buffer) ? place.ownShared : place.own
    for (const record of group) patch(target, record, how, region, record.start, largestSize(buffer))
  }

  /** One region for each cluster of overlapping ranges. */
  private settleShared(target: DataView, buffer: ArrayBufferLike, group: ViewRecord[]): boolean {
    if (group.length > 1) group.sort((a, b) => a.start - b.start)
    let views = false
    for (let first = 0; first < group.length; ) {
      let end = group[first]!.end
      let next = first + 1
      while (next < group.length && group[next]!.start < end) end = Math.max(end, group[next++]!.end)
      const alone = next === first + 1
      if (!alone || !group[first]!.inline) {
        // A cluster begins at a multiple of 8 so that every view in it stays aligned to its elements.
        const start = alone ? group[first]!.start : Math.floor(group[first]!.start / 8) * 8
        const region = this.addRegion({ byteLength: end - start, parts: [new Uint8Array(buffer, start, end - start)] })
        for (let i = first; i < next; i++) patch(target, group[i]!, place.shared, region, group[i]!.start - start, 0)
        views ||= end - start >= VIEW_BYTES_MIN
      }
      first = next
    }
    return views
  }
}

function patch(target: DataView, record: ViewRecord, how: number, region: number, offset: number, largest: number): void {
  target.setUint8(record.at + 1, how)
  target.setUint32(record.at + 4, region, true)
  setUint53(target, record.at + 8, offset)
  setUint53(target, record.at + 16, record.end - record.start)
  setUint53(target, record.at + 24, largest)
}

/**
 * Gives the memory behind some bytes of an envelope as an ArrayBuffer of its own, without a copy; null where that cannot be.
 * Asked for nothing shorter than VIEW_BYTES_MIN.
 */
export type PartOf = (bytes: Uint8Array) => ArrayBuffer | null

/** Rebuilds the binary parts of one envelope. */
export class RegionReader {
  /** Of regions already copied, or made into an ArrayBuffer of their own. */
  private readonly made = new Map<number, ArrayBufferLike>()
  private readonly bytes: Uint8Array
  private readonly header: Header
  private readonly views: boolean
  private readonly part: PartOf | null

  /** `views`: large regions may be left where they are; `part`: also those that are an ArrayBuffer of the value. */
  constructor(bytes: Uint8Array, header: Header, views: boolean, part: PartOf | null) {
    this.bytes = bytes
    this.header = header
    this.views = views
    this.part = part
  }

  /** The bytes of a region, in place. */
  region(index: number): Uint8Array {
    const offset = this.header.offsets[index]
    if (offset === undefined) throw new WireError(`a value has no region ${index}`)
    return this.bytes.subarray(offset, offset + this.header.lengths[index]!)
  }

  /** The bytes of a region: in place where they may stay so, else a copy. */
  regionForReading(index: number): Uint8Array {
    const inPlace = this.region(index)
    return this.views && inPlace.byteLength >= VIEW_BYTES_MIN ? inPlace : new Uint8Array(inPlace)
  }

  /** A view of `length` bytes at `offset` of a region, or the region's ArrayBuffer itself. */
  make(kind: number, how: number, index: number, offset: number, length: number, largest: number): object {
    const inPlace = this.region(index)
    const maker = kinds[kind]
    if (maker === undefined || offset + length > inPlace.byteLength || length % maker.elementBytes !== 0)
      throw new WireError('a malformed array')
    if (how !== place.shared || maker.make === null) {
      const buffer = this.own(index, how === place.ownShared, largest)
      return makeView(kind, buffer, offset, length)
    }
    // The regions of an aligned envelope are aligned, so all views of one stay in place or none does.
    if (this.views && inPlace.byteLength >= VIEW_BYTES_MIN) return maker.make(inPlace.buffer, inPlace.byteOffset + offset, length)
    return makeView(kind, this.own(index, false, 0), offset, length)
  }

  /** Region 0 as one thing of that kind. */
  whole(kind: number): object {
    const how = kind === ARRAY_BUFFER ? place.own : kind === SHARED_ARRAY_BUFFER ? place.ownShared : place.shared
    return this.make(kind, how, 0, 0, this.region(0).byteLength, 0)
  }

  private own(index: number, shared: boolean, largest: number): ArrayBufferLike {
    const known = this.made.get(index)
    if (known !== undefined) return known
    const inPlace = this.region(index)
    const part = this.partOf(inPlace, shared || largest > 0)
    if (part !== null) {
      this.made.set(index, part)
      return part
    }
    const options = largest > 0 ? { maxByteLength: largest } : undefined
    const type = (shared ? SharedArrayBuffer : ArrayBuffer) as new (length: number, options?: { maxByteLength: number }) => ArrayBufferLike
    const buffer = new type(inPlace.byteLength, options)
    new Uint8Array(buffer).set(inPlace)
    this.made.set(index, buffer)
    return buffer
  }

  /** Neither a shared nor a resizable buffer can be made over memory that is there. */
  private partOf(inPlace: Uint8Array, special: boolean): ArrayBuffer | null {
    if (this.part === null || special || inPlace.byteLength < VIEW_BYTES_MIN) return null
    return this.part(inPlace)
  }
}

/** A thing of that kind over `buffer[offset, offset + length)`. */
export function makeView(kind: number, buffer: ArrayBufferLike, offset: number, length: number): object {
  const maker = kinds[kind]
  if (maker === undefined || length % maker.elementBytes !== 0 || offset % maker.elementBytes !== 0)
    throw new WireError('a malformed array')
  if (maker.make !== null) return maker.make(buffer, offset, length)
  if (kind === ARRAY_BUFFER || kind === SHARED_ARRAY_BUFFER) return buffer
  throw new WireError(`this version of Node has no ${maker.name}`)
}

/** A copy of `bytes[start, start + length)` as a thing of that kind. */
export function copyInline(kind: number, bytes: Uint8Array, start: number, length: number): object {
  const buffer = kind === SHARED_ARRAY_BUFFER ? new SharedArrayBuffer(length) : new ArrayBuffer(length)
  const target = new Uint8Array(buffer)
  if (length > 64) target.set(bytes.subarray(start, start + length))
  else for (let i = 0; i < length; i++) target[i] = bytes[start + i]!
  return makeView(kind, buffer, 0, length)
}
