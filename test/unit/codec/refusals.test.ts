// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { createHash, createSecretKey } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { open } from 'node:fs/promises'
import { Server, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { format } from '#lib/codec/envelope.js'
import { type CodecContext, Decoder, Encoder } from '#lib/codec/value.js'
import { SerializationError } from '#lib/errors.js'
import { fakeFunctions, nothing } from './codecs.js'

/** One that would take any function: what is refused is refused before it is asked. */
const eager: CodecContext = { references: null, functions: { ...fakeFunctions({}), encode: fn => Buffer.from(fn.name) } }

function refused(value: unknown, place: string, words: RegExp, context = eager): void {
  assert.throws(
    () => new Encoder(context).encode(value, 'args[0]'),
    (error: Error) => {
      assert.ok(error instanceof SerializationError, String(error))
      assert.equal(error.path, place)
      assert.ok(error.message.startsWith(`${place}: `), error.message)
      assert.match(error.message, words)
      return true
    },
  )
}

suite('codec: refusals', () => {
  test("the contract's example", () => {
    refused({ client: { socket: new Socket() } }, 'args[0].client.socket', /^args\[0\]\.client\.socket: a Socket cannot be serialised/)
  })

  test('name the place in every container', () => {
    const culprit = new WeakMap()
    const key = { key: true }
    const words = /a WeakMap cannot be serialised/
    refused(culprit, 'args[0]', words)
    refused([1, [culprit]], 'args[0][1][0]', words)
    refused({ 'two words': { ok: 1, $fine: culprit } }, 'args[0]["two words"].$fine', words)
    refused({ 0: culprit }, 'args[0]["0"]', words)
    refused(
      new Map<unknown, unknown>([
        ['a', 1],
        ['b', culprit],
      ]),
      'args[0].get("b")',
      words,
    )
    refused(new Map<unknown, unknown>([[key, culprit]]), 'args[0].get({Object})', words)
    refused(
      new Map<unknown, unknown>([
        [1, 2],
        [culprit, 1],
      ]),
      'args[0].keys()[1]',
      words,
    )
    refused(new Set([1, culprit]), 'args[0].values()[1]', words)
    refused(new Error('e', { cause: { culprit } }), 'args[0].cause.culprit', words)
    refused(Object.assign(new Error('e'), { culprit }), 'args[0].culprit', words)
    refused(Object.assign(Object.create(null), { culprit }), 'args[0].culprit', words)
    refused({ done: [[1, 2], { a: [] }], next: culprit }, 'args[0].next', words)
    const sparse: unknown[] = []
    sparse[1e6] = culprit
    refused(sparse, 'args[0]["1000000"]', words)
  })

  test('what belongs to this process', async () => {
    const timer = setTimeout(() => {}, 0)
    clearTimeout(timer)
    const file = await open(process.execPath)
    const values: [unknown, RegExp][] = [
      [new Server(), /a Server/],
      [new Readable(), /a Readable/],
      [process.stdout, /cannot be serialised/],
      [createHash('sha1'), /a Hash/],
      [createSecretKey(Buffer.from('k')), /SecretKeyObject/],
      [timer, /a Timeout/],
      [file, /a FileHandle/],
      [new MessageChannel().port1, /a MessagePort/],
      [new AbortController().signal, /an AbortSignal/],
      [new AbortController(), /an AbortController/],
      [new Blob([]), /a Blob/],
      [new ReadableStream(), /a ReadableStream/],
      [new Intl.NumberFormat(), /NumberFormat/],
      [new WeakRef({}), /a WeakRef/],
      [new WeakSet(), /a WeakSet/],
      [new (class Custom extends Socket {})(), /a Custom/],
      [new Response(''), /a Response/],
      [new TextDecoder(), /a TextDecoder/],
    ]
    for (const [value, words] of values) refused({ value }, 'args[0].value', words)
    await file.close()
  })

  test('what has no lasting value', async () => {
    refused([Promise.resolve(1)], 'args[0][0]', /a Promise cannot be serialised; await it first/)
    refused(
      [
        (function* () {
          yield 1
        })(),
      ],
      'args[0][0]',
      /a generator/,
    )
    refused([[1][Symbol.iterator]()], 'args[0][0]', /cannot be serialised/)
    refused([Symbol('mine')], 'args[0][0]', /Symbol\(mine\).*Symbol\.for/)
    refused([Symbol.iterator], 'args[0][0]', /Symbol\.for/)
    refused([await import('node:path')], 'args[0][0]', /a module cannot be serialised/)
  })

  test('objects whose prototype is no class', () => {
    refused({ o: Object.create({ inherited: 1 }) }, 'args[0].o', /Object\.create/)
    refused({ o: Object.create(Map.prototype) }, 'args[0].o', /cannot be serialised|threw/)
    refused({ o: Object.create(Date.prototype) }, 'args[0].o', /cannot be serialised|threw/)
  })

  test('functions, where nothing carries them', () => {
    refused({ f: () => 1 }, 'args[0].f', /\[Function: f\]/, nothing)
    refused({ C: class Local {} }, 'args[0].C', /\[class Local\]/, nothing)
  })

  test('what a getter or a Proxy throws is told with its path', () => {
    refused(
      {
        a: {
          get b(): never {
            throw new Error('not today')
          },
        },
      },
      'args[0].a.b',
      /not today/,
    )
    const hostile = new Proxy(
      {},
      {
        getPrototypeOf() {
          throw new Error('go away')
        },
      },
    )
    refused([1, hostile], 'args[0][1]', /go away/)
    const reading = new Proxy(
      { x: 1 },
      {
        get() {
          throw new Error('no reading')
        },
      },
    )
    refused({ reading }, 'args[0].reading.x', /no reading/)
    assert.doesNotThrow(() => new Encoder(nothing).encode(new Proxy({ a: [1] }, {})))
  })

  test('a value nested too deep is refused, and the Encoder goes on', () => {
    let deep: unknown = null
    for (let i = 0; i < 200_000; i++) deep = [deep]
    const encoder = new Encoder(nothing)
    assert.throws(
      () => encoder.encode(deep, 'args[1]'),
      error => error instanceof SerializationError && error.path === 'args[1]' && /deep/.test(error.message),
    )
    assert.equal(encoder.encode([1]).references.length, 0)
  })

  test('what is nested too deep to be read says so', () => {
    const levels = 400_000 // a multiple of 8, so that no padding follows
    const bytes = new Uint8Array(16 + levels).fill(0x91, 16) // arrays of one element, to the end
    bytes.set([format.rich, 1])
    new DataView(bytes.buffer).setUint32(8, levels, true)
    assert.throws(() => new Decoder(nothing).decode(bytes, false), /WireError: the value is nested too deep to be read here/)
  })

  test("an emitter of one's own is an ordinary instance", () => {
    class Mine extends EventEmitter {
      n = 1
    }
    assert.doesNotThrow(() => new Encoder(eager).encode(new Mine()))
  })
})
