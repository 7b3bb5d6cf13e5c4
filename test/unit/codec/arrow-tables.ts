// SPDX-License-Identifier: Apache-2.0
// Arrow columns of every type that apache-arrow knows, from plain values, and back to plain values for comparison.

import * as arrow from 'apache-arrow'

const field = (name: string, type: arrow.DataType, nullable = true): arrow.Field => new arrow.Field(name, type, nullable)

/** A type, and a value of it made from a whole number (the same for the same number). */
export interface Kind {
  type: arrow.DataType
  value: (n: number) => unknown
}

const bytesOf = (n: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (n * 31 + i) & 255)
/** Short and long ones, empty ones, and more than one byte a character. */
export const textOf = (n: number): string => ['', `row ${n}`, `häßlich 日本 ${n}`, `a text of more than twelve bytes, number ${n}`][n % 4]!
const big = (n: number): bigint => BigInt(n) * 1_000_000_007n - 5_000_000_000n

const kind = (type: arrow.DataType, value: (n: number) => unknown): Kind => ({ type, value })

/** Every type without children, by name. */
export const flatKinds: Record<string, Kind> = {
  null: kind(new arrow.Null(), () => null),
  bool: kind(new arrow.Bool(), n => n % 3 === 0),
  int8: kind(new arrow.Int8(), n => (n % 256) - 128),
  int16: kind(new arrow.Int16(), n => (n % 65_536) - 32_768),
  int32: kind(new arrow.Int32(), n => 0 - n * 7919),
  int64: kind(new arrow.Int64(), big),
  uint8: kind(new arrow.Uint8(), n => n % 256),
  uint16: kind(new arrow.Uint16(), n => n % 65_536),
  uint32: kind(new arrow.Uint32(), n => 4_294_967_295 - n),
  uint64: kind(new arrow.Uint64(), n => 2n ** 64n - 1n - BigInt(n)),
  float16: kind(new arrow.Float16(), n => (n % 512) / 4),
  float32: kind(new arrow.Float32(), n => n / 4),
  float64: kind(new arrow.Float64(), n => n / 3),
  decimal128: kind(new arrow.Decimal(3, 30), n => Uint32Array.of(n, n + 1, 2, 0)),
  decimal256: kind(new arrow.Decimal(10, 60, 256), n => Uint32Array.of(n, 1, 2, 3, 4, 5, 6, 0)),
  utf8: kind(new arrow.Utf8(), textOf),
  largeUtf8: kind(new arrow.LargeUtf8(), textOf),
  utf8View: kind(new arrow.Utf8View(), textOf),
  binary: kind(new arrow.Binary(), n => bytesOf(n, n % 9)),
  largeBinary: kind(new arrow.LargeBinary(), n => bytesOf(n, n % 7)),
  binaryView: kind(new arrow.BinaryView(), n => bytesOf(n, n % 30)),
  fixedSizeBinary: kind(new arrow.FixedSizeBinary(5), n => bytesOf(n, 5)),
  dateDay: kind(new arrow.DateDay(), n => n * 86_400_000),
  dateMillisecond: kind(new arrow.DateMillisecond(), n => n * 86_400_000),
  timeSecond: kind(new arrow.TimeSecond(), n => n % 86_400),
  timeMillisecond: kind(new arrow.TimeMillisecond(), n => n % 86_400_000),
  timeMicrosecond: kind(new arrow.TimeMicrosecond(), n => BigInt(n) * 1000n),
  timeNanosecond: kind(new arrow.TimeNanosecond(), n => BigInt(n) * 1_000_001n),
  timestampSecond: kind(new arrow.TimestampSecond('Europe/Berlin'), n => n * 1000),
  timestampMillisecond: kind(new arrow.TimestampMillisecond('UTC'), n => 1_700_000_000_000 + n),
  timestampMicrosecond: kind(new arrow.TimestampMicrosecond('+05:30'), n => n * 2),
  timestampNanosecond: kind(new arrow.TimestampNanosecond(), n => n * 3),
  intervalDayTime: kind(new arrow.IntervalDayTime(), n => Int32Array.of(n, n * 1000)),
  intervalYearMonth: kind(new arrow.IntervalYearMonth(), n => Int32Array.of(Math.floor(n / 12), n % 12)),
  intervalMonthDayNano: kind(new arrow.IntervalMonthDayNano(), n => Int32Array.of(n, n + 1, n * 7, 1)),
  durationSecond: kind(new arrow.DurationSecond(), big),
  durationMillisecond: kind(new arrow.DurationMillisecond(), big),
  durationMicrosecond: kind(new arrow.DurationMicrosecond(), big),
  durationNanosecond: kind(new arrow.DurationNanosecond(), big),
}

/** Every third value or so is null. */
const orNull = (n: number, value: unknown): unknown => (n % 3 === 1 ? null : value)

export function listOf(item: Kind, type: 'List' | 'LargeList' = 'List'): Kind {
  const value = (n: number): unknown[] => Array.from({ length: n % 4 }, (_, i) => orNull(n + i, item.value(n + i)))
  const child = field('item', item.type)
  return kind(type === 'List' ? new arrow.List(child) : new arrow.LargeList(child), value)
}

export function fixedSizeListOf(size: number, item: Kind): Kind {
  const value = (n: number): unknown[] => Array.from({ length: size }, (_, i) => orNull(n + i, item.value(n + i)))
  return kind(new arrow.FixedSizeList(size, field('item', item.type)), value)
}

