// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { encodeSmallBinary } from '#lib/codec/small-binary.js'
import { decode, encode } from './codecs.js'

const target = new Uint8Array(16 * 1024)
const view = new DataView(target.buffer)

function small(value: unknown): Uint8Array | null {
  target.fill(0xee)
  const length = encodeSmallBinary(value, target, view)
  return length === 0 ? null : target.slice(0, length)
}

suite('codec: small arrays in one piece', () => {
  test('are the same bytes that the encoder writes', () => {
    const arrays = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 4095 }),
      fc.float64Array({ minLength: 1, maxLength: 511 }),
      fc.int16Array({ minLength: 1, maxLength: 2047 }),
      fc.bigInt64Array({ minLength: 1, maxLength: 511 }),
      fc.uint8Array({ minLength: 1, maxLength: 4095 }).map(bytes => Buffer.from(bytes)),
      fc.uint8Array({ minLength: 9, maxLength: 500 }).map(bytes => bytes.subarray(3, 8)),
      fc.uint8Array({ minLength: 9, maxLength: 500 }).map(bytes => new DataView(bytes.buffer, 2, 5)),
    )
    fc.assert(
      fc.property(arrays, array => {
        const bytes = small(array)
        assert.deepEqual(bytes, encode(array))
        assert.deepEqual(decode(bytes as Uint8Array), array)
      }),
      { numRuns: 500 },
    )
  })

  test('other values are left to the encoder', () => {
    class Derived extends Uint8Array {}
    const detached = new Uint8Array(8)
    structuredClone(detached, { transfer: [detached.buffer] })
    const resizable = new Uint8Array(new (ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer)(8, { maxByteLength: 16 }))
    const others = [new Uint8Array(4096), new Derived(4), new Uint8Array(0), detached, resizable, new ArrayBuffer(4), [1], 'a', null, 5]
    for (const value of others) assert.equal(small(value), null)
    assert.equal(encodeSmallBinary(new Uint8Array(100), target.subarray(0, 163), view), 0, 'does not fit')
  })
})
