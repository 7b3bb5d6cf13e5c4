// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import * as errors from '#lib/errors.js'

const { EaglerayError, errorClasses } = errors

suite('errors', () => {
  test('every exported class has a code of its own, its name, and is in the table', () => {
    const functions = Object.values(errors as Record<string, unknown>).filter(each => typeof each === 'function')
    const exported = functions.filter(each => each === EaglerayError || each.prototype instanceof Error) as errors.EaglerayErrorClass[]
    assert.equal(new Set(exported.map(type => new type('').code)).size, exported.length)
    assert.equal(errorClasses.size, exported.length)
    for (const type of exported) {
      const error = new type('what happened')
      assert.ok(error instanceof EaglerayError && error instanceof Error)
      assert.equal(errorClasses.get(error.code), type)
      assert.match(error.code, /^ERR_EAGLERAY(_[A-Z]+)*$/)
      assert.equal(error.name, type.name)
      assert.equal(Object.hasOwn(error, 'name'), false)
      assert.ok(error.stack!.startsWith(`${type.name}: what happened`))
    }
  })

  test('details default to what is unknown', () => {
    const crashed = new errors.WorkerCrashedError('x')
    assert.deepStrictEqual([crashed.exitCode, crashed.signal, crashed.stderrTail], [null, null, ''])
    assert.equal(new errors.ActorDiedError('x').actorId, null)
    assert.deepStrictEqual(new errors.ObjectStoreFullError('x').holders, [])
    assert.equal(new errors.SerializationError('x', 'args[0]').path, 'args[0]')
    assert.equal(new errors.OwnerDiedError('x', { objectId: 'a', cause: 1 }).cause, 1)
  })

  test('kinds are told by instanceof', () => {
    assert.ok(new errors.ActorUnavailableError('x') instanceof errors.ActorError)
    for (const type of [errors.OwnerDiedError, errors.ObjectFreedError, errors.ReconstructionFailedError])
      assert.ok(new type('x') instanceof errors.ObjectLostError)
    assert.ok(!((new errors.ActorError('x') as object) instanceof errors.ActorDiedError))
    for (const value of [null, undefined, 1, {}, new Error('x')]) assert.ok(!(value instanceof EaglerayError))
  })
})
