// SPDX-License-Identifier: Apache-2.0
// Arrow tables of several batches: dictionaries that are shared, grow and are replaced, and what is too large for one.

import assert from 'node:assert/strict'
import * as arrow from 'apache-arrow'
import { arrowRegion, RECORD_BATCH, readArrow, TABLE } from '#lib/codec/arrow.js'
import { SerializationError } from '#lib/errors.js'
import { column, columnsOf, dictionaryOf, flatKinds, type Kind, listOf, mapOf, nestedKinds, structOf, union } from './arrow-tables.js'
import { encode, roundTrip } from './codecs.js'

const words = (list: string[]): arrow.Vector<arrow.Utf8> => arrow.vectorFromArray(list, new arrow.Utf8())
const keys = (list: number[], type: arrow.Dictionary, dictionary: arrow.Vector): arrow.Vector =>
  new arrow.Vector([arrow.makeData({ type, data: Int32Array.from(list), dictionary })])
const textType = (id?: number): arrow.Dictionary<arrow.Utf8, arrow.Int32> => new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32(), id)

/** Messages of a stream by type: 1 schema, 2 dictionary, 3 batch. */
function messages(stream: Uint8Array): number[] {
  const types: number[] = []
  const reader = new arrow.MessageReader(stream)
  for (let message = reader.readMessage(); message !== null; message = reader.readMessage()) {
    types.push(message.headerType)
    if (message.bodyLength > 0) reader.readMessageBody(message.bodyLength)
  }
  return types
}

function streamOf(table: arrow.Table, bytesMax?: number): Uint8Array {
  return new Uint8Array(Buffer.concat(arrowRegion(table, 'value', bytesMax).parts))
}

suite('codec: Arrow batches', () => {
  test('columns that share a dictionary share it afterwards, and it is written once', () => {
    const type = textType()
    const dictionary = words(Array.from({ length: 3000 }, (_, i) => `word ${i}`))
    const table = new arrow.Table({ a: keys([0, 1, 2999], type, dictionary), b: keys([5, 0, 1], type, dictionary) })
    const alone = encode(new arrow.Table({ a: table.getChild('a')! })).length
    assert.ok(encode(table).length - alone < 1000)
    const back = roundTrip(table)
    assert.deepStrictEqual(columnsOf(back), { a: ['word 0', 'word 1', 'word 2999'], b: ['word 5', 'word 0', 'word 1'] })
    const [a, b] = [0, 1].map(index => back.getChildAt(index)!.data[0]!.dictionary)
    assert.equal(a, b)
  })

  test('two dictionaries under one type are refused, for a stream has one for each', () => {
    const type = textType()
    const table = new arrow.Table({ a: keys([0], type, words(['x'])), b: keys([0], type, words(['y'])) })
    assert.throws(
      () => arrowRegion(table, 'value.table'),
      error => error instanceof SerializationError && error.path === 'value.table' && /a type of its own/.test(error.message),
    )
  })

  test('dictionaries grow, are replaced and are nested', () => {
    const type = textType()
    const first = words(['a', 'b'])
    const grown = first.concat(words(['c']))
    const other = words(['z', 'y', 'x'])
    const vectors = [keys([0, 1], type, first), keys([2, 0], type, grown), keys([2, 0], type, other), keys([1], type, other)]
    const batches = vectors.map(vector => new arrow.RecordBatch({ d: vector.data[0]! }))
    const table = new arrow.Table(batches)
    const expected = { d: ['a', 'b', 'c', 'a', 'x', 'z', 'y'] }
    assert.deepStrictEqual(columnsOf(table), expected)
    assert.deepStrictEqual(columnsOf(roundTrip(table)), expected)
    assert.deepStrictEqual(columnsOf(roundTrip(roundTrip(table))), expected)
    assert.deepStrictEqual(messages(streamOf(table)), [1, 2, 3, 2, 3, 2, 3, 3], 'each chunk is written once')

    const inner = dictionaryOf(flatKinds.utf8!, 3)
    for (const each of [structOf({ word: inner, n: flatKinds.int8! }), listOf(inner)]) {
      const values = column(each, 4)
      const outer = new arrow.Dictionary(each.type, new arrow.Int32())
      const nested = new arrow.Table({ n: keys([3, 0, 2, 1, 0], outer, values) })
      assert.deepStrictEqual(columnsOf(roundTrip(nested)), columnsOf(nested))
    }
  })

  test('columns are split by rows where a buffer would be too large', () => {
    const kinds: Record<string, Kind> = {
      flat: flatKinds.float64!,
      nullable: flatKinds.int64!,
      text: flatKinds.utf8!,
      view: flatKinds.utf8View!,
      list: listOf(flatKinds.float64!),
      largeList: nestedKinds.largeList!,
      fixed: nestedKinds.fixedSizeList!,
      map: mapOf(flatKinds.utf8!, flatKinds.int32!),
      deep: nestedKinds.listOfStructs!,
      dictionary: nestedKinds.dictionary!,
    }
    const tables = Object.entries(kinds).map(([name, each]) => [name, new arrow.Table({ c: column(each, 2000) })] as const)
    for (const [name, table] of [...tables, ['union', new arrow.Table({ c: union('dense', 2000) })] as const]) {
      const back = readArrow(TABLE, streamOf(table, 1500)) as arrow.Table
      assert.ok(back.batches.length >= 4, `${name}: ${back.batches.length} batches`)
      assert.deepStrictEqual(columnsOf(back), columnsOf(table), name)
    }
  })

  test('what cannot be split is refused, and the refusal says what to do', () => {
    const refused = (value: object, words: RegExp): void =>
      assert.throws(
        () => arrowRegion(value, 'args[0].t', 1500),
        error => error instanceof SerializationError && error.path === 'args[0].t' && words.test(error.message),
      )
    refused(arrow.tableFromArrays({ x: Float64Array.from({ length: 1000 }) }).batches[0]!, /record batch .* put new Table/)
    const row = new arrow.Table({ wide: arrow.vectorFromArray(['x'.repeat(5000), 'y'], new arrow.Utf8()) })
    refused(row, /one row .* more than 1500 bytes/)
    refused(new arrow.Table({ d: keys([0, 0], textType(), words(['x'.repeat(5000)])) }), /a dictionary .* without a dictionary/)
    const batch = arrow.tableFromArrays({ x: Float64Array.of(1, 2) }).batches[0]!
    const stream = new Uint8Array(Buffer.concat(arrowRegion(batch, 'value', 1500).parts))
    assert.equal((readArrow(RECORD_BATCH, stream) as arrow.RecordBatch).numRows, 2)
  })
})
