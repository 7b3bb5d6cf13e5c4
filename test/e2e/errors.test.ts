// SPDX-License-Identifier: Apache-2.0
// The errors that can occur on one machine and that no other file provokes, and what all of them have in common.

import assert from 'node:assert/strict'
import * as eagleray from 'eagleray'
import { EaglerayError, get, ObjectFreedError, ObjectStoreFullError, put, remote, TaskError } from 'eagleray'
import { begin, end } from './support.js'

const names = [
  'TaskError',
  'TaskCancelledError',
  'WorkerCrashedError',
  'ActorDiedError',
  'ActorUnavailableError',
  'GetTimeoutError',
  'ObjectLostError',
  'OwnerDiedError',
  'ObjectFreedError',
  'ReconstructionFailedError',
  'ObjectStoreFullError',
  'OutOfDiskError',
  'OutOfMemoryError',
  'NodeDiedError',
  'TaskUnschedulableError',
  'ActorUnschedulableError',
  'PlacementGroupRemovedError',
  'PendingCallsLimitError',
  'ActorNameTakenError',
  'SerializationError',
  'RuntimeEnvError',
  'ClusterConnectionError',
  'AuthenticationError',
  'ActorError',
  'QueueFullError',
  'QueueEmptyError',
]

suite('errors', () => {
  suiteSetup(() => begin({ objectStoreBytes: 64 << 20, spill: false }))
  suiteTeardown(end)

  test('every class of the contract is exported, with a code and a name of its own', () => {
    const codes = new Set<string>()
    for (const name of names) {
      const each = (eagleray as unknown as Record<string, new (message: string) => EaglerayError>)[name]
      assert.ok(each !== undefined, `${name} is exported`)
      const error = new each('text')
      assert.ok(error instanceof EaglerayError && error instanceof Error)
      assert.match(error.code, /^ERR_EAGLERAY_[A-Z_]+$/)
      assert.equal(error.name, name)
      codes.add(error.code)
    }
    assert.equal(codes.size, names.length)
  })

  test('a full store names the largest holders, and works on once there is room', async () => {
    const held = put(new Uint8Array(40 << 20))
    const refused = (error: ObjectStoreFullError) => {
      assert.ok(error instanceof ObjectStoreFullError)
      assert.ok(error.requestedBytes >= 40 << 20)
      assert.equal(error.holders[0]!.objectId, held.id)
      assert.ok(error.holders[0]!.sizeBytes >= 40 << 20)
      assert.match(error.holders[0]!.callSite, /errors\.test\.ts/)
      return true
    }
    assert.throws(() => put(new Uint8Array(40 << 20)), refused)
    assert.throws(() => eagleray.createArray(Uint8Array, 40 << 20), refused)
    assert.throws(() => put(new Uint8Array(100 << 20)), ObjectStoreFullError, 'larger than the whole store')
    const tooMuch = remote((n: number) => new Uint8Array(n), { maxRetries: 0 })
    await assert.rejects(get(tooMuch.remote(40 << 20)), (error: Error) => {
      assert.ok(error instanceof ObjectStoreFullError || error.cause instanceof ObjectStoreFullError, `${error}`)
      return true
    })
    assert.equal((await get(tooMuch.remote(1 << 20))).length, 1 << 20)
    held[Symbol.dispose]()
    const next = put(new Uint8Array(40 << 20).fill(1))
    assert.equal((await get(next))[0], 1)
    next[Symbol.dispose]()
  })

  test('a ref that was disposed of is not one to get', async () => {
    const ref = put(1)
    ref[Symbol.dispose]()
    await assert.rejects(get(ref), error => error instanceof ObjectFreedError || error instanceof TypeError)
    assert.throws(
      () => remote((n: number) => n).remote(ref),
      error => error instanceof ObjectFreedError || error instanceof TypeError,
    )
  })

  test('errors of the package thrown in a task arrive as the cause, as what they were', async () => {
    const inner = remote(() => {
      throw new RangeError('deep')
    })
    const outer = remote(() => get(inner.remote()))
    await assert.rejects(get(outer.remote()), (error: TaskError) => {
      assert.ok(error instanceof TaskError)
      assert.ok(error.cause instanceof TaskError || error.cause instanceof RangeError)
      assert.match(error.message, /deep/)
      return true
    })
  })
})
