// SPDX-License-Identifier: Apache-2.0
// Any bytes give a value or a WireError (or, where they name what is missing here, a SerializationError): never another
// exception, a crash, a hang, or memory beyond what the bytes themselves could hold.

import assert from 'node:assert/strict'
import * as arrow from 'apache-arrow'
import fc from 'fast-check'
import { decodeError, encodeError, encodeThrown } from '#lib/codec/error-value.js'
import { type CodecContext, Decoder, registerSerializer } from '#lib/codec/value.js'
import { SerializationError, WireError } from '#lib/errors.js'
import { encode, FakeRef, fakeFunctions, fakeReferences, withHole } from './codecs.js'

class Shape {
  sides = 3
}
class Sealed {
  #n: number
  constructor(n: number) {
    this.#n = n
  }
  get n(): number {
    return this.#n
  }
}
class Odd extends Map {
  extra = 1
}
class Broken extends Error {
  why = 'x'
}
registerSerializer(Sealed, { name: 'test.Sealed', to: s => ({ n: s.n }), from: d => new Sealed(d.n) })

const context: CodecContext = { references: fakeReferences, functions: fakeFunctions({ Shape, Odd, Broken }) }
const buffer = Uint8Array.from({ length: 5000 }, (_, i) => i).buffer
const odd = new Odd()
odd.set(1, 2)
const self: Record<string, unknown> = { n: 1 }
self.self = self
const sparse: unknown[] = []
sparse[1000] = 1

const samples: Uint8Array[] = [
  1,
  -1.5,
  'text',
  'é'.repeat(50),
  '\ud800',
  10n,
  { a: [1, 2, { b: 'c' }], d: null },
  [1.5, 2.5, -3, 400, 70_000, 2 ** 40],
  self,
  withHole(undefined, 3),
  sparse,
  new Map<unknown, unknown>([['a', new Set([1, 'b'])]]),
  [new Date(1e12), /a+/g, 10n ** 30n, Symbol.for('s'), Object('x'), new URL('https://a.example')],
  [new Uint8Array(buffer, 0, 4500), new Float64Array(buffer, 8, 20), buffer],
  [new Uint8Array(buffer, 3, 4096), new Uint8Array(buffer, 10, 100)],
  new Float64Array(600),
  Buffer.from('bytes'),
  new ArrayBuffer(10),
  [new Shape(), odd, Shape],
  new Sealed(4),
  [new Sealed(1), new Sealed(2)],
  [new Broken('b', { cause: new AggregateError([new TypeError('t')], 'm') }), new DOMException('d', 'AbortError')],
  new FakeRef(1),
  [new FakeRef(1), new FakeRef(2), new FakeRef(3)],
  { ref: new FakeRef(4) },
].map(value => encode(value, context))
const failures = [
  encodeThrown(new Broken('b'), 'task', context),
  encodeError(new WireError('w'), context),
  encodeThrown('text', 'task', context),
]
const table = encode(arrow.tableFromArrays({ x: Float64Array.of(1, 2, 3), s: ['a', 'b', 'a'] }))

const decoder = new Decoder(context)

function survives(bytes: Uint8Array, read: (bytes: Uint8Array) => unknown): void {
  try {
    read(bytes)
  } catch (error) {
    if (!(error instanceof WireError || error instanceof SerializationError)) throw error
  }
}

function readBothWays(bytes: Uint8Array): void {
  decoder.holdsViews(bytes)
  survives(bytes, b => decoder.prepare(b))
  survives(bytes, b => decoder.decode(b, true))
  survives(bytes, b => decoder.decode(b, false))
}

interface Change {
  at: number
  kind: 'set' | 'insert' | 'delete' | 'cut' | 'big'
  byte: number
}
const changes = fc.array(
  fc.record<Change>({
    at: fc.nat(1 << 20),
    kind: fc.constantFrom('set', 'set', 'set', 'insert', 'delete', 'cut', 'big'),
    byte: fc.nat(255),
  }),
  { minLength: 1, maxLength: 6 },
)

function mutate(original: Uint8Array, list: Change[], within = original.length): Uint8Array {
  let bytes = [...original]
  for (const { at, kind, byte } of list) {
    const place = at % Math.max(1, Math.min(within, bytes.length))
    if (kind === 'set') bytes[place] = byte
    else if (kind === 'insert') bytes.splice(place, 0, byte)
    else if (kind === 'delete') bytes.splice(place, 1)
    else if (kind === 'cut') bytes = bytes.slice(0, place)
    else for (let i = 0; i < 4 && place + i < bytes.length; i++) bytes[place + i] = 0xff
  }
  return Uint8Array.from(bytes)
}

