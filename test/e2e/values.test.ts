// SPDX-License-Identifier: Apache-2.0
// Every kind of value that travels, there and back through the store and through a task, and every refusal with its path.

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { get, type ObjectRef, put, registerSerializer, remote, SerializationError } from 'eagleray'
import { Point } from './programs/by-reference.js'
import { begin, end } from './support.js'

const identity = remote((value: unknown) => value)

/** The value after a put and a get, and after a trip to a worker and back. */
async function trips<T>(value: T): Promise<T[]> {
  return [await get(put(value)), (await get(identity.remote(value))) as T, (await get(identity.remote(put(value)))) as T]
}

const typedArrays = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array]

const kinds: Record<string, unknown> = {
  undefined: undefined,
  null: null,
  booleans: [true, false],
  numbers: [0, -0, 1.5, -1, 2 ** 31, -(2 ** 31), 2 ** 53, Number.MAX_VALUE, Number.MIN_VALUE, Number.NaN, Infinity, -Infinity],
  bigints: [0n, -1n, 2n ** 63n, -(2n ** 64n), 10n ** 100n],
  strings: ['', 'text', 'é', '日本語', '🦅', '\u0000', '\ud800', 'x'.repeat(100_000), 'é'.repeat(100_000)],
  'boxed primitives': [Object(1), Object('s'), Object(true), Object(1n)],
  'plain objects': { a: 1, 'b c': { d: [1, { e: null }] }, 3: undefined, __proto__name: 1 },
  'key that is __proto__': JSON.parse('{"__proto__": {"polluted": true}, "a": 1}'),
  'sparse and nested arrays': [[], [1, [2, [3]]], [undefined, null], Array.from({ length: 3 })],
  dates: [new Date(0), new Date('2024-02-29T12:00:00.001Z'), new Date(-1)],
  'regular expressions': [/a+/gi, /^\p{L}$/u],
  maps: [
    new Map<unknown, unknown>([
      [1, 'a'],
      ['k', new Map([[{ o: 1 }, 2]])],
    ]),
    new Map(),
  ],
  sets: [new Set([1, 'a', null]), new Set()],
  'small typed arrays': typedArrays.map(type => Object.assign(new type(3), [1, 2, 3])),
  'large typed arrays': typedArrays.map(type => new type(8192).fill(7)),
  'bigint arrays': [BigInt64Array.of(-1n, 2n), new BigUint64Array(1024).fill(3n)],
  'array buffers': [new ArrayBuffer(8), new ArrayBuffer(20_000), new Uint8Array([1, 2]).buffer],
  'data views': [new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2), new DataView(new ArrayBuffer(9000), 8)],
  buffers: [Buffer.from('small'), Buffer.alloc(10_000, 'x'), Buffer.alloc(0)],
  urls: [new URL('https://example.org/a?b=c#d')],
  'many keys': Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`key${i}`, i])),
}