export function structOf(children: Record<string, Kind>): Kind {
  const entries = Object.entries(children)
  const value = (n: number): unknown => Object.fromEntries(entries.map(([name, each], i) => [name, orNull(n + i, each.value(n + i))]))
  return kind(new arrow.Struct(entries.map(([name, each]) => field(name, each.type))), value)
}

export function mapOf(key: Kind, item: Kind): Kind {
  const entries = field('entries', new arrow.Struct([field('key', key.type, false), field('value', item.type)]), false)
  const value = (n: number): unknown =>
    new Map(Array.from({ length: n % 3 }, (_, i) => [key.value(n + i), orNull(n + i, item.value(n + i))]))
  return kind(new arrow.Map_(entries as never), value)
}

/** `id`: the number under which it stands in a stream; left out, one that no other has. */
export function dictionaryOf(item: Kind, distinct = 5, id?: number, index: arrow.Dictionary['indices'] = new arrow.Int32()): Kind {
  return kind(new arrow.Dictionary(item.type, index, id), n => item.value(n % distinct))
}

/** Types with children, and children of children. */
export const nestedKinds: Record<string, Kind> = {
  list: listOf(flatKinds.int32!),
  largeList: listOf(flatKinds.utf8!, 'LargeList'),
  listOfNull: listOf(flatKinds.null!),
  listOfBool: listOf(flatKinds.bool!),
  listOfLists: listOf(listOf(flatKinds.float64!)),
  fixedSizeList: fixedSizeListOf(3, flatKinds.float32!),
  struct: structOf({ a: flatKinds.int64!, b: flatKinds.utf8!, c: flatKinds.bool! }),
  structOfStructs: structOf({ outer: structOf({ inner: listOf(flatKinds.utf8!) }), date: flatKinds.dateDay! }),
  listOfStructs: listOf(structOf({ x: flatKinds.float64!, tags: listOf(flatKinds.utf8!) })),
  map: mapOf(flatKinds.utf8!, flatKinds.int32!),
  mapOfLists: mapOf(flatKinds.utf8!, listOf(flatKinds.int16!)),
  dictionary: dictionaryOf(flatKinds.utf8!, 5, 1001),
  dictionaryOfInts: dictionaryOf(flatKinds.int64!, 7, 1002, new arrow.Int8()),
  listOfDictionaries: listOf(dictionaryOf(flatKinds.utf8!, 3, 1003)),
  structOfDictionaries: structOf({ d: dictionaryOf(flatKinds.utf8!, 4, 1004), n: flatKinds.int8! }),
}

/** A column of `rows` values of that kind, with nulls among them unless told otherwise. */
export function column(each: Kind, rows: number, nulls = true, from = 0): arrow.Vector {
  const builder = arrow.makeBuilder({ type: each.type, nullValues: [null] })
  for (let i = from; i < from + rows; i++) builder.append(nulls ? orNull(i, each.value(i)) : each.value(i))
  return builder.finish().toVector()
}

/** Unions, whose builders want more than values: ints and texts in turns. */
export function union(mode: 'dense' | 'sparse', rows: number): arrow.Vector {
  const children = [field('number', new arrow.Int32()), field('text', new arrow.Utf8())]
  const typeIds = Int8Array.from({ length: rows }, (_, i) => (i % 5 < 2 ? 3 : 7))
  if (mode === 'sparse') {
    const type = new arrow.SparseUnion([3, 7], children)
    const data = [column(flatKinds.int32!, rows), column(flatKinds.utf8!, rows)].map(each => each.data[0]!)
    return new arrow.Vector([arrow.makeData({ type, length: rows, typeIds, children: data })])
  }
  const counts = { 3: 0, 7: 0 }
  const valueOffsets = Int32Array.from(typeIds, id => counts[id as 3 | 7]++)
  const type = new arrow.DenseUnion([3, 7], children)
  const data = [column(flatKinds.int32!, counts[3]), column(flatKinds.utf8!, counts[7])].map(each => each.data[0]!)
  return new arrow.Vector([arrow.makeData({ type, length: rows, typeIds, valueOffsets, children: data } as never)])
}

/** A table of every type. */
export function everyType(rows: number): arrow.Table {
  const columns: Record<string, arrow.Vector> = {}
  for (const [name, each] of Object.entries({ ...flatKinds, ...nestedKinds })) columns[name] = column(each, rows)
  for (const mode of ['dense', 'sparse'] as const) columns[`${mode}Union`] = union(mode, rows)
  return new arrow.Table(columns)
}

/** Rows of structs and maps are known by their tag alone: they are proxies. */
function isRow(value: unknown): value is Iterable<[unknown, unknown]> {
  return (value as { [Symbol.toStringTag]?: string } | null)?.[Symbol.toStringTag] === 'Row'
}

/** What a value of a column holds, in plain objects that compare. */
export function plain(value: unknown): unknown {
  if (value instanceof arrow.Vector) return Array.from({ length: value.length }, (_, i) => plain(value.get(i)))
  if (isRow(value)) return { row: [...value].map(([key, each]) => [plain(key), plain(each)]) }
  if (ArrayBuffer.isView(value)) return { bytes: Array.from(value as Uint8Array, String).join() }
  return value
}

/** All columns of a table or batch, as lists of plain values. */
export function columnsOf(value: arrow.Table | arrow.RecordBatch): Record<string, unknown> {
  return Object.fromEntries(value.schema.fields.map((each, i) => [each.name, plain(value.getChildAt(i)!)]))
}