suite('codec: fuzz', () => {
  test('the samples themselves are read', () => {
    for (const bytes of [...samples, table]) decoder.decode(bytes, true)
  })

  test('random bytes', () => {
    const tagged = fc.tuple(fc.constantFrom(1, 5, 8, 16, 17, 18, 19, 20), fc.uint8Array({ maxLength: 200 }))
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          tagged.map(([tag, rest]) => Uint8Array.of(tag, 1, ...rest)),
        ),
        readBothWays,
      ),
      { numRuns: 3000 },
    )
  })

  test('random payloads behind a sound header', () => {
    fc.assert(
      fc.property(fc.constantFrom(18, 19), fc.uint8Array({ maxLength: 200 }), (tag, rest) => {
        readBothWays(Uint8Array.of(tag, 1, 0, 0, 0, 0, 0, 0, rest.length, 0, 0, 0, 0, 0, 0, 0, ...rest))
      }),
      { numRuns: 5000 },
    )
  })

  test('values with some bytes changed', () => {
    fc.assert(
      fc.property(fc.constantFrom(...samples), changes, (bytes, list) => readBothWays(mutate(bytes, list, 600))),
      { numRuns: 5000 },
    )
  })

  test('every single byte of every sample set to its extremes', () => {
    for (const sample of samples) {
      for (let at = 0; at < Math.min(sample.length, 120); at++) {
        for (const byte of [0, 0x7f, 0xc9, 0xdf, 0xff]) {
          const bytes = sample.slice()
          bytes[at] = byte
          readBothWays(bytes)
        }
      }
    }
  })

  test('tables with some bytes changed', () => {
    fc.assert(
      fc.property(changes, list => readBothWays(mutate(table, list))),
      { numRuns: 1500 },
    )
  })

  test('every word of a table set to what could be a count or an offset', () => {
    const names = arrow.vectorFromArray(['a', 'a name too long to lie in the view itself'], new arrow.Utf8View())
    for (const sample of [table, encode(new arrow.Table({ names }))]) {
      for (let at = 64; at + 4 <= sample.length; at += 4) {
        for (const word of [0, 4, 0xff_ff_ff, 0x7f_ff_ff_ff, 0xff_ff_ff_ff]) {
          const bytes = sample.slice()
          new DataView(bytes.buffer).setUint32(at, word, true)
          survives(bytes, b => decoder.decode(b, true))
        }
      }
    }
  })

  test('failures with some bytes changed', () => {
    fc.assert(
      fc.property(fc.constantFrom(...failures), changes, (bytes, list) => survives(mutate(bytes, list), b => decodeError(b, context))),
      { numRuns: 3000 },
    )
  })

  test('counts beyond the bytes are refused before anything is allocated', () => {
    const huge = [0xff, 0xff, 0xff, 0xff]
    const payloads = [
      [0xdd, ...huge],
      [0xdf, ...huge],
      [0xdb, ...huge],
      [0xc6, ...huge],
      [0xc9, ...huge, 2],
      [0xd6, 18, ...huge],
      [0xd6, 19, ...huge],
      [0xd6, 1, ...huge],
      [0xc7, 32, 23, 4, 0, 0, 0, ...huge, ...new Array(24).fill(0)],
      new Array(5000).fill(0x91),
    ]
    for (const payload of payloads) {
      for (const tag of [18, 19]) {
        const bytes = Uint8Array.of(tag, 1, 0, 0, 0, 0, 0, 0, payload.length & 0xff, payload.length >> 8, 0, 0, 0, 0, 0, 0, ...payload)
        assert.throws(() => decoder.decode(bytes, false), WireError)
      }
    }
  })

  test('regions that overlap, or lie outside, are refused', () => {
    const bytes = encode([new Float64Array(600), new Float64Array(600)])
    const view = new DataView(bytes.buffer)
    const tableAt = Math.ceil((16 + view.getUint32(8, true)) / 8) * 8
    for (const [entry, value] of [
      [tableAt + 16, view.getUint32(tableAt, true)],
      [tableAt + 8, 2 ** 31],
      [tableAt, 64_000_000],
      [tableAt, view.getUint32(tableAt, true) + 8],
    ] as const) {
      const before = view.getUint32(entry, true)
      view.setUint32(entry, value, true)
      assert.throws(() => decoder.decode(bytes, true), WireError)
      view.setUint32(entry, before, true)
    }
    decoder.decode(bytes, true)
  })

  test('a newer version is refused and says so', () => {
    for (const value of [{ a: 1 }, [new Date()], new Float64Array(3), [new FakeRef(1)]]) {
      const bytes = encode(value, context)
      bytes[1] = 2
      assert.throws(
        () => decoder.decode(bytes, true),
        (error: Error) => error instanceof WireError && /version 2/.test(error.message),
      )
    }
  })
})
