// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import vm from 'node:vm'
import fc from 'fast-check'
import { Encoder } from '#lib/codec/value.js'
import { decode, encode, fakeReferences, nothing, roundTrip } from './codecs.js'

const keys = fc.oneof(
  fc.string({ maxLength: 8 }),
  fc.string({ unit: 'binary', maxLength: 4 }),
  fc.constantFrom('__proto__', 'constructor', 'length', '0', '17', ''),
)
const typed = fc.oneof(
  fc.uint8Array(),
  fc.int16Array(),
  fc.uint32Array(),
  fc.float32Array(),
  fc.float64Array(),
  fc.uint8ClampedArray(),
  fc.bigInt64Array(),
  fc.bigUint64Array(),
  fc.uint8Array({ minLength: 4096, maxLength: 5000 }),
)
const leaf = fc.oneof(
  fc.constantFrom(undefined, null, true, false, -0, Number.NaN),
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt(),
  fc.string({ unit: 'binary' }),
  fc.date({ noInvalidDate: true }),
  typed,
  fc.constantFrom(/a+/gi, /[^/]\//u, /(?:)/),
  fc.constantFrom(Object(1), Object('text'), Object(false), Object(10n)),
  fc.uint8Array().map(bytes => bytes.buffer),
  fc.uint8Array().map(bytes => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
)
const { value: anything } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value')),
    fc.array(fc.double()),
    fc
      .array(tie('value'))
      .map(elements => elements.filter((_, i) => i % 3 !== 1 || delete elements[i]))
      .map(_ => _),
    fc.sparseArray(tie('value'), { maxLength: 200 }),
    fc.dictionary(keys, tie('value'), { noNullPrototype: true }),
    fc.array(fc.tuple(tie('value'), tie('value'))).map(entries => new Map(entries)),
    fc.array(tie('value')).map(elements => new Set(elements)),
  ),
}))

