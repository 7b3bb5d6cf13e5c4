// SPDX-License-Identifier: Apache-2.0
// Checks an Arrow IPC stream before apache-arrow reads it, which believes every count it is told: a few wrong bytes make
// it loop for ever or allocate without end. Here every offset, vector and buffer is held against the bytes there are; what views
// point to, once it is read (arrow-views.ts).
//
//   stream     messages, then 0xffffffff 0 or the end
//   message    0xffffffff | metadata bytes i32 | metadata, a flatbuffer | body
//   table      at p: vtable at p - i32(p): u16 its bytes, u16 the table's bytes, then a u16 place in the table for each field
//
// A flatbuffer may share tables, so that a few bytes spell a tree of any size; tables visited are therefore counted.

import { WireError } from '../errors.js'

const SCHEMA = 1
const DICTIONARY_BATCH = 2
const RECORD_BATCH = 3
const TIMESTAMP = 10
const UNION = 14
const DEPTH_MAX = 64
/** Of a column in one batch. */
const ROWS_MAX = 2 ** 31 - 1

/** Throws a WireError unless apache-arrow can be trusted with the stream. */
export function verifyArrow(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const nodesByColumn: number[] = []
  let at = 0
  let messages = 0
  while (at + 8 <= bytes.byteLength) {
    if (view.getInt32(at, true) !== -1) throw malformed('a message begins wrongly')
    const length = view.getInt32(at + 4, true)
    if (length === 0) break
    at += 8
    if (length < 8 || at + length > bytes.byteLength) throw malformed('a message is cut off')
    const body = new Metadata(new DataView(view.buffer, view.byteOffset + at, length), nodesByColumn).message(messages === 0)
    at += length
    if (body > bytes.byteLength - at) throw malformed('the body of a message is cut off')
    at += body
    messages++
  }
  if (messages === 0) throw malformed('it has no schema')
}

function malformed(what: string): WireError {
  return new WireError(`a malformed Arrow stream: ${what}`)
}

/** The flatbuffer of one message. */
class Metadata {
  private readonly view: DataView
  private tablesLeft: number

  /** `nodesByColumn`: of each column of the schema, how many nodes it has in a batch; filled by the message that is the schema. */
  constructor(
    view: DataView,
    private readonly nodesByColumn: number[],
  ) {
    this.view = view
    this.tablesLeft = Math.ceil(view.byteLength / 4)
  }

  /** Gives the length of the body. */
  message(first: boolean): number {
    const message = this.table(this.offset(0))
    const type = this.field(message, 1) === 0 ? 0 : this.view.getUint8(this.scalar(message, 1, 1))
    const headerAt = this.reference(message, 2)
    const body = this.long(message, 3)
    if (headerAt === 0 || (type === SCHEMA) !== first) throw malformed('its messages are out of order')
    this.keyValues(message, 4)
    if (type === SCHEMA) this.schema(this.table(headerAt))
    else if (type === RECORD_BATCH) this.batch(this.table(headerAt), body, this.nodesByColumn)
    else if (type === DICTIONARY_BATCH) this.dictionary(this.table(headerAt), body)
    else throw malformed(`a message of type ${type}`)
    return body
  }

  private schema(schema: number): void {
    this.scalarIfThere(schema, 0, 2)
    this.tables(schema, 1, field => this.nodesByColumn.push(this.column(field, 0)))
    this.keyValues(schema, 2)
    this.vector(schema, 3, 8)
  }

  /** Gives how many nodes the column has in a batch: one for each column within it, but one alone where it is in a dictionary. */
  private column(column: number, depth: number): number {
    if (depth > DEPTH_MAX) throw malformed('its columns are nested too deep')
    this.vector(column, 0, 1)
    this.scalarIfThere(column, 1, 1)
    const type = this.field(column, 2) === 0 ? 0 : this.view.getUint8(this.scalar(column, 2, 1))
    const typeAt = this.reference(column, 3)
    if (typeAt === 0) throw malformed('a column has no type')
    const table = this.table(typeAt)
    if (type === TIMESTAMP) this.vector(table, 1, 1)
    if (type === UNION) this.vector(table, 1, 4)
    const dictionaryAt = this.reference(column, 4)
    if (dictionaryAt !== 0) {
      const indexAt = this.reference(this.table(dictionaryAt), 1)
      if (indexAt !== 0) this.table(indexAt)
    }
    let nodes = 1
    this.tables(column, 5, child => {
      nodes += this.column(child, depth + 1)
    })
    this.keyValues(column, 6)
    return dictionaryAt === 0 ? nodes : 1
  }

  private dictionary(dictionary: number, body: number): void {
    this.long(dictionary, 0)
    const data = this.reference(dictionary, 1)
    if (data === 0) throw malformed('a dictionary has no data')
    // One column, of whose kind the schema tells in some other place.
    this.batch(this.table(data), body, null)
    this.scalarIfThere(dictionary, 2, 1)
  }

