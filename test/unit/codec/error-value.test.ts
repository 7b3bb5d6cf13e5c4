// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import {
  decodeError,
  encodeError,
  encodeThrown,
  prepareError,
  rebuildTaskError,
  taskErrorOf,
  useContextForErrors,
} from '#lib/codec/error-value.js'
import type { CodecContext } from '#lib/codec/value.js'
import {
  ActorDiedError,
  EaglerayError,
  GetTimeoutError,
  ObjectLostError,
  TaskError,
  taskErrorPrototype,
  WireError,
  WorkerCrashedError,
} from '#lib/errors.js'
import { FakeRef, fakeFunctions, fakeReferences, nothing } from './codecs.js'

let constructed = 0
class Invalid extends RangeError {
  field: string
  constructor(field: string) {
    super(`bad ${field}`)
    constructed++
    this.field = field
  }
  get shout(): string {
    return this.field.toUpperCase()
  }
}
const context: CodecContext = { references: fakeReferences, functions: fakeFunctions({ Invalid }) }

suite('codec: failures as bytes', () => {
  teardown(() => useContextForErrors(nothing))

  test('errors of the system come back as they are', () => {
    const crashed = new WorkerCrashedError('it crashed', { exitCode: null, signal: 'SIGSEGV', stderrTail: 'oh no\n' })
    for (const back of [decodeError(encodeError(crashed)), rebuildTaskError(encodeError(crashed), 'score')]) {
      assert.ok(back instanceof WorkerCrashedError)
      assert.deepStrictEqual(back, crashed)
      assert.equal(back.stack, crashed.stack)
    }
    const nested = new TaskError('outer', { cause: new ObjectLostError('lost', { objectId: 'ff' }), taskName: 't' })
    const back = rebuildTaskError(encodeError(nested))
    assert.ok(back instanceof TaskError && back instanceof ObjectLostError)
    assert.equal((back as TaskError).taskName, 't')
    assert.ok(back.cause instanceof ObjectLostError)
  })

  test('what a task threw becomes the cause of a TaskError, and its class too', () => {
    const original = new Invalid('age')
    const before = constructed
    const bytes = encodeThrown(original, 'score', context)
    const error = rebuildTaskError(bytes, '', context) as TaskError & Invalid
    assert.equal(constructed, before)
    assert.ok(error instanceof TaskError && error instanceof EaglerayError)
    assert.ok(error instanceof Invalid && error instanceof RangeError && error instanceof Error)
    assert.ok(!((error as object) instanceof WorkerCrashedError))
    assert.equal(error.code, 'ERR_EAGLERAY_TASK')
    assert.equal(error.name, 'TaskError')
    assert.equal(error.message, 'score failed: RangeError: bad age')
    assert.equal(error.taskName, 'score')
    assert.equal(error.remoteStack, original.stack)
    assert.deepStrictEqual(error.cause, original)
    assert.equal(error.field, 'age')
    assert.equal(error.shout, 'AGE')
    assert.ok(error.stack!.startsWith('TaskError: score failed'))
    assert.ok(error.stack!.includes('error-value.test'))
    assert.equal(error.constructor, TaskError)
  })

  test('the combined class of a class is made once', () => {
    assert.equal(taskErrorPrototype(new Invalid('a')), taskErrorPrototype(new Invalid('b')))
    assert.equal(taskErrorPrototype(new Error('a')), TaskError.prototype)
    assert.equal(taskErrorPrototype('text'), TaskError.prototype)
  })

  test('plain errors, built-in classes and things that are no errors', () => {
    const plain = rebuildTaskError(encodeThrown(new Error('x'), 'f')) as TaskError
    assert.equal(Object.getPrototypeOf(plain), TaskError.prototype)
    assert.ok(rebuildTaskError(encodeThrown(new TypeError('x'), 'f')) instanceof TypeError)
    for (const value of ['text', 42, null, undefined, { reason: 'odd' }]) {
      const error = rebuildTaskError(encodeThrown(value, 'f')) as TaskError
      assert.ok(error instanceof TaskError)
      assert.deepStrictEqual(error.cause, value)
      assert.equal(error.remoteStack, '')
      assert.deepStrictEqual(decodeError(encodeError(value)).cause, value)
    }
  })

  test("errors of ours that the code of a task threw are wrapped; unmarked, only those of a user's own calls", () => {
    const died = new ActorDiedError('gone', { actorId: 'aa' })
    const thrown = rebuildTaskError(encodeThrown(died, 'f'))
    assert.ok(thrown instanceof TaskError && thrown instanceof ActorDiedError)
    assert.equal((thrown as unknown as ActorDiedError).actorId, 'aa')
    assert.ok(!(rebuildTaskError(encodeError(died), 'f') instanceof TaskError))
    assert.ok(rebuildTaskError(encodeError(new GetTimeoutError('late')), 'f') instanceof TaskError)
    assert.ok(rebuildTaskError(encodeError(new Error('user')), 'f') instanceof TaskError)
  })

  test('a TaskError that travels again stays both', () => {
    const inner = rebuildTaskError(encodeThrown(new Invalid('age'), 'inner', context), '', context)
    const again = decodeError(encodeError(inner, context), context) as TaskError & Invalid
    assert.ok(again instanceof TaskError && again instanceof Invalid)
    assert.equal(again.message, inner.message)
    assert.equal(again.field, 'age')
    const outer = rebuildTaskError(encodeThrown(inner, 'outer', context), '', context) as TaskError
    assert.ok(outer instanceof TaskError && (outer as object) instanceof Invalid)
    assert.ok(outer.cause instanceof TaskError)
    assert.deepStrictEqual((outer.cause as Error).cause, new Invalid('age'))
  })

  test('what cannot travel is dropped, at any depth, and the rest stays', () => {
    const cause = Object.assign(new Error('inner', { cause: new Socket() }), { socket: new Socket(), port: 80 })
    const error = Object.assign(new Error('outer', { cause }), {
      request: { socket: new Socket(), headers: {} },
      status: 500,
      ref: new FakeRef(1),
      f() {},
      late: [1, 2],
      refs: [new FakeRef(1), new FakeRef(2)],
    })
    const back = decodeError(encodeError(error, { references: fakeReferences, functions: null }), context) as typeof error
    assert.deepStrictEqual(Object.keys(back), ['status', 'late'])
    assert.deepStrictEqual(back.late, [1, 2])
    const inner = back.cause as typeof cause
    assert.deepStrictEqual(Object.keys(inner), ['port'])
    assert.equal(inner.message, 'inner')
    assert.equal(Object.hasOwn(inner, 'cause'), false)
  })

  test('hostile errors do not stop it', () => {
    const throwing = Object.defineProperty(new Error('x'), 'field', {
      enumerable: true,
      get() {
        throw new Error('no')
      },
    })
    assert.equal(decodeError(encodeError(throwing)).message, 'x')
    const proxy = new Proxy(new Error('hidden'), {
      get() {
        throw new Error('no')
      },
      ownKeys() {
        throw new Error('no')
      },
    })
    for (const value of [proxy, new Socket(), Symbol('mine'), () => 1, Promise.resolve()])
      assert.ok(decodeError(encodeError(value)) instanceof Error)
    const messages = Object.assign(new Error('x'), { message: new Socket() })
    assert.ok(decodeError(encodeError(messages)) instanceof Error)
  })

  test('the process may name its context once', async () => {
    useContextForErrors(context)
    assert.ok(rebuildTaskError(encodeThrown(new Invalid('a'), 'f')) instanceof Invalid)
    const loading: CodecContext = {
      references: null,
      functions: fakeFunctions({}, { Invalid: Promise.reject(new Error('no such module')) }),
    }
    const bytes = encodeThrown(new Invalid('a'), 'f')
    await prepareError(bytes, loading)
    const error = rebuildTaskError(bytes, 'f', loading)
    assert.ok(error instanceof RangeError && !(error instanceof Invalid))
    assert.equal((error.cause as Error).name, 'Invalid')
    assert.equal(prepareError(encodeError(new Error('x'))), null)
  })

  test('bytes that are no error are a WireError', () => {
    assert.throws(() => decodeError(Uint8Array.of(99, 1, 2)), WireError)
    assert.throws(() => rebuildTaskError(new Uint8Array(0)), WireError)
  })

  test('taskErrorOf does not take over what a TaskError has itself', () => {
    const error = taskErrorOf(Object.assign(new Error('m'), { code: 'ENOENT', name: 'X', extra: 1 }), 'f')
    assert.equal(error.code, 'ERR_EAGLERAY_TASK')
    assert.equal(error.name, 'TaskError')
    assert.equal((error as unknown as { extra: number }).extra, 1)
  })
})
