// SPDX-License-Identifier: Apache-2.0
// Arrow tables of every type: they come back equal, with one copy on the way in and none on the way out.

import assert from 'node:assert/strict'
import * as arrow from 'apache-arrow'
import fc from 'fast-check'
import { arrowRegion, readArrow, TABLE } from '#lib/codec/arrow.js'
import { Encoder } from '#lib/codec/value.js'
import {
  column,
  columnsOf,
  dictionaryOf,
  everyType,
  fixedSizeListOf,
  flatKinds,
  type Kind,
  listOf,
  mapOf,
  nestedKinds,
  plain,
  structOf,
  union,
} from './arrow-tables.js'
import { decode, encode, nothing, roundTrip } from './codecs.js'

const kinds = { ...flatKinds, ...nestedKinds }

/** Tables of one column, by the name of its type. */
function* singles(rows: number): Generator<[string, arrow.Table]> {
  for (const [name, each] of Object.entries(kinds)) yield [name, new arrow.Table({ [name]: column(each, rows) })]
  for (const mode of ['dense', 'sparse'] as const) yield [`${mode} union`, new arrow.Table({ union: union(mode, rows) })]
}

/** Every array of numbers behind a table. */
function* arraysOf(value: arrow.Table): Generator<ArrayBufferView> {
  const queue = value.batches.flatMap(batch => batch.data.children)
  for (let data = queue.pop(); data !== undefined; data = queue.pop()) {
    const { nullBitmap, values, valueOffsets, typeIds, variadicBuffers } = data as unknown as Record<string, ArrayBufferView | undefined>
    for (const each of [nullBitmap, values, valueOffsets, typeIds, ...(variadicBuffers as unknown as ArrayBufferView[])])
      if (each !== undefined && each.byteLength > 0) yield each
    queue.push(...data.children, ...(data.dictionary?.data ?? []))
  }
}

function assertSame(actual: arrow.Table, expected: arrow.Table, what: string): void {
  assert.deepStrictEqual(columnsOf(actual), columnsOf(expected), what)
  assert.deepStrictEqual(actual.schema.fields.map(String), expected.schema.fields.map(String), what)
  assert.equal(actual.numRows, expected.numRows, what)
}

