// SPDX-License-Identifier: Apache-2.0
// Objects whose bytes vanish while their owner lives. On one machine only somebody who reaches into the session's store can
// do that; what was put is lost and whoever needs it is told, and nothing waits; what a task made is made again.

import assert from 'node:assert/strict'
import { ActorDiedError, get, ObjectLostError, type ObjectRef, OwnerDiedError, put, ready, remote, TaskError, wait } from 'eagleray'
import { countRun, passed, runsIn } from './programs/by-reference.js'
import { begin, end, gate, resourcesReturned, scratchPath, sessionStore, waitFor } from './support.js'

async function deleteBehind(...refs: ObjectRef<unknown>[]): Promise<void> {
  const store = await sessionStore()
  for (const ref of refs) assert.equal(store.delete(ref.id), true)
  store.close()
}

function isLost(ref: ObjectRef<unknown>) {
  return (error: ObjectLostError) => {
    assert.ok(error instanceof ObjectLostError && !(error instanceof OwnerDiedError), String(error))
    assert.equal(error.objectId, ref.id)
    assert.match(error.message, new RegExp(`the object ${ref.id} is lost: .* put it again`))
    return true
  }
}

function failsOf(ref: ObjectRef<unknown>) {
  return (error: TaskError) => {
    assert.ok(error instanceof TaskError, String(error))
    assert.match(error.message, /did not run.* argument 2/)
    return isLost(ref)(error.cause as ObjectLostError)
  }
}

class Keeper {
  kept: unknown
  constructor(...args: unknown[]) {
    this.kept = args
  }
  length(_: number, array: Uint8Array): number {
    return array.length
  }
}

suite('lost objects', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('get rejects with ObjectLostError at once, again and again, alone and in a list; others are unharmed', async () => {
    const refs: ObjectRef<unknown>[] = [put(new Uint8Array(100_000).fill(1)), put({ text: 'x'.repeat(2_000) })]
    const safe = put(new Uint8Array(100_000).fill(3))
    await deleteBehind(...refs)
    for (const ref of refs) {
      for (let time = 0; time < 2; time++) await assert.rejects(get(ref), isLost(ref))
      await assert.rejects(get([safe, ref]), isLost(ref))
    }
    assert.deepEqual((await wait(refs, { numReturns: 2, timeoutMs: 0 }))[1], [], 'failed is ready')
    assert.equal((await get(safe))[99_999], 3)
    for (const ref of refs) ref[Symbol.dispose]()
  })

  test('the result of a task is made again', async () => {
    const path = scratchPath()
    const make = remote((at: string) => {
      countRun(at)
      return new Uint8Array(200_000).fill(2)
    })
    const ref = make.remote(path)
    await wait([ref])
    await deleteBehind(ref)
    assert.equal((await get(ref))[199_999], 2)
    assert.equal(runsIn(path), 2)
  })

  test('a result waits until a copy of what it was before is given up', async () => {
    const [path, go] = [scratchPath(), gate()]
    const make = remote(async (at: string, open: string) => {
      await passed(open, null)
      countRun(at)
      return new Uint8Array(200_000).fill(5)
    })
    const ref = make.remote(path, go.path)
    // As a node that brings it from another.
    const store = await sessionStore()
    const copy = store.create(250_000, ref.id)
    go.open()
    await waitFor(() => runsIn(path) === 1, 'the task has run')
    assert.deepEqual((await wait([ref], { timeoutMs: 200 }))[0], [])
    copy.abort()
    assert.equal((await get(ref))[199_999], 5)
    assert.equal(runsIn(path), 1)
    store.close()
  })

  test('a view that was got before stays readable', async () => {
    const ref = put(new Uint8Array(100_000).fill(4))
    const view = await get(ref)
    await deleteBehind(ref)
    assert.equal(view[99_999], 4)
    await assert.rejects(get(ref), isLost(ref))
  })

  test('a borrower hears it too', async () => {
    const ref = put(new Uint8Array(100_000))
    const reads = remote(([inner]: [ObjectRef<Uint8Array>]) => get(inner))
    await deleteBehind(ref)
    await assert.rejects(get(reads.remote([ref])), (error: TaskError) => isLost(ref)(error.cause as ObjectLostError))
  })

  test('a task, a call or a constructor whose argument is lost fails with that as the cause, and does not run', async () => {
    const ref = put(new Uint8Array(100_000))
    const path = scratchPath()
    const size = remote((at: string, array: Uint8Array) => countRun(at) + array.length)
    const actor = remote(Keeper).remote()
    await ready(actor)
    await deleteBehind(ref)
    await assert.rejects(get(size.remote(path, ref)), failsOf(ref))
    await assert.rejects(get(size.options({ retryExceptions: true }).remote(path, ref)), failsOf(ref))
    assert.equal(runsIn(path), 0)
    await assert.rejects(get(actor.length.remote(1, ref)), failsOf(ref))
    assert.equal(await get(actor.length.remote(1, put(new Uint8Array(5)))), 5, 'the actor lives on')
    await assert.rejects(ready(remote(Keeper).remote(1, ref)), (error: ActorDiedError) => {
      assert.ok(error instanceof ActorDiedError)
      assert.match(error.message, /argument.*is lost/)
      return isLost(ref)(error.cause as ObjectLostError)
    })
    await resourcesReturned()
  })
})

suite('lost objects, and one CPU', () => {
  suiteSetup(() => begin({ numCpus: 1 }))
  suiteTeardown(end)

  test('a task whose argument is lost before it begins lends its CPU to the one that makes that again', async () => {
    const [path, door] = [scratchPath(), gate()]
    const make = remote((at: string) => {
      countRun(at)
      return new Uint8Array(200_000).fill(2)
    })
    const last = remote((array: Uint8Array) => array[199_999])
    const made = make.remote(path)
    await wait([made])
    // Both are sent to the one worker, where the second finds that its argument has vanished.
    const first = remote(passed<number>).remote(door.path, 1)
    const second = last.remote(made)
    await deleteBehind(made)
    door.open()
    assert.equal(await get(second), 2)
    await get(first)
    assert.equal(runsIn(path), 2)
  })
})