suite('values', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  for (const [kind, value] of Object.entries(kinds)) {
    test(kind, async () => {
      for (const got of await trips(value)) assert.deepEqual(got, value)
    })
  }

  test('holes stay holes, prototypes are those of this process', async () => {
    // biome-ignore lint/suspicious/noSparseArray: what is tested
    for (const got of await trips([1, , 3])) assert.equal(1 in got, false)
    for (const got of await trips({ when: new Date(5), seen: new Set([1]), text: Buffer.from('a') })) {
      assert.ok(got.when instanceof Date && got.seen instanceof Set && Buffer.isBuffer(got.text))
      assert.equal(Object.getPrototypeOf(got), Object.prototype)
    }
    for (const got of await trips({ polluted: JSON.parse('{"__proto__": {"x": 1}}') as object })) {
      assert.equal(Object.getPrototypeOf(got.polluted), Object.prototype)
      assert.ok(Object.hasOwn(got.polluted, '__proto__'))
    }
  })

  test('a view of a part of a buffer carries what it shows', async () => {
    const whole = Uint8Array.from({ length: 20_000 }, (_, i) => i % 251)
    for (const [from, to] of [
      [1, 5],
      [100, 15_000],
      [4096, 8192],
    ] as const)
      for (const got of await trips(whole.subarray(from, to))) assert.deepEqual(got, whole.slice(from, to))
    const shared = { head: whole.subarray(0, 8), tail: whole.subarray(8) }
    for (const got of await trips(shared))
      assert.deepEqual({ head: got.head.slice(), tail: got.tail.slice() }, { head: whole.slice(0, 8), tail: whole.slice(8) })
  })

  test('errors keep class, message, stack, cause and their own properties', async () => {
    const inner = new RangeError('inner')
    const error = Object.assign(new TypeError('outer', { cause: inner }), { code: 'E_CODE', detail: { list: [1] } })
    for (const got of await trips(error)) {
      assert.ok(got instanceof TypeError)
      assert.equal(got.message, 'outer')
      assert.equal(got.stack, error.stack)
      assert.ok(got.cause instanceof RangeError)
      assert.deepEqual([got.code, got.detail], ['E_CODE', { list: [1] }])
    }
    const several = new AggregateError([new Error('one'), 'two', inner], 'several')
    for (const got of await trips(several)) {
      assert.ok(got instanceof AggregateError)
      assert.equal(got.message, 'several')
      assert.equal((got.errors[0] as Error).message, 'one')
      assert.equal(got.errors[1], 'two')
      assert.ok(got.errors[2] instanceof RangeError)
    }
  })

  test('instances of classes: by the export of their module, or by value', async () => {
    for (const got of await trips({ at: new Point(3, 4) })) {
      assert.ok(got.at instanceof Point)
      assert.equal(got.at.length(), 5)
    }
    class Account {
      entries = new Map([['a', 1]])
      total() {
        return this.entries.get('a')! + 1
      }
    }
    for (const got of await trips(new Account())) {
      assert.ok(got instanceof Account)
      assert.equal(got.total(), 2)
    }
    const total = remote((account: Account) => account.total())
    assert.equal(await get(total.remote(new Account())), 2)
  })

  test('a serializer says how a class travels', async () => {
    class Celsius {
      readonly #degrees: number
      constructor(degrees: number) {
        this.#degrees = degrees
      }
      get degrees() {
        return this.#degrees
      }
    }
    assert.throws(
      () => put({ deep: [new Celsius(1)] }),
      (error: SerializationError) => error instanceof SerializationError && /deep\[0\].*Celsius.#degrees/.test(error.message),
    )
    registerSerializer(Celsius, { name: 'test.Celsius', to: value => value.degrees, from: data => new Celsius(data as number) })
    const got = await get(put({ deep: [new Celsius(21)] }))
    assert.ok(got.deep[0] instanceof Celsius)
    assert.equal(got.deep[0].degrees, 21)
    const there = remote((temperature: Celsius) => temperature.degrees)
    assert.equal(await get(there.remote(new Celsius(5))), 5)
  })

  test('functions and classes travel as values, with what they capture', async () => {
    const offset = 10
    const shift = (n: number) => n + offset
    class Doubler {
      run(n: number) {
        return shift(n) * 2
      }
    }
    const apply = remote((fn: (n: number) => number, make: typeof Doubler, n: number) => [fn(n), new make().run(n)])
    assert.deepEqual(await get(apply.remote(shift, Doubler, 1)), [11, 22])
    const made = await get(remote((by: number) => (n: number) => n * by).remote(3))
    assert.equal(made(5), 15)
  })

  test('remote functions, refs and handles travel inside values', async () => {
    const square = remote((n: number) => n * n)
    const Counter = remote(
      class {
        n = 0
        add(by: number) {
          return (this.n += by)
        }
      },
    )
    const counter = Counter.remote()
    const use = remote(async (tools: { square: typeof square; counter: typeof counter; ref: ObjectRef<number> }) => {
      const squared = await get(tools.square.remote(tools.ref))
      return get(tools.counter.add.remote(squared))
    })
    assert.equal(await get(use.remote({ square, counter, ref: put(3) })), 9)
    const again = await get(put({ list: new Map([[1, counter]]) }))
    assert.equal(await get(again.list.get(1)!.add.remote(1)), 10)
  })

  test('what cannot travel is refused with the path to it', async () => {
    const server = createServer()
    const refusals: [string, unknown, RegExp][] = [
      ['a symbol', { a: [1, { tag: Symbol('x') }] }, /a\[1\]\.tag/],
      ['a weak map', { cache: new WeakMap() }, /cache/],
      ['a weak ref', [new WeakRef({})], /\[0\]/],
      ['a promise', { later: Promise.resolve(1) }, /later/],
      ['a server', { client: { socket: server } }, /client\.socket/],
      ['inside a map', new Map([['k', { gen: (function* () {})() }]]), /gen/],
    ]
    for (const [what, value, path] of refusals) {
      const refusedAs = (prefix: RegExp) => (error: SerializationError) => {
        assert.ok(error instanceof SerializationError, `${what}: ${error}`)
        assert.match(error.path, path, what)
        assert.match(error.path, prefix, what)
        assert.ok(error.message.includes(error.path), error.message)
        return true
      }
      assert.throws(() => put(value), refusedAs(/./))
      assert.throws(() => identity.remote(value), refusedAs(/^args\[0\]/))
    }
    // Refused over there: the task fails with the refusal, the worker lives.
    const bad = remote(() => ({ result: { odd: Symbol('x') } }))
    await assert.rejects(get(bad.remote()), (error: Error) => {
      assert.match(`${error.message} ${(error.cause as Error | undefined)?.message}`, /result\.odd/)
      return true
    })
    assert.equal(await get(identity.remote('alive')), 'alive')
  })
})
