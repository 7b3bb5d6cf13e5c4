// SPDX-License-Identifier: Apache-2.0
// Columns of apache-arrow made exact: the same rows, in buffers that hold them and nothing else. Its writer may then be trusted:
// of a slice it writes whole bitmaps, the wrong views and texts, all children of a dense union, and for a type of nulls a count of -1.
//
// Data of a column that is not a slice keep their memory: what is copied here are bitmaps that begin within a byte, offsets that
// do not begin at 0, and columns shorter than their table. Invariant of what `of` gives: offset 0, a null count that is right,
// and every buffer of the length that the rows need, which is what other implementations of Arrow insist on.

import type * as Arrow from 'apache-arrow'

type Library = typeof Arrow
type Offsets = Int32Array | BigInt64Array
type Values = Uint8Array | BigInt64Array

/** The data of a column, with what apache-arrow keeps to itself. */
interface Data {
  type: Arrow.DataType
  typeId: number
  offset: number
  length: number
  stride: number
  nullCount: number
  nullBitmap?: Uint8Array
  values?: Values
  valueOffsets?: Offsets
  typeIds?: Int8Array
  variadicBuffers: readonly Uint8Array[]
  children: readonly (Child | undefined)[]
  dictionary?: { data: readonly Data[] }
  slice(offset: number, length: number): Data
  clone(type: unknown, offset: number, length: number, nulls: number, buffers: unknown[], children: Data[], more?: Uint8Array[]): Data
}

type Child = Data | { data: readonly Data[] }

interface Parts {
  offsets?: Offsets
  values?: Values
  typeIds?: Int8Array
  children?: Data[]
  variadic?: Uint8Array[]
}

/** Bytes to which a bitmap may be padded and still count as that of a whole column. */
const BITMAP_PADDING = 64
const VIEW_BYTES = 16
/** Texts of up to so many bytes lie in the view itself. */
const VIEW_INLINE_MAX = 12

/** Makes the columns of one table exact. Dictionaries that columns and batches share stay shared. */
export class ExactColumns {
  private readonly chunks = new Map<Data, Data>()
  private readonly dictionaries = new Map<object, Arrow.Vector>()

  constructor(private readonly arrow: Library) {}

  /** The batch with exact columns. */
  batch(batch: Arrow.RecordBatch): Arrow.RecordBatch {
    const data = batch.data as unknown as Data
    const children = this.children(data).map(child => this.resized(child, data.length))
    const exact = data.clone(data.type, 0, data.length, 0, [], children) as unknown as Arrow.Data<Arrow.Struct>
    return new this.arrow.RecordBatch(batch.schema, exact, batch.metadata)
  }

  /** So many rows of a child, which may have more, and within a column that was filled up also fewer. */
  private resized(child: Data, length: number): Data {
    if (child.length >= length) return this.of(child.length === length ? child : child.slice(0, length))
    const { type, typeId, nullCount, nullBitmap, valueOffsets, values, typeIds, children, variadicBuffers } = this.of(child)
    const bitmap = new Uint8Array(Math.ceil(length / 8))
    if (nullBitmap !== undefined) bitmap.set(nullBitmap.subarray(0, bitmap.length))
    else for (let i = 0; i < child.length; i++) bitmap[i >> 3]! |= 1 << (i & 7)
    const nulls = nullCount + length - child.length
    const valid = typeId === this.arrow.Type.Null ? undefined : bitmap
    return this.of(child.clone(type, 0, length, nulls, [valueOffsets, values, valid, typeIds], children as Data[], [...variadicBuffers]))
  }

  /** Where apache-arrow filled a column up with nulls, it gave them no children. */
  private children(data: Data): Data[] {
    const { children } = data.type as unknown as { children: readonly Arrow.Field[] }
    return children.map(({ type }, i) => {
      const child = data.children[i]
      return child === undefined ? (this.arrow.makeData({ type } as never) as unknown as Data) : only(child)
    })
  }

  private of(data: Data): Data {
    const { offsets, values, typeIds, children = [], variadic = [] } = this.parts(data)
    const { Type } = this.arrow
    const nulls = data.typeId === Type.Null ? data.length : data.typeId === Type.Union ? 0 : nullsOf(data)
    const bitmap = nulls > 0 && data.typeId !== Type.Null ? bits(data.nullBitmap!, data.offset, data.length) : undefined
    const exact = data.clone(data.type, 0, data.length, nulls, [offsets, values, bitmap, typeIds], children, variadic)
    if (data.dictionary !== undefined) exact.dictionary = this.dictionary(data.dictionary) as unknown as { data: readonly Data[] }
    return exact
  }

