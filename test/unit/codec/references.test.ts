// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { type CodecContext, Encoder } from '#lib/codec/value.js'
import { WireError } from '#lib/errors.js'
import { decode, encode, FakeRef, fakeReferences, nothing, roundTrip, withHole } from './codecs.js'

const context: CodecContext = { references: fakeReferences, functions: null }
const LIST = 20

suite('codec: references', () => {
  test('come back by identity, wherever they are', () => {
    const ref = new FakeRef(7)
    const back = roundTrip({ ref, again: [ref], map: new Map([[ref, 1]]) }, context)
    assert.deepStrictEqual(back.ref, ref)
    assert.equal(back.again[0], back.ref)
    assert.equal([...back.map.keys()][0], back.ref)
    assert.deepStrictEqual(roundTrip(ref, context), ref)
  })

  test('are reported once each, in order of first appearance', () => {
    const [a, b, c] = [new FakeRef(1), new FakeRef(2), new FakeRef(3)]
    const encoder = new Encoder(context)
    const first = encoder.encode({ b, list: [a, b], deep: new Set([c, a]) }).references
    assert.deepStrictEqual(first, [b, a, c])
    assert.equal(first[0], b)
    const second = encoder.encode([c, a]).references
    assert.deepStrictEqual(second, [c, a])
    assert.deepStrictEqual(first, [b, a, c])
    assert.deepStrictEqual(encoder.encode({ plain: 1 }).references, [])
  })

  test('a list of nothing else has a format of its own', () => {
    const refs = Array.from({ length: 10_000 }, (_, i) => new FakeRef(i))
    const encoded = new Encoder(context).encode(refs)
    assert.equal(encoded.head[0], LIST)
    assert.ok(encoded.byteLength < 10_000 * 5 + 64)
    assert.deepStrictEqual(encoded.references, refs)
    assert.notEqual(encoded.references, refs)
    assert.deepStrictEqual(roundTrip(refs, context), refs)
  })

  test('a list with anything else, or one of them twice, is an ordinary value', () => {
    const ref = new FakeRef(1)
    for (const value of [[ref, ref], [ref, 1], [ref, null], withHole(ref, new FakeRef(2)), [ref, { ref }], [ref, [ref]]]) {
      assert.notEqual(encode(value, context)[0], LIST)
      const back = roundTrip(value, context)
      assert.deepStrictEqual(back, value)
    }
    const twice = roundTrip([ref, ref], context)
    assert.equal(twice[0], twice[1])
    assert.deepStrictEqual(new Encoder(context).encode([ref, ref]).references, [ref])
  })

  test('where there is no codec for them, they are a WireError', () => {
    for (const value of [new FakeRef(1), [new FakeRef(1), new FakeRef(2)], { a: new FakeRef(1) }]) {
      assert.throws(() => decode(encode(value, context), nothing), WireError)
    }
  })

  test('a list cut off is a WireError', () => {
    const bytes = encode([new FakeRef(1), new FakeRef(2)], context)
    assert.throws(() => decode(bytes.subarray(0, bytes.length - 9), context), WireError)
  })
})
