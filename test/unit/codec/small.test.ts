// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decodeSmall, encodeSmall, NOT_SMALL } from '#lib/codec/value.js'
import { WireError } from '#lib/errors.js'
import { decode, encode } from './codecs.js'

const scalars = fc.oneof(
  fc.constantFrom(
    undefined,
    null,
    true,
    false,
    0,
    -0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 31,
    -(2 ** 31),
    2 ** 53,
    '',
    '\ud800',
    'é',
    '😀',
  ),
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
)

/** A target with guard bytes around the part that may be written. */
function target(room: number): { bytes: Uint8Array; view: DataView } {
  const buffer = new ArrayBuffer(room + 8)
  return { bytes: new Uint8Array(buffer, 0, room), view: new DataView(buffer, 0, room) }
}

suite('codec: small values', () => {
  test('come back as they were, at any offset', () => {
    fc.assert(
      fc.property(scalars, fc.nat(20), (value, offset) => {
        const { bytes, view } = target(offset + 512)
        const length = encodeSmall(value, bytes, view, offset)
        assert.ok(length > 0)
        assert.deepStrictEqual(decodeSmall(bytes, view, offset, length), value)
      }),
    )
  })

  test('are the same envelopes that Encoder writes and Decoder reads', () => {
    fc.assert(
      fc.property(scalars, value => {
        const { bytes, view } = target(512)
        const length = encodeSmall(value, bytes, view, 0)
        assert.deepStrictEqual(Buffer.from(bytes.subarray(0, length)), Buffer.from(encode(value)))
        assert.deepStrictEqual(decode(bytes.subarray(0, length)), value)
      }),
    )
  })

  test('that do not fit give 0 and write nothing beyond the target', () => {
    fc.assert(
      fc.property(scalars, fc.nat(40), (value, room) => {
        const { bytes, view } = target(room)
        const size = encode(value).byteLength
        const length = encodeSmall(value, bytes, view, 0)
        if (size > room) assert.equal(length, 0)
        else assert.equal(length, size)
        assert.deepStrictEqual([...new Uint8Array(bytes.buffer, room)], new Array(8).fill(0))
      }),
    )
  })

  test('others give 0', () => {
    const { bytes, view } = target(100_000)
    for (const value of [{}, [], Symbol.for('a'), () => {}, 2n ** 63n, -(2n ** 63n) - 1n, 'x'.repeat(4097), new Date()]) {
      assert.equal(encodeSmall(value, bytes, view, 0), 0)
    }
    assert.equal(encodeSmall('x'.repeat(4096), bytes, view, 0), 4097)
  })

  test('decodeSmall leaves large envelopes to the Decoder', () => {
    const bytes = encode({ a: 1 })
    assert.equal(decodeSmall(bytes, new DataView(bytes.buffer), 0, bytes.length), NOT_SMALL)
  })

  test('malformed ones are a WireError', () => {
    for (const bytes of [[], [5, 0], [6, 1, 2, 3], [7], [10, 65], [1, 1], [2, 0], [3, 3], [4, 4]]) {
      assert.throws(() => decode(Uint8Array.from(bytes)), WireError, String(bytes))
    }
    const { bytes, view } = target(4)
    assert.throws(() => decodeSmall(bytes, view, 2, 3), WireError)
  })

  test('long strings travel whole', () => {
    for (const text of ['x'.repeat(100_000), 'é'.repeat(100_000), '\ud800'.repeat(100_000)]) assert.equal(decode(encode(text)), text)
  })
})