  /** By its chunks too: the writer tells by them whether a dictionary grew or was replaced. */
  private dictionary(dictionary: { data: readonly Data[] }): Arrow.Vector {
    let exact = this.dictionaries.get(dictionary)
    if (exact === undefined) {
      const chunks = dictionary.data.map(chunk => {
        const known = this.chunks.get(chunk) ?? this.of(chunk)
        this.chunks.set(chunk, known)
        return known
      })
      exact = new this.arrow.Vector(chunks as unknown as Arrow.Data[])
      this.dictionaries.set(dictionary, exact)
    }
    return exact
  }

  private parts(data: Data): Parts {
    const { Type } = this.arrow
    const { length } = data
    switch (data.typeId) {
      case Type.Null:
        return {}
      case Type.Bool:
        return { values: bits((data.values ?? new Uint8Array(0)) as Uint8Array, data.offset, length) }
      case Type.Utf8:
      case Type.Binary:
      case Type.LargeUtf8:
      case Type.LargeBinary:
        return texts(data)
      case Type.Utf8View:
      case Type.BinaryView:
        return views(data)
      case Type.List:
      case Type.LargeList:
      case Type.Map:
        return this.list(data)
      case Type.FixedSizeList:
        return { children: [this.resized(this.children(data)[0]!, length * data.stride)] }
      case Type.Struct:
        return { children: this.children(data).map(child => this.resized(child, length)) }
      case Type.Union:
        return this.union(data)
      default:
        return { values: flat(data) }
    }
  }

  private list(data: Data): Parts {
    const { offsets, begin, end } = range(data)
    const child = this.children(data)[0]!
    const exact = this.of(begin === 0 && end === child.length ? child : child.slice(begin, end - begin))
    // The writer slices the child of a list once more, which loses the null count; it takes all of it.
    exact.slice = () => exact
    return { offsets, children: [exact] }
  }

  private union(data: Data): Parts {
    const typeIds = data.typeIds!.subarray(0, data.length)
    if (typeIds.length < data.length) throw new TypeError('a column of unions is shorter than its table')
    if (data.valueOffsets === undefined) return { typeIds, children: this.children(data).map(child => this.resized(child, data.length)) }
    const { typeIdToChildIndex } = data.type as unknown as { typeIdToChildIndex: Record<number, number> }
    const offsets = (data.valueOffsets as Int32Array).subarray(0, data.length)
    const first = data.children.map(() => Number.POSITIVE_INFINITY)
    const end = data.children.map(() => 0)
    for (let i = 0; i < data.length; i++) {
      const child = typeIdToChildIndex[typeIds[i]!]!
      first[child] = Math.min(first[child]!, offsets[i]!)
      end[child] = Math.max(end[child]!, offsets[i]! + 1)
    }
    const children = this.children(data).map((child, i) => {
      const begin = Math.min(first[i]!, end[i]!)
      return this.of(begin === 0 && end[i] === child.length ? child : child.slice(begin, end[i]! - begin))
    })
    const moved = first.some(each => each > 0 && each < Number.POSITIVE_INFINITY)
    const own = moved ? offsets.map((offset, i) => offset - first[typeIdToChildIndex[typeIds[i]!]!]!) : offsets
    return { offsets: own, typeIds, children }
  }
}

/** A table without rows may hold vectors where others hold data. */
function only(child: Child): Data {
  return 'typeId' in child ? child : child.data[0]!
}

/** As apache-arrow reads it: without a bitmap nothing is null. */
function nullsOf(data: Data): number {
  return data.nullBitmap === undefined || data.nullBitmap.length === 0 ? 0 : data.nullCount
}

/** `length` bits from `offset` on, in whole bytes and padded to 8 of them. */
function bits(bitmap: Uint8Array, offset: number, length: number): Uint8Array {
  const bytes = Math.ceil(length / 8)
  const padded = Math.ceil(bytes / 8) * 8
  if (offset === 0 && bitmap.length >= padded && bitmap.length <= padded + BITMAP_PADDING) return bitmap.subarray(0, padded)
  const copy = new Uint8Array(padded)
  const from = offset >> 3
  const shift = offset & 7
  for (let i = 0; i < bytes; i++) copy[i] = ((bitmap[from + i] ?? 0) >> shift) | ((bitmap[from + i + 1] ?? 0) << (8 - shift))
  if (length % 8 > 0) copy[bytes - 1]! &= (1 << (length % 8)) - 1
  return copy
}

