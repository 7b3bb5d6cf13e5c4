// SPDX-License-Identifier: Apache-2.0
// Columns of views whose bytes were changed: each view is held against what there is, and null rows may say anything.

import assert from 'node:assert/strict'
import * as arrow from 'apache-arrow'
import { arrowRegion, RECORD_BATCH, readArrow, TABLE } from '#lib/codec/arrow.js'
import { WireError } from '#lib/errors.js'

const LONG = 'a text that is too long to be in place'
const SHORT = 'in place'

const streamOf = (table: arrow.Table): Uint8Array => Uint8Array.from(Buffer.concat(arrowRegion(table, 'value').parts))

/** The stream of two long texts, a short one and a null; and where its views begin. */
function crafted(type: arrow.DataType, wrap: (column: arrow.Vector) => arrow.Vector = column => column) {
  const binary = type.typeId === arrow.Type.BinaryView
  const values = [LONG, LONG, SHORT, null].map(text => (binary && text !== null ? Buffer.from(text) : text))
  const bytes = streamOf(new arrow.Table({ c: wrap(arrow.vectorFromArray(values, type)) }))
  // The first of them: how long it is, and its first four bytes.
  const first = Buffer.from([LONG.length, 0, 0, 0, ...Buffer.from(LONG.slice(0, 4))])
  const at = Buffer.from(bytes.buffer).indexOf(first)
  assert.ok(at > 0, 'the views are in the stream')
  return { bytes, at, view: new DataView(bytes.buffer) }
}

const read = (bytes: Uint8Array): arrow.Table => readArrow(TABLE, bytes) as arrow.Table
const refused = (bytes: Uint8Array, words: RegExp): void => {
  for (const kind of [TABLE, RECORD_BATCH])
    assert.throws(
      () => readArrow(kind, bytes),
      (error: Error) => {
        assert.ok(error instanceof WireError, String(error))
        assert.match(error.message, words)
        return true
      },
    )
}

/** Where in the metadata of the last message the buffer that begins at `at` of the stream is described. */
function bufferAt(bytes: Uint8Array, at: number, byteLength: number): number {
  const view = new DataView(bytes.buffer)
  for (let i = at - 16; i >= 0; i -= 8)
    if (view.getBigInt64(i + 8, true) === BigInt(byteLength) && view.getInt32(i + 4, true) === 0) return i
  throw new Error('there is no such buffer')
}

suite('codec: Arrow views', () => {
  for (const type of [new arrow.Utf8View(), new arrow.BinaryView()]) {
    test(`${type}: one that points outside of its data is refused`, () => {
      // [which word of the view, what it says]
      const changes: [number, number][] = [
        [0, -1],
        [0, 1000],
        [0, 0x7f_ff_ff_ff],
        [8, 1],
        [8, -1],
        [12, -1],
        [12, 2 * LONG.length],
        [12, 0x7f_ff_ff_ff],
      ]
      for (const [word, value] of changes) {
        const { bytes, at, view } = crafted(type)
        assert.equal(read(bytes).numRows, 4)
        view.setInt32(at + 16 + word, value, true)
        refused(bytes, /a view points outside of its data/)
      }
    })
  }

  test('a column with fewer views than rows is refused', () => {
    const { bytes, at, view } = crafted(new arrow.Utf8View())
    view.setBigInt64(bufferAt(bytes, at, 64) + 8, 32n, true)
    refused(bytes, /fewer views than rows/)
  })

  test('more data buffers than there are, are refused', () => {
    for (const count of [4n, 2n ** 40n]) {
      const { bytes, at, view } = crafted(new arrow.Utf8View())
      // The vector of one count, which comes before those of buffers and nodes.
      let counts = 0
      for (let i = bytes.indexOf(0xff, 8); i < at; i += 4)
        if (view.getUint32(i, true) === 1 && view.getBigInt64(i + 4, true) === 1n) counts = i + 4
      assert.ok(counts > 0, 'the counts are in the stream')
      view.setBigInt64(counts, count, true)
      refused(bytes, /more data buffers than there are/)
    }
  })

  test('what a null row has for a view is not looked at', () => {
    const { bytes, at, view } = crafted(new arrow.Utf8View())
    for (const word of [0, 8, 12]) view.setInt32(at + 3 * 16 + word, 0x7f_ff_ff_ff, true)
    assert.deepEqual([...read(bytes).getChild('c')!], [LONG, LONG, SHORT, null])
  })

  test('views within other columns, and in dictionaries, are checked too', () => {
    const inStruct = (column: arrow.Vector): arrow.Vector => {
      const type = new arrow.Struct([new arrow.Field('s', column.type, true)])
      return new arrow.Vector([arrow.makeData({ type, length: column.length, children: [column.data[0]!] })])
    }
    const inDictionary = (column: arrow.Vector): arrow.Vector => {
      const type = new arrow.Dictionary(column.type, new arrow.Int8())
      return new arrow.Vector([arrow.makeData({ type, length: 1, data: Int8Array.of(0), dictionary: column })])
    }
    for (const wrap of [inStruct, inDictionary]) {
      const { bytes, at, view } = crafted(new arrow.Utf8View(), wrap)
      assert.ok(read(bytes).numRows > 0)
      view.setInt32(at + 16 + 8, 7, true)
      refused(bytes, /a view points outside of its data/)
    }
  })
})
