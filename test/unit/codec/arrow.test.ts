// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import * as arrow from 'apache-arrow'
import { arrowRegion } from '#lib/codec/arrow.js'
import { Decoder, Encoder } from '#lib/codec/value.js'
import { SerializationError, WireError } from '#lib/errors.js'
import { decode, encode, nothing, roundTrip } from './codecs.js'

const ROWS = 3000

function table(): arrow.Table {
  return arrow.tableFromArrays({
    id: Int32Array.from({ length: ROWS }, (_, i) => i),
    price: Float64Array.from({ length: ROWS }, (_, i) => i / 3),
    name: Array.from({ length: ROWS }, (_, i) => `row ${i % 50}`),
  })
}

function rows(value: arrow.Table | arrow.RecordBatch): unknown[] {
  return value.toArray().map(row => row?.toJSON())
}

suite('codec: Arrow', () => {
  test('tables come back equal, alone and nested', () => {
    const value = table()
    for (const zeroCopy of [false, true]) {
      assert.deepStrictEqual(rows(roundTrip(value, nothing, zeroCopy)), rows(value))
      const nested = roundTrip({ tables: [value, value], n: 1 }, nothing, zeroCopy)
      assert.deepStrictEqual(rows(nested.tables[1]!), rows(value))
      assert.equal(nested.tables[0], nested.tables[1])
    }
    assert.ok(roundTrip(value) instanceof arrow.Table)
  })

  test('the region is an IPC stream that others read', () => {
    const value = table()
    const bytes = encode(value)
    assert.deepStrictEqual(rows(arrow.tableFromIPC(bytes.subarray(64))), rows(value))
    assert.deepStrictEqual(Buffer.from(bytes.subarray(64)), Buffer.from(arrow.tableToIPC(value, 'stream')))
  })

  test('columns are neither copied when written nor when read', () => {
    const value = table()
    const column = value.getChild('price')!.data[0]!.values as Float64Array
    const encoded = new Encoder(nothing).encode(value)
    assert.ok(encoded.buffers.some(part => part.buffer === column.buffer && part.byteLength === ROWS * 8))
    const bytes = encode(value)
    const back = decode(bytes, nothing, true) as arrow.Table
    for (const name of ['id', 'price']) assert.equal((back.getChild(name)!.data[0]!.values as Float64Array).buffer, bytes.buffer)
    assert.equal(new Decoder(nothing).holdsViews(bytes), true)
    const copied = decode(bytes) as arrow.Table
    assert.notEqual((copied.getChild('price')!.data[0]!.values as Float64Array).buffer, bytes.buffer)
  })

  test('several batches, slices, empty tables and record batches', () => {
    const once = table()
    const batches = new arrow.Table([...once.batches, ...once.batches])
    assert.deepStrictEqual(rows(roundTrip(batches)), rows(batches))
    assert.equal(roundTrip(batches).batches.length, 2)
    const slice = table().slice(100, 110)
    assert.deepStrictEqual(rows(roundTrip(slice)), rows(slice))
    assert.ok(encode(table().select(['id', 'price']).slice(0, 10)).length < 2000)
    const empty = new arrow.Table(table().schema, [])
    assert.deepStrictEqual(roundTrip(empty).schema.names, ['id', 'price', 'name'])
    assert.equal(roundTrip(empty).numRows, 0)
    const batch = table().batches[0]!
    const back = roundTrip(batch)
    assert.ok(back instanceof arrow.RecordBatch)
    assert.deepStrictEqual(rows(back), rows(batch))
    const none = batch.slice(0, 0)
    assert.equal(roundTrip(none).numRows, 0)
    assert.deepStrictEqual(roundTrip(none).schema.names, ['id', 'price', 'name'])
  })

  test('tables of another copy of the library are seen too', () => {
    const load = createRequire(import.meta.url)
    const common = load.resolve('apache-arrow')
    const copies = [common, common.replace(/js$/, 'mjs')].map(file => load(file) as typeof arrow)
    assert.notEqual(copies[0]!.Table, copies[1]!.Table)
    for (const copy of copies) {
      const value = copy.tableFromArrays({ x: Float64Array.of(1, 2, 3) })
      assert.deepStrictEqual([...roundTrip(value).getChild('x')!], [1, 2, 3])
      assert.deepStrictEqual([...roundTrip([value])[0]!.getChild('x')!], [1, 2, 3])
    }
  })

  test('a buffer beyond what the library can write is split by rows, or refused', () => {
    const value = arrow.tableFromArrays({ x: Float64Array.from({ length: 1000 }, (_, i) => i) })
    const region = arrowRegion(value, 'value', 1500)
    const back = arrow.tableFromIPC(Buffer.concat(region.parts))
    assert.ok(back.batches.length >= 6)
    assert.deepStrictEqual(rows(back), rows(value))
    const wide = arrow.tableFromArrays({ text: ['x'.repeat(5000)] })
    assert.throws(
      () => arrowRegion(wide, 'args[0].t', 1500),
      error => error instanceof SerializationError && error.path === 'args[0].t',
    )
  })

  test('a name longer than the stream is a WireError', () => {
    const bytes = encode(arrow.tableFromArrays({ temperature: Float64Array.of(1) }))
    const name = Buffer.from(bytes.buffer).indexOf('temperature')
    const view = new DataView(bytes.buffer)
    assert.equal(view.getUint32(name - 4, true), 'temperature'.length)
    view.setUint32(name - 4, 0xff_ff_ff, true)
    assert.throws(() => decode(bytes), /outside of its message/)
  })

  test('a stream that is none is a WireError', () => {
    const bytes = encode(table())
    bytes.fill(0xff, 64, 600)
    assert.throws(() => decode(bytes), WireError)
  })
})
