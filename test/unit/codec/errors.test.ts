// SPDX-License-Identifier: Apache-2.0

import assert, { AssertionError, strict } from 'node:assert'
import { readFileSync } from 'node:fs'
import type { CodecContext } from '#lib/codec/value.js'
import { ActorDiedError, ActorError, EaglerayError, errorClasses, ObjectStoreFullError, WireError } from '#lib/errors.js'
import { decode, encode, fakeFunctions, nothing, roundTrip } from './codecs.js'

let constructed = 0
class HttpError extends TypeError {
  status: number
  constructor(status: number) {
    super(`status ${status}`)
    constructed++
    this.status = status
  }
  get isClientError(): boolean {
    return this.status < 500
  }
}
class NamedError extends Error {
  override name = 'NamedError'
}
const context: CodecContext = { references: null, functions: fakeFunctions({ HttpError, NamedError }) }

suite('codec: errors in values', () => {
  test('the built-in ones keep class, message, stack, cause and own properties', () => {
    for (const type of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
      const value = Object.assign(new type('boom', { cause: { why: [1] } }), { code: 'E_BOOM', detail: { a: 1 } })
      const back = roundTrip({ value }).value
      assert.ok(back instanceof type)
      strict.deepStrictEqual(back, value)
      strict.equal(back.stack, value.stack)
      strict.deepStrictEqual(Object.keys(back), ['code', 'detail'])
      strict.equal(Object.prototype.toString.call(back), '[object Error]')
    }
  })

  test('an error without a message, and one that is its own cause', () => {
    strict.equal(Object.hasOwn(roundTrip(new Error()), 'message'), false)
    const loop = new Error('loop')
    loop.cause = loop
    const back = roundTrip(loop)
    strict.equal(back.cause, back)
  })

  test('AggregateError, DOMException, AssertionError and errors of Node', () => {
    const aggregate = roundTrip(new AggregateError([new TypeError('a'), 'b'], 'all failed'))
    assert.ok(aggregate instanceof AggregateError)
    assert.ok(aggregate.errors[0] instanceof TypeError)
    strict.equal(aggregate.errors[1], 'b')
    const aborted = roundTrip(new DOMException('stop', 'AbortError'))
    assert.ok(aborted instanceof DOMException)
    strict.equal(`${aborted.name} ${aborted.message} ${aborted.code}`, 'AbortError stop 20')
    const [wrong, system] = [thrown(() => strict.equal(1, 2)), thrown(() => readFileSync('/nowhere')) as NodeJS.ErrnoException]
    const back = roundTrip(wrong)
    assert.ok(back instanceof AssertionError)
    strict.equal((back as AssertionError).expected, 2)
    strict.deepStrictEqual({ ...roundTrip(system) }, { ...system })
    const node = thrown(() => Buffer.alloc(-1)) as NodeJS.ErrnoException
    assert.ok(roundTrip(node) instanceof RangeError)
    strict.equal((roundTrip(node) as NodeJS.ErrnoException).code, node.code)
  })

  test('a class that can be found is rebuilt without running its constructor', () => {
    const value = new HttpError(404)
    const before = constructed
    const back = roundTrip([value], context)[0]!
    strict.equal(constructed, before)
    assert.ok(back instanceof HttpError)
    strict.equal(back.isClientError, true)
    strict.equal(back.name, value.name)
    strict.deepStrictEqual(back, value)
    strict.deepStrictEqual(roundTrip(new NamedError('n'), context), new NamedError('n'))
  })

  test('a name that is set without showing stays so', () => {
    const value = Object.defineProperty(new Error('x'), 'name', { value: 'Quiet', enumerable: false })
    const back = roundTrip(value)
    strict.equal(back.name, 'Quiet')
    strict.deepStrictEqual(Object.keys(back), [])
  })

  test('a class that cannot be found leaves its built-in base and its name', () => {
    const bytes = encode(new HttpError(404), context)
    const empty: CodecContext = { references: null, functions: fakeFunctions({}) }
    for (const back of [roundTrip(new HttpError(404)), decode(bytes, empty) as HttpError, decode(bytes) as HttpError]) {
      assert.ok(back instanceof TypeError)
      strict.equal(back.name, 'HttpError')
      strict.equal(back.message, 'status 404')
      strict.equal(back.status, 404)
    }
    strict.equal(roundTrip(new NamedError('n')).name, 'NamedError')
  })

  test('ours keep their class and every field', () => {
    const full = new ObjectStoreFullError('full', {
      requestedBytes: 7,
      holders: [{ objectId: 'ab', sizeBytes: 9, owner: 'me', reason: 'ref', callSite: 'a.ts:1' }],
      cause: new Error('c'),
    })
    const back = roundTrip({ full }).full
    assert.ok(back instanceof ObjectStoreFullError)
    strict.deepStrictEqual(back, full)
    strict.equal(back.code, 'ERR_EAGLERAY_OBJECT_STORE_FULL')
    class MyActorError extends ActorDiedError {
      extra = 1
    }
    const mine = roundTrip(new MyActorError('x', { actorId: 'id' }))
    assert.ok(mine instanceof ActorDiedError && mine instanceof ActorError)
    strict.equal(mine.actorId, 'id')
    for (const [code, type] of errorClasses) {
      const one = roundTrip(new type('text'))
      assert.ok(one instanceof type && one instanceof EaglerayError)
      strict.equal(one.code, code)
      strict.equal(one.name, type.name)
    }
  })

  test('a class that is none of errors is a WireError', () => {
    const fake: CodecContext = { references: null, functions: fakeFunctions({ HttpError: Map }) }
    assert.throws(() => decode(encode(new HttpError(1), context), fake), WireError)
    strict.equal(nothing.functions, null)
  })
})

function thrown(run: () => void): Error {
  try {
    run()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}
