// SPDX-License-Identifier: Apache-2.0
// Views over the store: whoever writes into one changes nobody's data, and a view ends when it is released, collected, or its
// thread or process is gone, and never earlier. Where V8 counts views (test/bindings/counted-views.test.ts), what they cannot is left out.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PerformanceObserver } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { ObjectStoreFullError } from 'eagleray'
import { ObjectStore } from 'eagleray/store'
import { native } from '#lib/native.js'
import { collect } from './programs/by-reference.js'
import { waitFor } from './support.js'

const id = (number: number): string => number.toString(16).padStart(40, '0')
const LENGTH = 3 * 4096

/** A thread that waits for messages to clone, and answers with what it got; also one that hangs in a get with a view in hand. */
const threadCode = `
  const { parentPort, workerData } = require('node:worker_threads')
  import('eagleray/store').then(async ({ ObjectStore }) => {
    const store = await ObjectStore.open(workerData.path)
    const held = workerData.hold.map(each => store.tryGet(each)).map(each => [each, each.bytes])
    parentPort.on('message', array => {
      array.fill(99)
      parentPort.postMessage([array.length, array[0]])
    })
    parentPort.postMessage('ready')
    if (workerData.never !== null) await store.get(workerData.never)
  })`

suite('views over the store', () => {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'eagleray-test-'))
  let path: string
  let store: ObjectStore
  let stores = 0

  setup(async () => {
    path = join(directory, `store-${stores++}`)
    store = await ObjectStore.create({ path, capacityBytes: 1 << 20 })
  })
  teardown(() => store.close())
  suiteTeardown(() => rmSync(directory, { recursive: true, force: true }))

  const fill = (number: number, value = number): string => store.put(new Uint8Array(LENGTH).fill(value), id(number))
  const view = (number: number) => store.tryGet(id(number))!
  const isAll = (bytes: Uint8Array, value: number): boolean => bytes.length === LENGTH && bytes.every(each => each === value)
  const pins = (): number => store.stats().pins
  const thread = async (hold: string[], never: string | null): Promise<Worker> => {
    const worker = new Worker(threadCode, { eval: true, workerData: { path, hold, never } })
    await once(worker, 'message')
    return worker
  }

  test('a write shows in no neighbour, lasts until the last pin, and is gone then', () => {
    for (const number of [1, 2, 3]) fill(number)
    const [before, first, second, after] = [view(1), view(2), view(2), view(3)]
    first.bytes.fill(99)
    assert.ok(isAll(second.bytes, 99), 'one process has one memory')
    assert.ok(isAll(before.bytes, 1) && isAll(after.bytes, 3))
    for (const each of [before, after]) assert.equal(native.privatePages(each.bytes.buffer as ArrayBuffer), 0)
    first.release()
    assert.ok(isAll(second.bytes, 99), 'the other pin is still there')
    second.release()
    using again = view(2)
    assert.ok(isAll(again.bytes, 2))
    assert.equal(native.privatePages(again.bytes.buffer as ArrayBuffer), 0)
  })

  test('a write does not come back in the object that gets the space next', () => {
    const used = store.stats().usedBytes
    for (let round = 0; round < 50; round++) {
      fill(1, 1)
      const scribbled = view(1)
      scribbled.bytes.fill(99)
      store.delete(id(1))
      if (round % 2 === 0) scribbled.release()
      fill(2, 2)
      using next = view(2)
      assert.ok(isAll(next.bytes, 2), `round ${round}`)
      assert.equal(native.privatePages(next.bytes.buffer as ArrayBuffer), 0)
      if (round % 2 === 1) {
        assert.ok(isAll(scribbled.bytes, 99), 'a deleted object stays as long as its view, and its space is not given away')
        scribbled.release()
      }
      store.delete(id(2))
      next.release()
      assert.equal(store.stats().usedBytes, used)
    }
  })

  test('release and using end a view at once, with everything made from it', () => {
    fill(1)
    const object = view(1)
    const { buffer, byteOffset } = object.bytes
    const made = [
      Buffer.from(buffer, byteOffset, 8),
      object.bytes.subarray(5),
      new Float32Array(buffer, byteOffset, 2),
      object.value<Uint8Array>(),
    ]
    const data = new DataView(buffer, byteOffset, 16)
    object.release()
    assert.deepEqual([pins(), buffer.byteLength, ...made.map(each => each.length)], [0, 0, 0, 0, 0, 0])
    assert.throws(() => data.getUint8(0), TypeError)
    let outside: Uint8Array
    {
      using inner = view(1)
      outside = inner.bytes
      assert.equal(pins(), 1)
    }
    assert.deepEqual([pins(), outside.length], [0, 0])
  })

  test('whatever is made from a view keeps it, and collection ends it', async () => {
    for (const make of [
      (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset + 4096, 1),
      (bytes: Uint8Array) => bytes.subarray(LENGTH - 1),
      (bytes: Uint8Array) => new Uint8Array(bytes.buffer, bytes.byteOffset, 1),
      (bytes: Uint8Array) => new Uint8Array(new DataView(bytes.buffer, bytes.byteOffset + 100, 1).buffer, bytes.byteOffset + 100, 1),
    ]) {
      fill(1, 7)
      let part: Uint8Array | null = make(view(1).bytes)
      store.delete(id(1))
      await collect()
      assert.deepEqual([part[0], pins()], [7, 1], 'its parents are gone, it is not')
      part = null
      await waitFor(async () => {
        await collect()
        return pins() === 0
      }, 'the pin to go')
      assert.equal(store.stats().objects, 0)
    }
  }).timeout(60_000)

  test('a view posted to a thread is a copy there, and stays a view here', async () => {
    fill(1)
    const object = view(1)
    const worker = await thread([], null)
    worker.postMessage(object.bytes)
    assert.deepEqual(await once(worker, 'message'), [[LENGTH, 99]])
    assert.ok(isAll(object.bytes, 1))
    assert.equal(pins(), 1)
    await worker.terminate()
    assert.ok(isAll(object.bytes, 1))
    object.release()
    assert.equal(pins(), 0)
  }).timeout(60_000)

  test('a view transferred to a thread is a view there, and gone here', async function () {
    if (native.countsViews()) return this.skip()
    fill(1)
    const object = view(1)
    const other = view(1)
    const worker = await thread([], null)
    worker.postMessage(object.bytes, [object.bytes.buffer as ArrayBuffer])
    assert.equal(object.bytes.length, 0)
    assert.deepEqual(await once(worker, 'message'), [[LENGTH, 99]])
    assert.ok(isAll(other.bytes, 99), 'one process has one memory')
    object.release()
    other.release()
    assert.equal(pins(), 1)
    store.delete(id(1))
    assert.equal(store.stats().objects, 1, 'the thread has it still')
    await worker.terminate()
    await waitFor(() => pins() === 0, 'the pin to go with the thread')
    assert.equal(store.stats().objects, 0)
  }).timeout(60_000)

  test('a view transferred within its thread is one, released or collected like any other', async function () {
    if (native.countsViews()) return this.skip()
    fill(1)
    const move = (bytes: Uint8Array): Uint8Array => structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] })
    const object = view(1)
    let moved: Uint8Array | null = move(object.bytes)
    object.release()
    assert.equal(pins(), 1)
    assert.ok(isAll(moved, 1))
    moved = null
    await waitFor(async () => {
      await collect()
      return pins() === 0
    }, 'the pin to go')
    // The buffer of another view of the same object takes nothing from this one.
    const [first, second] = [view(1), view(1)]
    const again = move(first.bytes)
    second.release()
    first.release()
    assert.ok(isAll(again, 1))
    assert.equal(pins(), 1)
  })

  test('views of large objects give V8 nothing to collect', async function () {
    if (native.countsViews()) return this.skip()
    using large = await ObjectStore.create({ path: `${path}-large`, capacityBytes: 80 << 20 })
    const made = large.create(64 << 20)
    const object = made.seal()
    let collections = 0
    const observer = new PerformanceObserver(list => {
      collections += list.getEntries().length
    })
    observer.observe({ entryTypes: ['gc'] })
    for (let i = 0; i < 1000; i++) {
      const got = await large.get(object)
      assert.equal(got.bytes.length, 64 << 20)
      if (i % 2 === 0) got.release()
      if (i % 10 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    // Node tells of collections in turns of the event loop.
    for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
    observer.disconnect()
    // Counted as V8's memory, 60 GiB in all, they would be one in a dozen gets.
    assert.ok(collections < 20, `${collections} collections`)
  }).timeout(60_000)

  test('a store full of what only garbage views has room', function () {
    // Node-API's finalizers come with turns of the event loop, and here is none.
    if (native.countsViews()) return this.skip()
    for (let number = 1; number <= 40; number++) {
      store.put(new Uint8Array(300_000).fill(number), id(number))
      assert.equal(view(number).bytes[299_999], number)
      store.delete(id(number))
    }
    const held = [41, 42].map(number => {
      store.put(new Uint8Array(300_000), id(number))
      return view(number)
    })
    assert.throws(() => store.put(new Uint8Array(600_000), id(50)), ObjectStoreFullError, 'what is viewed is not garbage')
    assert.deepEqual(
      held.map(each => each.bytes.length),
      [300_000, 300_000],
    )
  })

  test('a program that only gets does not keep what it has no more', async () => {
    for (let number = 1; number <= 6; number++) store.put(new Uint8Array(150_000).fill(number), id(number))
    const child = fork(fileURLToPath(new URL('programs/store-peer.mjs', import.meta.url)), [path], { execArgv: [] })
    await once(child, 'message')
    let [least, most] = [6, 0]
    await waitFor(async () => {
      for (let number = 1; number <= 6; number++) {
        child.send({ order: 'glance', args: [id(number)] })
        await once(child, 'message')
        most = Math.max(most, pins())
        least = Math.min(least, most > 2 ? pins() : 6)
      }
      return most > 2 && least <= 1
    }, 'its views to be collected')
    child.disconnect()
    await once(child, 'exit')
  }).timeout(60_000)

  test('a thread that is terminated in a get takes its views and its waiting with it', async () => {
    fill(1)
    for (let round = 0; round < 4; round++) {
      const here = round % 2 === 0 ? store.get(id(9)) : null
      const worker = await thread([id(1)], id(9))
      const mine = view(1)
      assert.deepEqual(store.list()[0]!.pinnedBy, [process.pid])
      await worker.terminate()
      assert.ok(isAll(mine.bytes, 1), 'a view of this thread is not touched')
      mine.release()
      await waitFor(() => pins() === 0, 'the pin of the thread to go')
      store.put(round, id(9))
      if (here !== null) assert.equal((await here).value(), round, 'who waits here is woken')
      store.delete(id(9))
    }
    assert.equal(store.delete(id(1)), true)
    assert.deepEqual(store.list(), [], 'nothing is held')
  }).timeout(60_000)

  test('a process that comes to its end with views held leaves no pin', async () => {
    fill(1)
    const program = fileURLToPath(new URL('programs/store-peer.mjs', import.meta.url))
    const child = fork(program, [path], { execArgv: [] })
    await once(child, 'message')
    child.send({ order: 'scribble', args: [id(1)] })
    await once(child, 'message')
    assert.equal(pins(), 1)
    child.disconnect()
    assert.deepEqual(await once(child, 'exit'), [0, null])
    assert.equal(pins(), 0)
    assert.ok(isAll(view(1).bytes, 1))
  }).timeout(60_000)
})
