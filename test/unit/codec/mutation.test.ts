// SPDX-License-Identifier: Apache-2.0
// A mutational fuzzer over encoded values and tables: takes what is encoded, changes, joins and cuts it, keeps what came out for
// more changes, and reads it. Seeded, so that a failure can be had again; bounded by rounds, or by time with FUZZ_MINUTES.

import assert from 'node:assert/strict'
import * as arrow from 'apache-arrow'
import { Decoder } from '#lib/codec/value.js'
import { SerializationError, WireError } from '#lib/errors.js'
import { encode, fakeFunctions, fakeReferences } from './codecs.js'

const minutes = Number(process.env.FUZZ_MINUTES ?? 0)
const seed = Number(process.env.FUZZ_SEED ?? 20_261)
const rounds = minutes > 0 ? Number.POSITIVE_INFINITY : 6000
const corpusMost = 400

/** Numbers from 0 up to `below`, the same for the same seed (xorshift32). */
function randomOf(state: number): (below: number) => number {
  let x = state | 1
  return below => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % below
  }
}

function tables(): unknown[] {
  const nested = new arrow.Field(
    'n',
    new arrow.List(new arrow.Field('item', new arrow.Struct([new arrow.Field('a', new arrow.Int32(), true)]), true)),
    true,
  )
  const rows = Array.from({ length: 20 }, (_, i) => (i % 5 === 0 ? null : [{ a: i }, { a: i % 3 === 0 ? null : -i }]))
  return [
    arrow.tableFromArrays({ x: Float64Array.of(1, 2, 3), s: ['a', 'b', 'a'], b: [true, false, null] }),
    new arrow.Table({ words: arrow.vectorFromArray(['a', 'bc', null, 'def'], new arrow.Utf8()) }),
    new arrow.Table({ kinds: arrow.vectorFromArray(['x', 'y', 'x', null], new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8())) }),
    new arrow.Table({ lists: arrow.vectorFromArray(rows, nested.type) }),
    new arrow.Table({ big: arrow.vectorFromArray([1n, 2n, null, 4n], new arrow.Int64()) }),
    new arrow.Table({ bytes: arrow.vectorFromArray([Uint8Array.of(1, 2), null, Uint8Array.of()], new arrow.Binary()) }),
    new arrow.Table({ views: arrow.vectorFromArray(['in place', 'too long to be in place', null], new arrow.Utf8View()) }),
  ]
}

function values(): unknown[] {
  return [
    { a: [1, 2, { b: 'c' }], d: null, e: new Map([[1, new Set(['x'])]]) },
    [new Uint8Array(4200).fill(7), new Float64Array(600), new ArrayBuffer(24)],
    new Error('m', { cause: new TypeError('t') }),
    [10n ** 30n, new Date(5), /a/g, -0, 'é'.repeat(40)],
  ]
}

const edges = [0, 1, 0x7f, 0x80, 0xff]

/** One to eight changes; words that could be a count or an offset are set to what is just beyond. */
function mutate(bytes: Uint8Array, other: Uint8Array, random: (below: number) => number): Uint8Array {
  let out = bytes.slice()
  for (let left = 1 + random(8); left > 0 && out.length > 0; left--) {
    const at = random(out.length)
    switch (random(7)) {
      case 0:
        out[at] = (out[at] as number) ^ (1 << random(8))
        break
      case 1:
        out[at] = edges[random(edges.length)] as number
        break
      case 2:
        out = out.slice(0, at)
        break
      case 3: {
        const length = Math.min(random(32), out.length - at)
        out.copyWithin(random(out.length), at, at + length)
        break
      }
      case 4: {
        const from = random(other.length)
        out.set(other.subarray(from, from + Math.min(64, out.length - at, other.length - from)), at)
        break
      }
      default: {
        if (out.length < 8) break
        const view = new DataView(out.buffer, out.byteOffset, out.length)
        const word = Math.min(at & ~3, out.length - 4)
        const old = view.getUint32(word, true)
        view.setUint32(
          word,
          [old + 1, old - 1, old * 2, out.length, out.length - word, 0x7f_ff_ff_ff, 0xff_ff_ff_ff][random(7)] as number,
          true,
        )
      }
    }
  }
  return out
}

/** Reads all of it, as a program would. */
function readAll(value: unknown): void {
  if (!(value instanceof arrow.Table)) return
  for (const column of value.schema.names) {
    const vector = value.getChild(column)
    for (let i = 0; vector !== null && i < Math.min(vector.length, 50); i++) readOne(() => vector.get(i))
  }
}

/** Any 64 bits are a date or a time in Arrow; those that are none in JavaScript apache-arrow refuses, each by itself. */
function readOne(read: () => unknown): void {
  try {
    read()
  } catch (error) {
    if (!/is not safe to convert to a number/.test((error as Error).message)) throw error
  }
}

suite('codec: mutations', () => {
  test('of encoded values and tables give a value or an error', function () {
    this.timeout(minutes > 0 ? (minutes + 1) * 60_000 : 60_000)
    const random = randomOf(seed)
    const decoder = new Decoder({ references: fakeReferences, functions: fakeFunctions({}) })
    const corpus: Uint8Array[] = [...tables(), ...values()].map(value => encode(value))
    const end = performance.now() + minutes * 60_000
    let read = 0
    for (let round = 0; round < rounds && (minutes === 0 || performance.now() < end); round++) {
      const from = corpus[random(corpus.length)] as Uint8Array
      const bytes = mutate(from, corpus[random(corpus.length)] as Uint8Array, random)
      try {
        readAll(decoder.decode(bytes, random(2) === 0))
        read++
        if (corpus.length < corpusMost) corpus.push(bytes)
      } catch (error) {
        assert.ok(
          error instanceof WireError || error instanceof SerializationError,
          `seed ${seed}, round ${round}: ${String((error as Error)?.stack ?? error)}\n${Buffer.from(bytes).toString('base64')}`,
        )
      }
    }
    assert.ok(read > 0, 'some changed bytes are still read')
  })
})
