// SPDX-License-Identifier: Apache-2.0
// Parts of views: ArrayBuffers of their own over the memory of one object.

import assert from 'node:assert/strict'
import { type NativeStore, native } from '#lib/native.js'
import { collectUntil, idOf, Scene } from './support.js'

const LENGTH = 5 * 4096

suite('native store: parts of views', () => {
  let scene: Scene
  let store: NativeStore
  const id = (number: number) => idOf(store, number)
  const view = (number: number) => store.view(id(number)) as ArrayBuffer
  const pins = () => store.stats().pins

  setup(() => {
    scene = new Scene()
    store = scene.create()
    for (const number of [1, 2]) store.put(id(number), new Uint8Array(LENGTH).fill(number), LENGTH)
  })
  teardown(() => scene.end())

  test('a part is the same memory, without a copy', () => {
    const whole = view(1)
    const part = store.part(whole, 8192 + 64, 5000) as ArrayBuffer
    assert.equal(part.byteLength, 5000)
    assert.equal(native.privatePages(part), 0)
    new Uint8Array(part)[0] = 77
    assert.equal(new Uint8Array(whole)[8192 + 64], 77)
    const inner = store.part(part, 0, 10) as ArrayBuffer
    assert.equal(new Uint8Array(inner)[0], 77)
    const target = new Uint8Array(LENGTH)
    store.read(id(1), target, 0)
    assert.deepEqual(target, new Uint8Array(LENGTH).fill(1), 'the write stays private')
    assert.equal(native.privatePages(view(2)), 0)
  })

  test('it outlives the view, and the object its deletion; each is released by itself', () => {
    const whole = view(1)
    const first = store.part(whole, 64, 4096) as ArrayBuffer
    const second = store.part(whole, 64, 4096) as ArrayBuffer
    assert.equal(store.delete(id(1)), true)
    assert.equal(store.release(whole), true)
    assert.equal(whole.byteLength, 0)
    assert.equal(store.stats().objects, 2)
    store.put(id(3), new Uint8Array(LENGTH).fill(3), LENGTH)
    assert.deepEqual(new Uint8Array(first), new Uint8Array(4096).fill(1))
    assert.equal(store.release(first), true)
    assert.equal(store.release(first), false)
    assert.deepEqual(new Uint8Array(second), new Uint8Array(4096).fill(1))
    assert.equal(store.release(second), true)
    assert.deepEqual([pins(), store.stats().objects], [0, 2])
    assert.equal(store.check(), null)
  })

  test('what was written into a part is undone with the last pin', () => {
    const whole = view(1)
    const part = store.part(whole, 4096, 4096) as ArrayBuffer
    new Uint8Array(part).fill(99)
    store.release(whole)
    assert.equal(new Uint8Array(part)[904], 99)
    store.release(part)
    const again = view(1)
    assert.equal(native.privatePages(again), 0)
    assert.equal(new Uint8Array(again)[5000], 1)
  })

  test('a collected part unpins', async () => {
    let part: Uint8Array | null = new Uint8Array(store.part(view(1), 0, LENGTH) as ArrayBuffer)
    store.delete(id(1))
    await collectUntil(() => false, 5)
    assert.equal(part[LENGTH - 1], 1)
    part = null
    await collectUntil(() => pins() === 0)
    assert.deepEqual([pins(), store.stats().objects], [0, 1])
  }).timeout(60_000)

  test('released, collected and made again at the same places, thousands of times', async () => {
    const round = (i: number) => {
      store.put(id(i), new Uint8Array(LENGTH).fill(i), LENGTH)
      const whole = view(i)
      const parts = [0, 64, 64, 8192].map(offset => store.part(whole, offset, 4096) as ArrayBuffer)
      if (i % 2 > 0) store.release(whole)
      if (i % 3 > 0) for (const each of parts.slice(i % 4)) store.release(each)
      for (const each of parts) assert.ok(each.byteLength === 0 || new Uint8Array(each)[4095] === (i & 255))
      store.delete(id(i))
    }
    for (let i = 10; i <= 1000; i++) {
      round(i)
      if (i % 100 === 0) await collectUntil(() => pins() === 0)
    }
    await collectUntil(() => store.stats().objects === 2)
    assert.equal(store.stats().objects, 2)
    assert.equal(store.check(), null)
  }).timeout(60_000)

  test('of what is no live view there is none, and nothing beyond its end', () => {
    const whole = view(1)
    for (const other of [new ArrayBuffer(8), new ArrayBuffer(0), {} as ArrayBuffer, store.create(id(5), 5000)])
      assert.equal(store.part(other, 0, 0), null)
    const second = scene.create()
    assert.equal(second.part(whole, 0, 10), null, 'of another store')
    const invalid = (error: NodeJS.ErrnoException) => error.code === 'ERR_EAGLERAY_INVALID_ARGUMENT'
    assert.throws(() => store.part(whole, 1, LENGTH), invalid)
    assert.throws(() => store.part(whole, LENGTH + 1, 0), invalid)
    assert.throws(() => store.part(whole, 2 ** 53 - 1, 2 ** 53 - 1), invalid)
    assert.throws(() => store.part(whole, -1, 1), invalid)
    assert.throws(() => store.part(store.part(whole, 0, 100) as ArrayBuffer, 0, 101), invalid, 'of a part, not beyond it')
    const empty = store.part(whole, LENGTH, 0) as ArrayBuffer
    assert.equal(empty.byteLength, 0)
    store.release(whole)
    assert.equal(store.part(whole, 0, 10), null)
  })

  test('of a small object, whose view is a copy, it is a copy', () => {
    store.put(
      id(7),
      Uint8Array.from({ length: 1000 }, (_, i) => i),
      1000,
    )
    const whole = view(7)
    const part = store.part(whole, 64, 100) as ArrayBuffer
    store.release(whole)
    assert.deepEqual(
      new Uint8Array(part),
      Uint8Array.from({ length: 100 }, (_, i) => i + 64),
    )
    assert.equal(pins(), 1)
    store.release(part)
    assert.equal(pins(), 0)
  })

  test('parts outlive close, and can be made after it', () => {
    const other = native.openStore(store.path)
    const part = store.part(view(1), 64, 4096) as ArrayBuffer
    store.close()
    const later = store.part(part, 4000, 96) as ArrayBuffer
    assert.equal(new Uint8Array(later)[95], 1)
    assert.equal(store.release(later), true)
    assert.equal(new Uint8Array(part)[4095], 1)
    assert.equal(store.release(part), true)
    other.close()
  })

  test('what a killed process held by a part alone is given back', async () => {
    const peer = await scene.peer('holdPart', store.path, store.workerId)
    assert.deepEqual(store.list().find(each => each.id === id(1))?.pinnedBy, [peer.hello.slot])
    store.delete(id(1))
    await peer.kill()
    assert.deepEqual(store.reapDead(), [peer.hello.slot])
    assert.deepEqual([pins(), store.stats().objects], [0, 1])
    assert.equal(store.check(), null)
  })
})