  /** `columns`: how many nodes each has; null for a dictionary, which is one. */
  private batch(batch: number, body: number, columns: number[] | null): void {
    const rows = this.long(batch, 0)
    const nodes = this.vector(batch, 1, 16)
    for (let i = 0; i < nodes.length; i++) {
      const length = this.longAt(nodes.at + i * 16)
      if (length > ROWS_MAX || this.longAt(nodes.at + i * 16 + 8) > length) throw malformed('a column has more nulls or rows than it can')
    }
    this.rows(rows, nodes, body, columns ?? [nodes.length])
    const buffers = this.vector(batch, 2, 16)
    for (let i = 0; i < buffers.length; i++) {
      const end = this.longAt(buffers.at + i * 16) + this.longAt(buffers.at + i * 16 + 8)
      if (end > body) throw malformed('a buffer lies outside of its message')
    }
    if (this.reference(batch, 3) !== 0) throw malformed('it is compressed')
    const data = this.vector(batch, 4, 8)
    let dataBuffers = 0
    for (let i = 0; i < data.length; i++) dataBuffers += this.longAt(data.at + i * 8)
    if (dataBuffers > buffers.length) throw malformed('its views have more data buffers than there are')
  }

  /**
   * Every row of a column takes a bit at least, except where all are null; columns of different lengths are filled up. Of columns
   * within columns no more is believed than their rows say: a list of nulls takes no bytes however long it is.
   */
  private rows(rows: number, nodes: { at: number; length: number }, body: number, columns: number[]): void {
    let node = 0
    let same = rows <= ROWS_MAX
    for (const within of columns) {
      if (within === 0 || node + within > nodes.length) throw malformed('a column has no rows')
      const length = this.longAt(nodes.at + node * 16)
      if (length !== rows) same = false
      if (length > body * 8 && length !== rows) throw malformed('a column is longer than its data')
      node += within
    }
    if (rows > body * 8 && !same) throw malformed('it has fewer rows than it says')
  }

  private keyValues(table: number, field: number): void {
    this.tables(table, field, each => {
      this.vector(each, 0, 1)
      this.vector(each, 1, 1)
    })
  }

  private tables(table: number, field: number, visit: (table: number) => void): void {
    const { at, length } = this.vector(table, field, 4)
    for (let i = 0; i < length; i++) visit(this.table(this.offset(at + i * 4)))
  }

  /** Checks the table at `at` and its vtable. */
  private table(at: number): number {
    if (--this.tablesLeft < 0) throw malformed('it has more tables than bytes')
    this.within(at, 4)
    const vtable = at - this.view.getInt32(at, true)
    this.within(vtable, 4)
    const size = this.view.getUint16(vtable, true)
    if (size < 4 || size % 2 !== 0) throw malformed('a table has no layout')
    this.within(vtable, size)
    return at
  }

  /** Where a field of a table lies; 0 when it is left out. */
  private field(table: number, index: number): number {
    const vtable = table - this.view.getInt32(table, true)
    const entry = 4 + index * 2
    if (entry >= this.view.getUint16(vtable, true)) return 0
    const place = this.view.getUint16(vtable + entry, true)
    return place === 0 ? 0 : table + place
  }

  private scalar(table: number, index: number, bytes: number): number {
    const at = this.field(table, index)
    this.within(at, bytes)
    return at
  }

  private scalarIfThere(table: number, index: number, bytes: number): void {
    if (this.field(table, index) !== 0) this.scalar(table, index, bytes)
  }

  /** A size; 0 when it is left out. */
  private long(table: number, index: number): number {
    return this.field(table, index) === 0 ? 0 : this.longAt(this.scalar(table, index, 8))
  }

  private longAt(at: number): number {
    const high = this.view.getInt32(at + 4, true)
    if (high < 0 || high >= 2 ** 21) throw malformed('a size is out of range')
    return high * 2 ** 32 + this.view.getUint32(at, true)
  }

  /** What a field points to; 0 when it is left out. */
  private reference(table: number, index: number): number {
    return this.field(table, index) === 0 ? 0 : this.offset(this.scalar(table, index, 4))
  }

  private offset(at: number): number {
    this.within(at, 4)
    return at + this.view.getUint32(at, true)
  }

  /** Where the elements of a vector (or the characters of a string) begin, and how many there are. */
  private vector(table: number, index: number, elementBytes: number): { at: number; length: number } {
    const at = this.reference(table, index)
    if (at === 0) return { at: 0, length: 0 }
    this.within(at, 4)
    const length = this.view.getUint32(at, true)
    this.within(at + 4, length * elementBytes)
    return { at: at + 4, length }
  }

  private within(at: number, bytes: number): void {
    if (at < 0 || at + bytes > this.view.byteLength) throw malformed('an offset points outside of its message')
  }
}