suite('codec: round trip', () => {
  test('any structured value comes back equal, and as structured clone would give it', () => {
    fc.assert(
      fc.property(anything, value => {
        const back = roundTrip(value)
        assert.deepStrictEqual(back, value)
        assert.deepStrictEqual(back, structuredClone(value))
        assert.deepStrictEqual(roundTrip(value, nothing, true), value)
      }),
      { numRuns: 400 },
    )
  })

  test('one Encoder serves any sequence of values', () => {
    const encoder = new Encoder(nothing)
    fc.assert(
      fc.property(anything, value => {
        const encoded = encoder.encode(value)
        assert.equal(encoded.byteLength, encode(value).byteLength)
        assert.deepStrictEqual(Buffer.from(encoded.head), Buffer.from(encode(value).subarray(0, encoded.head.length)))
      }),
    )
  })

  test('aliasing inside a value is kept', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(19), fc.nat(19), fc.boolean()), { maxLength: 60 }), edges => {
        const build = (): object[] => {
          const parts: object[] = Array.from({ length: 20 }, (_, i) => (i % 3 === 0 ? [i] : i % 3 === 1 ? { i } : new Map([['i', i]])))
          edges.forEach(([from, to, asKey], edge) => {
            const part = parts[from]!
            if (Array.isArray(part)) part.push(parts[to])
            else if (part instanceof Map) part.set(asKey ? parts[to] : edge, asKey ? edge : parts[to])
            else (part as Record<string, unknown>)[`e${edge}`] = parts[to]
          })
          return parts
        }
        const back = roundTrip(build())
        assert.deepStrictEqual(back, build())
        assert.equal(shape(back), shape(build()))
      }),
    )
  })

  test('cycles close', () => {
    const self: Record<string, unknown> = {}
    self.self = self
    self.list = [self, new Map([[self, new Set([self])]])]
    const back = roundTrip(self)
    assert.equal(back.self, back)
    const [first, map] = back.list as [unknown, Map<unknown, Set<unknown>>]
    assert.equal(first, back)
    assert.ok(map.get(back)!.has(back))
  })

  test('own properties that are no elements of an array stay', () => {
    const match = 'abcabc'.match(/(?<letter>b)/)!
    const back = roundTrip(match)
    assert.deepStrictEqual({ ...back }, { ...match })
    assert.equal(back.index, 1)
    assert.equal(back.groups!.letter, 'b')
    const long: number[] & { unit?: string } = Array.from({ length: 1000 }, (_, i) => i)
    long.unit = 'm'
    assert.equal(roundTrip(long).unit, 'm')
  })

  test('an array with few elements in a large space stays small', () => {
    const sparse: unknown[] = []
    sparse[4_000_000_000] = { last: true }
    sparse[7] = 'seven'
    const bytes = encode(sparse)
    assert.ok(bytes.length < 100)
    const back = decode(bytes) as unknown[]
    assert.equal(back.length, 4_000_000_001)
    assert.deepStrictEqual(Object.keys(back), ['7', '4000000000'])
    const dense = Array.from({ length: 500 }, (_, i) => ({ i }))
    delete dense[3]
    assert.deepStrictEqual(roundTrip(dense), dense)
    const holes: unknown[] = [{}, {}]
    holes.length = 300
    holes[299] = holes[0]
    const again = roundTrip(holes)
    assert.deepStrictEqual(again, holes)
    assert.equal(again[299], again[0])
  })

  test('objects without a prototype, URLs, registered symbols and boxed values keep their kind', () => {
    const bare = Object.assign(Object.create(null) as Record<string, unknown>, { a: 1, __proto__: 2 })
    const value = {
      bare,
      url: new URL('https://a.example/b?c=d#e'),
      params: new URLSearchParams('a=1&a=2'),
      symbol: Symbol.for('shared'),
      boxed: Object('x'),
    }
    const back = roundTrip(value)
    assert.equal(Object.getPrototypeOf(back.bare), null)
    assert.deepStrictEqual(back.bare, bare)
    assert.equal(back.url.href, value.url.href)
    assert.equal(back.params.toString(), 'a=1&a=2')
    assert.equal(back.symbol, value.symbol)
    assert.equal(typeof back.boxed, 'object')
    assert.equal(String(back.boxed), 'x')
  })

  test('a key named __proto__ is a property and no prototype', () => {
    const back = roundTrip(JSON.parse('{"__proto__":{"admin":true}}') as Record<string, unknown>)
    assert.equal(Object.getPrototypeOf(back), Object.prototype)
    assert.equal(back.admin, undefined)
    assert.deepStrictEqual(Object.keys(back), ['__proto__'])
  })

  test('objects of another realm come back as ours', () => {
    const value = vm.runInNewContext(
      '({ list: [1, new Map([[1, 2]]), new Date(5), new Uint8Array([1, 2])], error: new RangeError("far") })',
    ) as { list: unknown[]; error: Error }
    const back = roundTrip(value)
    assert.deepStrictEqual(back.list, [1, new Map([[1, 2]]), new Date(5), Uint8Array.of(1, 2)])
    assert.ok(back.error instanceof RangeError)
    assert.equal(back.error.message, 'far')
  })

  test('getters are read once each, and symbol keys are left out', () => {
    let reads = 0
    const value = {
      get size() {
        return ++reads
      },
      [Symbol.for('hidden')]: 1,
    }
    const bytes = encode(value)
    assert.equal(reads, 1)
    assert.deepStrictEqual(decode(bytes), { size: 1 })
  })

  test('a list of a thousand levels comes back', () => {
    let list: unknown = null
    for (let i = 0; i < 1000; i++) list = { next: list }
    assert.deepStrictEqual(roundTrip(list), list)
  })

  test('an Encoder may be used again while it encodes', () => {
    const encoder = new Encoder({
      functions: null,
      references: {
        ...fakeReferences,
        encode: value => {
          encoder.encode({ meanwhile: [value] })
          return fakeReferences.encode(value)
        },
      },
    })
    const bytes = encoder.encode({ list: [1, new URL('https://a.example')] })
    assert.deepStrictEqual(Buffer.from(bytes.head), Buffer.from(encode({ list: [1, new URL('https://a.example')] })))
  })
})

/** The graph as text: each object as its number by first appearance. */
function shape(value: unknown, numbers = new Map<unknown, number>()): string {
  if (typeof value !== 'object' || value === null) return String(value)
  const known = numbers.get(value)
  if (known !== undefined) return `#${known}`
  numbers.set(value, numbers.size)
  const parts = value instanceof Map ? [...value].flat() : Object.values(value)
  return `(${parts.map(part => shape(part, numbers)).join(' ')})`
}