function flat(data: Data): Values {
  const wanted = data.length * data.stride
  const values = data.values!
  if (values.length >= wanted) return values.subarray(0, wanted)
  const filled = new (values.constructor as new (length: number) => Uint8Array)(wanted)
  filled.set(values as Uint8Array)
  return filled
}

/** Offsets that begin at 0 and have one more than there are rows, and what they were offsets into. */
function range(data: Data): { offsets: Offsets; begin: number; end: number } {
  const { length } = data
  let offsets = data.valueOffsets!
  if (offsets.length <= length) {
    const filled = new (offsets.constructor as new (length: number) => Int32Array)(length + 1)
    filled.set(offsets as Int32Array)
    if (offsets.length > 0) filled.fill(offsets[offsets.length - 1] as number, offsets.length)
    offsets = filled
  } else offsets = offsets.subarray(0, length + 1)
  // Of rows that apache-arrow added, all of them null, the offsets are 0.
  if (offsets[length]! <= offsets[0]!) offsets = ascending(offsets)
  const begin = Number(offsets[0])
  const end = Number(offsets[length])
  if (begin !== 0) offsets = offsets instanceof Int32Array ? offsets.map(each => each - begin) : offsets.map(each => each - BigInt(begin))
  return { offsets, begin, end }
}

function ascending(offsets: Offsets): Offsets {
  let last = offsets[0]!
  const from = offsets.findIndex((each: number | bigint) => {
    const falls = each < last
    last = each
    return falls
  })
  if (from < 0) return offsets
  const raised = offsets.slice()
  return (raised as Int32Array).fill(raised[from - 1] as number, from)
}

function texts(data: Data): Parts {
  const { offsets, begin, end } = range(data)
  return { offsets, values: (data.values as Uint8Array | undefined)?.subarray(begin, end) ?? new Uint8Array(0) }
}

/** Of each buffer behind the views only the part they show. */
function views(data: Data): Parts {
  const values = flat(data) as Uint8Array
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength)
  const first = data.variadicBuffers.map(() => Number.POSITIVE_INFINITY)
  const end = data.variadicBuffers.map(() => 0)
  const shown = (at: number): number => {
    const length = view.getInt32(at, true)
    const buffer = data.variadicBuffers[view.getInt32(at + 8, true)]
    // What is null may hold anything.
    return length > VIEW_INLINE_MAX && buffer !== undefined && view.getInt32(at + 12, true) + length <= buffer.length ? length : 0
  }
  for (let at = 0; at < values.length; at += VIEW_BYTES) {
    const length = shown(at)
    if (length === 0) continue
    const buffer = view.getInt32(at + 8, true)
    const offset = view.getInt32(at + 12, true)
    first[buffer] = Math.min(first[buffer]!, offset)
    end[buffer] = Math.max(end[buffer]!, offset + length)
  }
  const kept = data.variadicBuffers.map((_, i) => i).filter(i => end[i]! > 0)
  const variadic = kept.map(i => data.variadicBuffers[i]!.subarray(first[i]!, end[i]!))
  if (kept.every((i, place) => first[i] === 0 && i === place)) return { values, variadic }
  const moved = values.slice()
  const target = new DataView(moved.buffer)
  for (let at = 0; at < moved.length; at += VIEW_BYTES) {
    if (shown(at) === 0) continue
    const buffer = view.getInt32(at + 8, true)
    target.setInt32(at + 8, kept.indexOf(buffer), true)
    target.setInt32(at + 12, view.getInt32(at + 12, true) - first[buffer]!, true)
  }
  return { values: moved, variadic }
}

/** Bytes of the largest buffer of exact columns, dictionaries apart. */
export function largestBuffer(batch: Arrow.RecordBatch): number {
  return largest(batch.data as unknown as Data)
}

function largest(data: Data): number {
  const { valueOffsets, values, nullBitmap, typeIds, variadicBuffers } = data
  let bytes = 0
  for (const buffer of [valueOffsets, values, nullBitmap, typeIds, ...variadicBuffers]) bytes = Math.max(bytes, buffer?.byteLength ?? 0)
  for (const child of data.children) bytes = Math.max(bytes, largest(only(child!)))
  return bytes
}

/** Bytes of the largest buffer of the dictionaries of exact columns. */
export function largestDictionaryBuffer(batch: Arrow.RecordBatch): number {
  let bytes = 0
  for (const dictionary of batch.dictionaries.values())
    for (const chunk of dictionary?.data ?? []) bytes = Math.max(bytes, largest(chunk as unknown as Data))
  return bytes
}