suite('codec: Arrow types', () => {
  test('every type comes back equal: whole, in slices, of slices, and without rows', () => {
    for (const [name, table] of singles(40)) {
      const cases = [table, table.slice(7, 29), table.slice(0, 10), table.slice(5, 35).slice(3, 20), table.slice(3, 3), table.slice(39)]
      for (const [i, each] of cases.entries())
        for (const zeroCopy of [false, true]) assertSame(roundTrip(each, nothing, zeroCopy), each, `${name}, case ${i}`)
    }
    for (const [name, table] of singles(0)) assertSame(roundTrip(table), table, name)
    assertSame(roundTrip(everyType(100)), everyType(100), 'all at once')
  }).timeout(60_000)

  test('what was put in is what comes out', () => {
    for (const name of [
      'int32',
      'float64',
      'utf8',
      'utf8View',
      'largeUtf8',
      'bool',
      'uint64',
      'durationNanosecond',
      'timestampMillisecond',
    ]) {
      const each = flatKinds[name]!
      const back = roundTrip(new arrow.Table({ c: column(each, 30) })).getChildAt(0)!
      for (let i = 0; i < 30; i++) assert.equal(back.get(i), i % 3 === 1 ? null : each.value(i), `${name} ${i}`)
    }
    assert.deepStrictEqual(plain(column(nestedKinds.list!, 3, false)), [[], [null], [-15_838, -23_757]])
    assert.deepStrictEqual(plain(roundTrip(new arrow.Table({ c: column(nestedKinds.map!, 3) })).getChildAt(0)!), [
      { row: [] },
      null,
      {
        row: [
          ['häßlich 日本 2', -15_838],
          ['a text of more than twelve bytes, number 3', -23_757],
        ],
      },
    ])
  })

  test('a slice writes its rows and no others', () => {
    for (const [name, table] of singles(20_000)) {
      const bytes = arrowRegion(table.slice(10_001, 10_011), 'value').byteLength
      assert.ok(bytes < 2500, `${name}: ${bytes} bytes for ten rows`)
      assert.ok(bytes - arrowRegion(table.slice(10_001, 10_002), 'value').byteLength < 1200, name)
    }
  }).timeout(60_000)

  test('no column is copied when it is written', () => {
    for (const [name, table] of singles(20_000)) {
      const own = new Set([...arraysOf(table)].map(each => each.buffer))
      const large = new Encoder(nothing).encode(table).buffers.filter(part => part.byteLength > 2000)
      assert.ok(name === 'null' || name === 'listOfNull' || large.length > 0, name)
      for (const part of large) assert.ok(own.has(part.buffer), `${name}: ${part.byteLength} bytes are a copy`)
    }
  }).timeout(60_000)

  test('no column is copied when it is read', () => {
    for (const [name, table] of singles(20_000)) {
      const bytes = encode(table)
      for (const each of arraysOf(decode(bytes, nothing, true) as arrow.Table)) assert.ok(each.buffer === bytes.buffer, name)
    }
  }).timeout(60_000)

  test('columns that apache-arrow filled up with nulls are whole', () => {
    const long = column(flatKinds.int32!, 20)
    for (const [name, each] of Object.entries(kinds)) {
      const short = column(each, 9, false)
      for (const table of [new arrow.Table({ long, short }), new arrow.Table({ long: long.concat(long), short })])
        assertSame(roundTrip(table), table, name)
      const batch = new arrow.RecordBatch({ long: long.data[0]!, short: short.data[0]! })
      assert.deepStrictEqual(columnsOf(roundTrip(batch)), columnsOf(batch), name)
      const region = Buffer.concat(arrowRegion(batch, 'value').parts)
      for (const data of arrow.tableFromIPC(region).batches[0]!.data.children) {
        const { values, stride, length, valueOffsets } = data as unknown as {
          values?: Uint8Array
          stride: number
          length: number
          valueOffsets?: Int32Array
        }
        if (valueOffsets !== undefined) assert.ok(valueOffsets.length >= 21 && Number(valueOffsets[20]) >= Number(valueOffsets[9]), name)
        else if (values !== undefined && data.typeId !== arrow.Type.Bool) assert.ok(values.length >= length * stride, name)
      }
    }
  })

  test('tables without columns keep their rows, and metadata of schema, fields and batches stays', () => {
    const none = new arrow.RecordBatch(new arrow.Schema([]), arrow.makeData({ type: new arrow.Struct([]), length: 7 }))
    assert.equal(roundTrip(new arrow.Table([none])).numRows, 7)
    assert.equal(roundTrip(none).numRows, 7)
    const field = new arrow.Field(
      'a',
      new arrow.Int32(),
      true,
      new Map([
        ['unit', 'kg'],
        ['ünit', ''],
      ]),
    )
    const schema = new arrow.Schema([field], new Map([['made by', 'a test']]))
    const data = arrow.makeData({ type: new arrow.Struct([field]), children: [column(flatKinds.int32!, 5).data[0]!], length: 5 })
    const batch = new arrow.RecordBatch(schema, data as never, new Map([['part', '1']]))
    const back = roundTrip(new arrow.Table(schema, [batch, batch.slice(2, 4)]))
    assert.deepStrictEqual(back.schema.metadata, schema.metadata)
    assert.deepStrictEqual(back.schema.fields[0]!.metadata, field.metadata)
    assert.deepStrictEqual(
      back.batches.map(each => [each.numRows, each.metadata.get('part')]),
      [
        [5, '1'],
        [2, '1'],
      ],
    )
    assert.equal(roundTrip(batch).metadata.get('part'), '1')
  })

  test('random tables', () => {
    const { kind } = fc.letrec<{ kind: Kind }>(tie => ({
      kind: fc.oneof(
        { maxDepth: 3, depthIdentifier: 'kind' },
        fc.constantFrom(...Object.values(flatKinds)),
        tie('kind').map(each => listOf(each)),
        tie('kind').map(each => listOf(each, 'LargeList')),
        fc.tuple(fc.integer({ min: 1, max: 4 }), tie('kind')).map(([size, each]) => fixedSizeListOf(size, each)),
        fc.array(tie('kind'), { minLength: 1, maxLength: 3 }).map(list => structOf(Object.fromEntries(list.entries()))),
        tie('kind').map(each => mapOf(flatKinds.utf8!, each)),
        fc.constantFrom(flatKinds.utf8!, flatKinds.int64!, flatKinds.float64!).map(each => dictionaryOf(each)),
      ),
    }))
    const rows = fc.nat(40)
    const shape = fc.record({
      columns: fc.array(kind, { minLength: 1, maxLength: 4 }),
      rows,
      cut: rows,
      from: rows,
      to: rows,
      nulls: fc.boolean(),
    })
    fc.assert(
      fc.property(shape, ({ columns, rows, cut, from, to, nulls }) => {
        const whole = new arrow.Table(Object.fromEntries(columns.map((each, i) => [`c${i}`, column(each, rows, nulls, i)])))
        const batches = whole.batches.flatMap(batch => [batch.slice(0, cut), batch.slice(cut)])
        const table = new arrow.Table(whole.schema, batches).slice(from, to)
        assertSame(roundTrip(table, nothing, true), table, 'table')
        const stream = Buffer.concat(arrowRegion(table, 'value', 64 << 10).parts)
        assertSame(readArrow(TABLE, new Uint8Array(stream)) as arrow.Table, table, 'stream')
      }),
      { numRuns: 150 },
    )
  }).timeout(60_000)
})
