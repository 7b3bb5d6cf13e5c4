// SPDX-License-Identifier: Apache-2.0
// ActorPool and Queue: work and items shared by many.

import assert from 'node:assert/strict'
import { type ActorHandle, ActorPool, GetTimeoutError, get, ObjectRef, put, Queue, QueueEmptyError, QueueFullError, remote } from 'eagleray'
import { passed } from './programs/by-reference.js'
import { begin, end, gate } from './support.js'

class Counter {
  private readonly seen: number[] = []
  note(n: number) {
    this.seen.push(n)
    return n
  }
  notes() {
    return this.seen
  }
  pid() {
    return process.pid
  }
  pass(path: string, n: number) {
    return passed(path, n)
  }
}
const RemoteCounter = remote(Counter)

suite('pools', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('ActorPool hands work to whoever is free', async () => {
    const actors = [RemoteCounter.remote(), RemoteCounter.remote()]
    const pool = new ActorPool(actors)
    const add = (actor: ActorHandle<Counter>, n: number) => actor.note.remote(n)
    const ordered: unknown[] = []
    for await (const value of pool.map(add, [1, 2, 3, 4, 5])) ordered.push(value)
    assert.equal(ordered.length, 5)
    let count = 0
    for await (const _ of pool.mapUnordered(add, [1, 2, 3])) count++
    assert.equal(count, 3)
    const all = (await get(actors.map(actor => actor.notes.remote()))).flat()
    assert.deepEqual(all.sort(), [1, 1, 2, 2, 3, 3, 4, 5])

    const pid = (actor: ActorHandle<Counter>, _: number) => actor.pid.remote()
    assert.equal(pool.hasNext(), false)
    for (let i = 0; i < 3; i++) pool.submit(pid, i)
    assert.equal(pool.hasNext(), true)
    const pids = [await pool.getNext(), await pool.getNextUnordered(), await pool.getNext({ timeoutMs: 10_000 })]
    assert.ok(pids.every(each => typeof each === 'number'))
    assert.equal(pool.hasNext(), false)
    const idle = pool.popIdle()
    assert.ok(idle !== undefined && idle !== null)
    pool.push(idle)
    assert.throws(() => pool.push(idle))
  })

  test('Queue: limits, waiting, and its two errors', async () => {
    const queue = new Queue<number>({ maxSize: 2 })
    await queue.put(1)
    await queue.putNoWait(2)
    assert.equal(await queue.size(), 2)
    await assert.rejects(queue.putNoWait(3), QueueFullError)
    await assert.rejects(queue.put(3, { timeoutMs: 20 }), QueueFullError)
    const blocked = queue.put(3)
    assert.deepEqual([await queue.get(), await queue.get(), await queue.get()], [1, 2, 3])
    await blocked
    await assert.rejects(queue.getNoWait(), QueueEmptyError)
    await assert.rejects(queue.get({ timeoutMs: 20 }), QueueEmptyError)
    const produce = remote(async (target: Queue<number>) => {
      for (let i = 0; i < 5; i++) await target.put(i)
    })
    const produced = produce.remote(queue)
    for (let i = 0; i < 5; i++) assert.equal(await queue.get(), i)
    await get(produced)
    await queue.shutdown()
  })

  test('any number may wait for results of a pool; each gets another', async () => {
    const pool = new ActorPool([RemoteCounter.remote(), RemoteCounter.remote()])
    const submitAll = () => {
      for (let i = 0; i < 6; i++) pool.submit((actor, n: number) => actor.note.remote(n), i)
    }
    submitAll()
    const unordered = await Promise.all(Array.from({ length: 6 }, () => pool.getNextUnordered<number>()))
    assert.deepEqual(unordered.sort(), [0, 1, 2, 3, 4, 5])
    assert.equal(pool.hasNext(), false)
    submitAll()
    assert.deepEqual(await Promise.all(Array.from({ length: 6 }, () => pool.getNext())), [0, 1, 2, 3, 4, 5])
    await assert.rejects(pool.getNext(), RangeError)
    await assert.rejects(pool.getNextUnordered(), RangeError)
  })

  test('a result that is late is still the next; a pool without actors waits for one', async () => {
    const counter = RemoteCounter.remote()
    const pool = new ActorPool<ActorHandle<Counter>>([])
    const door = gate()
    pool.submit((actor, n: number) => actor.pass.remote(door.path, n), 1)
    pool.submit((actor, n: number) => actor.note.remote(n), 2)
    await assert.rejects(pool.getNext({ timeoutMs: 1 }), GetTimeoutError)
    pool.push(counter)
    assert.throws(() => pool.push(counter), RangeError)
    await assert.rejects(pool.getNextUnordered({ timeoutMs: 1 }), GetTimeoutError)
    door.open()
    assert.deepEqual([await pool.getNext(), await pool.getNext()], [1, 2])
    await assert.rejects(pool.getNext({ timeout: 1 } as never), TypeError)
  })

  test('what cannot be submitted is the failure of that item, and costs the pool no actor', async () => {
    const pool = new ActorPool([RemoteCounter.remote()])
    pool.submit((_, __: number) => {
      throw new Error('not this one')
    }, 1)
    pool.submit(() => 5 as never, 2)
    pool.submit((actor, n: number) => actor.note.remote(n), 3)
    await assert.rejects(pool.getNext(), /not this one/)
    await assert.rejects(pool.getNext(), TypeError)
    assert.equal(await pool.getNext(), 3)
  })

  test('a queue serves those who come while more than a thousand wait', async () => {
    const queue = new Queue<number>()
    const waiting = Array.from({ length: 1_200 }, () => queue.get())
    for (let i = 0; i < 1_200; i++) void queue.put(i)
    assert.equal(new Set(await Promise.all(waiting)).size, 1_200)
    queue.shutdown()
  })

  test('a ref in a queue stays a ref, and unknown options are refused', async () => {
    const queue = new Queue<ObjectRef<number[]>>()
    await queue.put(put([7]))
    const out = await queue.get()
    assert.ok(out instanceof ObjectRef)
    assert.deepEqual(await get(out), [7])
    assert.throws(() => new Queue({ maxsize: 1 } as never), TypeError)
    assert.throws(() => new Queue({ maxSize: -1 }), RangeError)
    await assert.rejects(queue.get({ timeout: 1 } as never), TypeError)
    await assert.rejects(queue.put(put([1]), { timeoutMs: -1 }), RangeError)
    queue.shutdown()
  })
})
