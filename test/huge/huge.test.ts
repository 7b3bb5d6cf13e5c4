// SPDX-License-Identifier: Apache-2.0
// Values of several GiB. By itself, with `npm run huge`: it takes 8 GiB of shared memory for a minute.

import assert from 'node:assert/strict'
import { constants } from 'node:buffer'
import { Field, Float64, makeData, RecordBatch, Schema, Struct, Table, Uint8 } from 'apache-arrow'
import { ObjectStore } from 'eagleray/store'

const GIB = 2 ** 30

suite('huge values', () => {
  let store: ObjectStore
  setup(async () => {
    store = await ObjectStore.create({ capacityBytes: 6 * GIB })
  })
  teardown(() => store.close())

  test('an array of 5 GiB works where Node can hold it, and is an error at the call elsewhere', () => {
    const length = 5 * GIB
    if (constants.MAX_LENGTH < length) {
      const refused = (error: Error) => error instanceof RangeError && /can view at most 4294967296/.test(error.message)
      assert.throws(() => store.create(length), refused)
      assert.throws(() => store.put(new Float64Array(length / 8)), refused)
      assert.throws(() => store.put({ deep: [new Float64Array(length / 8)] }), refused)
      assert.deepEqual(store.list(), [])
      return
    }
    const builder = store.create(length)
    builder.bytes[0] = 1
    builder.bytes[length - 1] = 2
    using object = store.tryGet(builder.seal())!
    const { bytes } = object
    assert.deepEqual([bytes.length, bytes[0], bytes[length - 1]], [length, 1, 2])
  }).timeout(300_000)

  test('an array of a little less than 4 GiB works everywhere', () => {
    const length = 4 * GIB - 8192
    const array = new Float64Array(length / 8)
    array[array.length - 1] = 7
    using object = store.tryGet(store.put(array))!
    const value = object.value<Float64Array>()
    assert.deepEqual([value.length, value[0], value.at(-1)], [length / 8, 0, 7])
  }).timeout(300_000)

  test('a column of more than 2 GiB is split into batches', () => {
    const rows = 2 ** 31 - 1 - 64
    const fields = [new Field('byte', new Uint8(), false)]
    const values = new Uint8Array(rows)
    values.set([1, 2, 3])
    values[rows - 1] = 9
    const wide = new Float64Array(2 ** 28 + 1000)
    wide[wide.length - 1] = 5
    const table = new Table({ f: makeData({ type: new Float64(), data: wide }) })
    assert.ok(wide.byteLength > 2 ** 31)
    assert.throws(() => store.put(table.batches[0]!), /record batch holds more than 2147483640 bytes/)
    {
      using object = store.tryGet(store.put(table))!
      const back = object.value<Table>()
      assert.ok(back.batches.length > 1)
      assert.equal(back.numRows, wide.length)
      assert.deepEqual([back.getChild('f')!.get(0), back.getChild('f')!.get(wide.length - 1)], [0, 5])
      assert.ok(back.batches.every(batch => batch.data.children[0]!.values.byteLength < 2 ** 31))
    }
    const data = makeData({ type: new Struct(fields), length: rows, children: [makeData({ type: new Uint8(), data: values })] })
    const batch = new RecordBatch(new Schema(fields), data as never)
    for (const object of store.list()) store.delete(object.id)
    using object = store.tryGet(store.put(new Table([batch])))!
    const column = object.value<Table>().getChildAt(0)!
    assert.deepEqual([column.length, column.get(2), column.get(rows - 1)], [rows, 3, 9])
  }).timeout(300_000)
})
