// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Decoder, Encoder, encodeArrayHeader } from '#lib/codec/value.js'
import { SerializationError } from '#lib/errors.js'
import { decode, encode, nothing, roundTrip } from './codecs.js'

const KIB = 1024
const classes = [
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
]

function filled(bytes: number): ArrayBuffer {
  return Uint8Array.from({ length: bytes }, (_, i) => i * 7 + (i >> 8)).buffer
}

suite('codec: arrays', () => {
  test('of every class come back as that class, alone and nested, small and large', () => {
    for (const type of classes) {
      for (const bytes of [0, 16, 4 * KIB - 8, 4 * KIB, 64 * KIB]) {
        const array = new type(filled(bytes))
        for (const zeroCopy of [false, true]) {
          assert.deepStrictEqual(roundTrip(array, nothing, zeroCopy), array)
          assert.deepStrictEqual(roundTrip({ deep: [array] }, nothing, zeroCopy), { deep: [array] })
        }
      }
    }
    for (const bytes of [0, 10, 8 * KIB]) {
      const buffer = filled(bytes)
      for (const value of [buffer, new DataView(buffer), Buffer.from(buffer)]) {
        assert.deepStrictEqual(roundTrip(value, nothing, true), value)
        assert.deepStrictEqual(roundTrip([value], nothing, true), [value])
      }
    }
  })

  test('a Buffer stays a Buffer, a Float16Array one where there is one', () => {
    assert.ok(Buffer.isBuffer(roundTrip(Buffer.from('text'))))
    assert.equal(roundTrip({ b: Buffer.from('text') }).b.toString(), 'text')
    assert.ok(!Buffer.isBuffer(roundTrip([Uint8Array.of(1)])[0]))
    const Float16 = (globalThis as { Float16Array?: Float32ArrayConstructor }).Float16Array
    if (Float16 !== undefined) assert.deepStrictEqual(roundTrip([Float16.of(1.5, -0)]), [Float16.of(1.5, -0)])
  })

  test('large ones are handed out uncopied, at multiples of 64', () => {
    const array = new Float64Array(filled(8 * KIB))
    for (const value of [array, { a: 1, array, again: [array] }]) {
      const encoded = new Encoder(nothing).encode(value)
      assert.equal(encoded.buffers.length, 1)
      assert.equal(encoded.buffers[0]!.buffer, array.buffer)
      assert.equal(encoded.offsets[0]! % 64, 0)
      assert.equal(encoded.byteLength, encoded.offsets[0]! + 8 * KIB)
    }
  })

  test('only the bytes a view shows are carried', () => {
    const whole = filled(1024 * KIB)
    const view = new Float32Array(whole, 512 * KIB, 2 * KIB)
    for (const value of [view, [view], { small: new Uint8Array(whole, 5, 3) }]) {
      const bytes = encode(value)
      assert.ok(bytes.length < 9 * KIB)
      assert.deepStrictEqual(decode(bytes), value)
    }
  })

  test('from 4 KiB on they are views over the envelope when nothing is copied, else their own memory', () => {
    const value = {
      large: new Float64Array(filled(4 * KIB)),
      small: new Float64Array(filled(4 * KIB - 8)),
      buffer: Buffer.from(filled(5 * KIB)),
    }
    const bytes = encode(value)
    const seen = decode(bytes, nothing, true) as typeof value
    assert.equal(seen.large.buffer, bytes.buffer)
    assert.equal(seen.large.byteOffset % 64, 0)
    assert.equal(seen.buffer.buffer, bytes.buffer)
    assert.notEqual(seen.small.buffer, bytes.buffer)
    const copied = decode(bytes) as typeof value
    bytes.fill(0)
    assert.deepStrictEqual(copied, value)
    assert.equal(seen.large[1], 0)
  })

  test('a misaligned envelope is copied', () => {
    const value = [new Float64Array(filled(8 * KIB)), filled(10)]
    const bytes = encode(value)
    const shifted = new Uint8Array(bytes.length + 4).subarray(4)
    shifted.set(bytes)
    const back = decode(shifted, nothing, true) as typeof value
    assert.deepStrictEqual(back, value)
    assert.notEqual((back[0] as Float64Array).buffer, shifted.buffer)
  })

  test('holdsViews tells which values need their memory kept', () => {
    const decoder = new Decoder(nothing)
    const large = filled(4 * KIB)
    for (const value of [new Uint8Array(large), { a: [new DataView(large)] }, Buffer.from(large)])
      assert.equal(decoder.holdsViews(encode(value)), true)
    for (const value of [1, 'text', { a: 1 }, new Uint8Array(4 * KIB - 1), large, [large], [new Uint8Array(10)]])
      assert.equal(decoder.holdsViews(encode(value)), false)
  })

  test('views that overlap go on sharing memory', () => {
    const range = fc.tuple(fc.nat(100), fc.nat(6000)).map(([from, length]) => [from * 64, length] as const)
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 6 }), fc.boolean(), (ranges, zeroCopy) => {
        const memory = filled(16 * KIB)
        const views = ranges.map(([from, length]) => new Uint8Array(memory, from, length))
        const back = roundTrip(views, nothing, zeroCopy)
        assert.deepStrictEqual(back, views)
        for (const [i, view] of views.entries()) {
          if (view.length === 0) continue
          view[0]! ^= 0xff
          back[i]![0]! ^= 0xff
          assert.deepStrictEqual(back, views)
        }
      }),
    )
  })

  test('overlapping views of different element sizes stay aligned', () => {
    const memory = filled(8 * KIB)
    const value = [new Uint8Array(memory, 3, 5000), new Float64Array(memory, 8, 600), new Uint16Array(memory, 2, 10)]
    for (const zeroCopy of [false, true]) {
      const back = roundTrip(value, nothing, zeroCopy)
      assert.deepStrictEqual(back, value)
      assert.equal(back[0]!.buffer, back[1]!.buffer)
    }
  })

  suite('parts of the envelope as ArrayBuffers', () => {
    /** Memory of its own stands for what cannot be made without a store. */
    const parting = (value: unknown) => {
      const bytes = encode(value)
      const asked: { offset: number; length: number; buffer: ArrayBuffer }[] = []
      const part = (region: Uint8Array): ArrayBuffer => {
        assert.equal(region.buffer, bytes.buffer)
        const buffer = region.slice().buffer as ArrayBuffer
        asked.push({ offset: region.byteOffset, length: region.byteLength, buffer })
        return buffer
      }
      return { bytes, asked, decode: (zeroCopy = true) => new Decoder(nothing).decode(bytes, zeroCopy, part) }
    }

    test('ArrayBuffers from 4 KiB on, alone and nested, with views over them', () => {
      const memory = filled(8 * KIB)
      for (const [value, find] of [
        [memory, (got: unknown) => got],
        [{ deep: [memory] }, (got: unknown) => (got as { deep: unknown[] }).deep[0]],
        [{ view: new Uint16Array(memory, 64, 8), memory, again: memory }, (got: unknown) => (got as { memory: unknown }).memory],
      ] as const) {
        const { asked, decode: read } = parting(value)
        const got = read()
        assert.deepStrictEqual(got, value)
        assert.deepEqual(
          asked.map(each => [each.offset % 64, each.length]),
          [[0, 8 * KIB]],
        )
        assert.equal(find(got), asked[0]!.buffer)
        const { view, again } = got as { view?: Uint16Array; again?: ArrayBuffer }
        if (again !== undefined) assert.ok(again === asked[0]!.buffer && view!.buffer === again)
      }
      const two = parting([memory, filled(4 * KIB), new Uint8Array(filled(4 * KIB))])
      two.decode()
      assert.equal(two.asked.length, 2)
    })

    test('nothing small, shared, resizable or read with copies is asked for', () => {
      const resizable = new (ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer)(8 * KIB, { maxByteLength: 16 * KIB })
      for (const value of [[filled(4 * KIB - 1)], [new SharedArrayBuffer(8 * KIB)], [resizable], [new Uint8Array(filled(8 * KIB))]]) {
        const { asked, decode: read } = parting(value)
        assert.deepStrictEqual(read(), value)
        assert.equal(asked.length, 0)
      }
      const copied = parting([filled(8 * KIB)])
      copied.decode(false)
      assert.equal(copied.asked.length, 0)
    })

    test('where there is no part, it is a copy', () => {
      const value = [filled(8 * KIB)]
      assert.deepStrictEqual(
        new Decoder(nothing).decode(encode(value), true, () => null),
        value,
      )
    })
  })

  test('an ArrayBuffer of the value is that of its views', () => {
    for (const bytes of [32, 16 * KIB]) {
      const memory = filled(bytes)
      const value = { before: new Uint8Array(memory, 8, 8), memory, after: new Float64Array(memory, 16), twice: memory }
      const back = roundTrip(value, nothing, true)
      assert.deepStrictEqual(back, value)
      assert.equal(back.before.buffer, back.memory)
      assert.equal(back.after.buffer, back.memory)
      assert.equal(back.twice, back.memory)
      assert.equal(back.memory.byteLength, bytes)
    }
  })

  test('shared memory is copied, and stays shared between the parts of the value', () => {
    const memory = new SharedArrayBuffer(64)
    const view = new Uint8Array(memory, 0, 16).fill(9)
    const back = roundTrip({ memory, view })
    assert.ok(back.memory instanceof SharedArrayBuffer)
    assert.equal(back.view.buffer, back.memory)
    assert.notEqual(back.memory, memory)
    assert.deepStrictEqual([...back.view], new Array(16).fill(9))
    assert.deepStrictEqual([...roundTrip(view)], new Array(16).fill(9))
    assert.ok(roundTrip(memory) instanceof SharedArrayBuffer)
  })

  test('a resizable ArrayBuffer stays resizable', () => {
    const memory = new (
      ArrayBuffer as unknown as new (
        n: number,
        o: object,
      ) => ArrayBuffer & { resizable: boolean; maxByteLength: number }
    )(8, { maxByteLength: 32 })
    for (const back of [roundTrip(memory), roundTrip([memory])[0]!]) {
      assert.equal(back.resizable, true)
      assert.equal(back.maxByteLength, 32)
      assert.equal(back.byteLength, 8)
    }
  })

  test('memory that was given away is refused', () => {
    const memory = filled(64)
    const view = new Uint8Array(memory)
    structuredClone(memory, { transfer: [memory] })
    for (const value of [memory, view, { deep: view }]) {
      assert.throws(
        () => encode(value),
        (error: Error) => error instanceof SerializationError && /transferred away/.test(error.message),
      )
    }
  })

  test('an array written in place has the envelope of an encoded one', () => {
    for (const type of [...classes, Buffer]) {
      const length = 3000
      const place = encodeArrayHeader(type, length)
      const bytes = new Uint8Array(place.byteLength)
      bytes.set(place.head)
      const size = 'BYTES_PER_ELEMENT' in type ? type.BYTES_PER_ELEMENT : 1
      const elements = new Uint8Array(filled(length * size))
      bytes.set(elements, place.offset)
      const whole = type === Buffer ? Buffer.from(elements.buffer) : new (type as Uint8ArrayConstructor)(elements.buffer)
      assert.deepStrictEqual(bytes, encode(whole))
      assert.deepStrictEqual(decode(bytes, nothing, true), whole)
    }
    assert.throws(() => encodeArrayHeader(DataView as never, 1), TypeError)
  })
})
