// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { decode as decodeMsgpack, encode as encodeMsgpack } from '@msgpack/msgpack'
import fc from 'fast-check'
import { decode, encode, payload, withHole } from './codecs.js'

const PLAIN = 18
const RICH = 19

const { value: json } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.double(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.boolean(),
    fc.constant(null),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value')),
    fc.dictionary(
      fc.string().filter(key => key !== '__proto__'),
      tie('value'),
      { noNullPrototype: true },
    ),
  ),
}))
const container = fc.oneof(
  fc.array(json),
  fc.dictionary(
    fc.string().filter(key => key !== '__proto__'),
    json,
    { noNullPrototype: true },
  ),
)

suite('codec: plain data', () => {
  test('is MessagePack that others read', () => {
    fc.assert(
      fc.property(container, value => {
        const bytes = encode(value)
        assert.equal(bytes[0], PLAIN)
        assert.deepStrictEqual(decodeMsgpack(payload(bytes)), value)
      }),
      { numRuns: 300 },
    )
  })

  test('may be MessagePack that others wrote', () => {
    fc.assert(
      fc.property(container, value => {
        const foreign = encodeMsgpack(value, { forceIntegerToFloat: false })
        const bytes = new Uint8Array(16 + foreign.length)
        bytes.set([PLAIN, 1])
        new DataView(bytes.buffer).setUint32(8, foreign.length, true)
        bytes.set(foreign, 16)
        // Their writer has no -0.
        assert.deepStrictEqual(decode(bytes), decodeMsgpack(foreign))
      }),
    )
    const wide = Buffer.from('93cf0020000000000001cbbff0000000000000c403010203', 'hex')
    const bytes = Buffer.concat([Buffer.from([PLAIN, 1, 0, 0, 0, 0, 0, 0, wide.length, 0, 0, 0, 0, 0, 0, 0]), wide])
    assert.deepStrictEqual(decode(bytes), [2n ** 53n + 1n, -1, Uint8Array.of(1, 2, 3)])
  })

  test('ends where MessagePack would lose something', () => {
    const shared = {}
    const rich: unknown[] = [
      [undefined],
      { a: undefined },
      withHole(1, 2),
      [shared, shared],
      [10n],
      [new Date()],
      [new Map()],
      ['\ud800'],
      [Symbol.for('a')],
      [new Uint8Array(1)],
    ]
    for (const value of rich) assert.equal(encode(value)[0], RICH)
    for (const value of [[-0], [Number.NaN], { a: [{}] }, [], {}]) assert.equal(encode(value)[0], PLAIN)
  })
})
