// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { type NativeStore, native } from '#lib/native.js'
import { collectUntil, idOf, Scene } from './support.js'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const coded = (code: string) => (error: NodeJS.ErrnoException) => error.code === code

suite('native store', () => {
  let scene: Scene
  let store: NativeStore
  const id = (number: number) => idOf(store, number)
  const pins = () => store.stats().pins

  setup(() => {
    scene = new Scene()
    store = scene.create()
  })
  teardown(() => scene.end())

  test('says where and who it is, for the owner alone', () => {
    assert.match(store.workerId, /^0a0b0c0d0e0000[0-9a-f]{10}$/)
    assert.equal(store.slot, 0)
    assert.equal(statSync(store.path).mode & 0o777, 0o700)
    assert.equal(statSync(`${store.path}/segment`).mode & 0o777, 0o600)
    assert.equal(store.stats().capacityBytes, 16 << 20)
    assert.deepEqual(
      store.clients().map(({ slot, pid, workerId, live }) => ({ slot, pid, workerId, live })),
      [{ slot: 0, pid: process.pid, workerId: store.workerId, live: true }],
    )
  })

  test('put and read', () => {
    store.put(id(1), text('hello, world'), 5)
    const target = new Uint8Array(8)
    assert.equal(store.read(id(1), target, 0), 5)
    assert.deepEqual(target, text('hello\0\0\0'))
    assert.equal(store.read(id(1), new Uint8Array(4), 0), 5)
    assert.equal(store.read(id(2), target, 0), -1)
    assert.equal(store.contains(id(1)), true)
    assert.equal(store.contains(id(2)), false)
  })

  test('put of a part of a larger buffer', () => {
    const whole = text('0123456789')
    store.put(id(1), whole.subarray(3), 4)
    assert.deepEqual(new Uint8Array(store.view(id(1)) as ArrayBuffer), text('3456'))
  })

  test('putParts lays parts at their offsets and zeros between', () => {
    store.putParts(id(1), 12, [text('ab'), text('cde')], [1, 8])
    assert.deepEqual(new Uint8Array(store.view(id(1)) as ArrayBuffer), text('\0ab\0\0\0\0\0cde\0'))
    assert.throws(() => store.putParts(id(2), 4, [text('abc')], [2]), coded('ERR_EAGLERAY_INVALID_ARGUMENT'))
    assert.throws(() => store.putParts(id(2), 4, [text('abc')], []), coded('ERR_EAGLERAY_INVALID_ARGUMENT'))
    assert.equal(store.contains(id(2)), false)
  })

  test('create, fill, seal: the buffer is detached and the object there', () => {
    const draft = store.create(id(1), 100_000)
    new Uint8Array(draft).fill(5)
    assert.equal(store.contains(id(1)), false)
    assert.equal(store.view(id(1)), null)
    assert.equal(store.list()[0]?.state, 'creating')
    store.seal(id(1))
    assert.equal(draft.byteLength, 0)
    assert.deepEqual(new Uint8Array(store.view(id(1)) as ArrayBuffer), new Uint8Array(100_000).fill(5))
  })

  test('what is reserved is written piece by piece, and read back before it is sealed', () => {
    store.reserve(id(1), 300_000)
    const bytes = new Uint8Array(200_000).map((_, i) => i)
    store.write(id(1), 100_000, bytes, 200_000)
    store.write(id(1), 0, bytes, 100_000)
    const back = new Uint8Array(200_000)
    store.readBack(id(1), 100_000, back, 200_000)
    assert.equal(Buffer.compare(back, bytes), 0)
    for (const move of [store.write, store.readBack].map(each => each.bind(store))) {
      for (const [offset, length] of [
        [200_000, 200_000],
        [300_001, 0],
      ] as const)
        assert.throws(() => move(id(1), offset, bytes, length), coded('ERR_EAGLERAY_INVALID_ARGUMENT'))
      assert.throws(() => move(id(1), 0, bytes, 200_001), coded('ERR_EAGLERAY_INVALID_ARGUMENT'))
      assert.throws(() => move(id(2), 0, bytes, 1), coded('ERR_EAGLERAY_OBJECT_NOT_FOUND'))
    }
    assert.equal(store.contains(id(1)), false)
    store.seal(id(1))
    const view = new Uint8Array(store.view(id(1)) as ArrayBuffer)
    assert.equal(Buffer.compare(view.subarray(100_000), bytes), 0)
    assert.equal(Buffer.compare(view.subarray(0, 100_000), bytes.subarray(0, 100_000)), 0)
    assert.throws(() => store.write(id(1), 0, bytes, 1), coded('ERR_EAGLERAY_OBJECT_NOT_FOUND'))
  })

  test('what is created is written through its buffer alone', () => {
    store.create(id(1), 10)
    assert.throws(() => store.write(id(1), 0, new Uint8Array(1), 1), coded('ERR_EAGLERAY_OBJECT_NOT_FOUND'))
    store.seal(id(1))
  })

  test('what is reserved and given up, or left when the store is closed, leaves nothing', () => {
    const used = store.stats().usedBytes
    store.reserve(id(1), 100_000)
    assert.throws(() => store.reserve(id(1), 1), coded('ERR_EAGLERAY_OBJECT_EXISTS'))
    store.abort(id(1))
    assert.equal(store.stats().usedBytes, used)
    assert.throws(() => store.readBack(id(1), 0, new Uint8Array(1), 1), coded('ERR_EAGLERAY_OBJECT_NOT_FOUND'))
  })

  test('abort detaches the buffer and gives the memory back', () => {
    const used = store.stats().usedBytes
    const draft = store.create(id(1), 100_000)
    store.abort(id(1))
    assert.equal(draft.byteLength, 0)
    assert.equal(store.stats().usedBytes, used)
    assert.throws(() => store.seal(id(1)), coded('ERR_EAGLERAY_OBJECT_NOT_FOUND'))
    assert.throws(() => store.abort(id(1)), coded('ERR_EAGLERAY_OBJECT_NOT_FOUND'))
  })

  test('a secondary copy goes when room is needed, unless it is viewed or promoted', () => {
    const copies = [1, 2, 3].map(id)
    for (const copy of copies) {
      new Uint8Array(store.create(copy, 4 << 20, true)).fill(7)
      store.seal(copy)
    }
    assert.equal(store.stats().secondary, 3)
    assert.equal(store.stats().secondaryBytes, 12 << 20)
    assert.equal(store.promote(id(1)), true)
    assert.equal(store.promote(id(9)), false)
    assert.deepEqual(
      new Map(store.list().map(object => [object.id, object.secondary])),
      new Map(copies.map(copy => [copy, copy !== id(1)])),
    )
    const view = store.view(id(2)) as ArrayBuffer
    store.create(id(4), 8 << 20)
    assert.deepEqual(
      copies.map(copy => store.contains(copy)),
      [true, true, false],
    )
    assert.equal(store.stats().droppedObjects, 1)
    assert.throws(() => store.create(id(5), 4 << 20), coded('ERR_EAGLERAY_OBJECT_STORE_FULL'))
    assert.deepEqual(new Uint8Array(view, 0, 3), new Uint8Array(3).fill(7))
    store.release(view)
    store.create(id(5), 4 << 20, true)
    assert.deepEqual(
      copies.map(copy => store.contains(copy)),
      [true, false, false],
    )
    assert.equal(store.check(), null)
  })

  test('an id is used once', () => {
    store.put(id(1), text('x'), 1)
    assert.throws(() => store.put(id(1), text('y'), 1), coded('ERR_EAGLERAY_OBJECT_EXISTS'))
    assert.throws(() => store.create(id(1), 1), coded('ERR_EAGLERAY_OBJECT_EXISTS'))
  })

  test('a full store says so and keeps working', () => {
    assert.throws(() => store.create(id(1), 17 << 20), coded('ERR_EAGLERAY_OBJECT_STORE_FULL'))
    assert.throws(() => store.create(id(1), 2 ** 52), coded('ERR_EAGLERAY_OBJECT_STORE_FULL'))
    store.put(id(1), text('fits'), 4)
    assert.equal(store.check(), null)
  })

  test('wrong arguments are type errors', () => {
    const wrong: (() => unknown)[] = [
      () => store.put('12', text('x'), 1),
      () => store.put('z'.repeat(40), text('x'), 1),
      () => store.put(id(1), text('x'), 2),
      () => store.put(id(1), text('x'), -1),
      () => store.put(id(1), text('x'), Number.NaN),
      () => store.put(id(1), new Int32Array(4) as never, 1),
      () => store.put(id(1), 'x' as never, 1),
      () => store.read(id(1), null as never, 0),
      () => store.create(id(1), 1.5),
      () => store.create(id(1), 1, 1 as never),
      () => (store.create as (id: string) => unknown)(id(1)),
      () => (store.contains as () => boolean)(),
      () => native.createStore(store.path, 1 << 20, 'xyz', false, null, 0),
      () => native.createStore(3 as never, 1 << 20, '0a0b0c0d0e', false, null, 0),
      () => new (store.constructor as new () => NativeStore)(),
      () => native.openPort({} as never, {} as never, new Uint8Array(1 << 20), new Int32Array(3), 0),
    ]
    for (const call of wrong)
      assert.throws(call, (error: NodeJS.ErrnoException) => error instanceof TypeError && error.code !== undefined, `${call}`)
    assert.throws(() => store.contains.call({} as never, id(1)), TypeError)
    assert.deepEqual(store.list(), [])
  })

  test('what is no segment is refused', () => {
    assert.throws(() => native.createStore(store.path, 1 << 20, '0a0b0c0d0e', false, null, 0), /segment-0/)
    assert.throws(() => native.openStore(`${scene.directory}/nowhere`), coded('ERR_EAGLERAY_SYSTEM'))
  })

  test('release detaches at once, unpins once, and only what is ours', () => {
    store.put(id(1), new Uint8Array(10_000).fill(1), 10_000)
    const view = store.view(id(1)) as ArrayBuffer
    const part = new Uint8Array(view, 100, 50)
    assert.equal(pins(), 1)
    assert.equal(store.release(view), true)
    assert.equal(view.byteLength + part.byteLength, 0)
    assert.equal(pins(), 0)
    assert.equal(store.release(view), false)
    assert.equal(store.release(new ArrayBuffer(8)), false)
    assert.equal(store.release(new ArrayBuffer(0)), false)
    assert.equal(store.release({} as ArrayBuffer), false)
  })

  test('an empty object has an empty view', () => {
    store.put(id(1), new Uint8Array(0), 0)
    const view = store.view(id(1)) as ArrayBuffer
    assert.equal(view.byteLength, 0)
    assert.equal(store.release(view), true)
    assert.equal(store.release(view), false)
    assert.equal(store.read(id(1), new Uint8Array(0), 0), 0)
    store.create(id(2), 0)
    store.seal(id(2))
    assert.equal(store.contains(id(2)), true)
  })

  test('each view of one object is a buffer and a pin of its own', async () => {
    store.put(id(1), new Uint8Array(10_000).fill(1), 10_000)
    const first = store.view(id(1)) as ArrayBuffer
    let second: ArrayBuffer | null = store.view(id(1))
    assert.notEqual(first, second)
    store.delete(id(1))
    assert.equal(store.release(first), true)
    assert.deepEqual([pins(), store.stats().objects], [1, 1])
    assert.equal(new Uint8Array(second as ArrayBuffer)[9999], 1)
    second = null
    await collectUntil(() => store.stats().objects === 0)
    assert.deepEqual([pins(), store.stats().objects], [0, 0])
  })

  test('a collected view unpins; a part of it keeps it', async () => {
    store.put(id(1), new Uint8Array(10_000).fill(9), 10_000)
    let part: Uint8Array | null = new Uint8Array(store.view(id(1)) as ArrayBuffer).subarray(5000, 5001)
    store.delete(id(1))
    await collectUntil(() => false, 5)
    assert.equal(part[0], 9)
    assert.equal(pins(), 1)
    part = null
    await collectUntil(() => pins() === 0)
    assert.equal(pins(), 0)
    assert.equal(store.stats().objects, 0)
  }).timeout(60_000)

  test('released and made again at the same place, thousands of times', async () => {
    const round = (i: number) => {
      store.put(id(i), new Uint8Array(5000).fill(i), 5000)
      const view = store.view(id(i)) as ArrayBuffer
      assert.equal(new Uint8Array(view)[4999], i & 255)
      if (i % 3 > 0) store.release(view)
      store.delete(id(i))
    }
    for (let i = 1; i <= 3000; i++) round(i)
    await collectUntil(() => store.stats().objects === 0)
    assert.equal(store.stats().objects, 0)
    assert.equal(store.check(), null)
  })

  test('deleted is gone for new readers and stays for old ones', () => {
    store.put(id(1), new Uint8Array(10_000).fill(3), 10_000)
    const view = store.view(id(1)) as ArrayBuffer
    assert.equal(store.delete(id(1)), true)
    assert.equal(store.delete(id(1)), false)
    assert.equal(store.contains(id(1)), false)
    assert.equal(store.view(id(1)), null)
    assert.equal(store.list()[0]?.state, 'deleting')
    assert.deepEqual(store.list()[0]?.pinnedBy, [0])
    assert.equal(new Uint8Array(view)[7], 3)
    store.release(view)
    assert.deepEqual(store.list(), [])
  })

  test('a stray write stays private and is undone with the last pin', () => {
    const length = 3 * 4096
    store.put(id(1), new Uint8Array(length).fill(1), length)
    const view = store.view(id(1)) as ArrayBuffer
    assert.equal(native.privatePages(view), 0)
    new Uint8Array(view)[5000] = 99
    assert.equal(native.privatePages(view), 1)
    const target = new Uint8Array(length)
    store.read(id(1), target, 0)
    assert.equal(target[5000], 1)
    store.release(view)
    const again = store.view(id(1)) as ArrayBuffer
    assert.equal(native.privatePages(again), 0)
    assert.equal(new Uint8Array(again)[5000], 1)
  })

  test('views outlive close', async () => {
    store.put(id(1), new Uint8Array(10_000).fill(4), 10_000)
    const view = store.view(id(1)) as ArrayBuffer
    const draft = store.create(id(2), 10)
    store.close()
    store.close()
    assert.equal(draft.byteLength, 0)
    assert.throws(() => store.contains(id(1)), coded('ERR_EAGLERAY_CLOSED'))
    assert.equal(new Uint8Array(view)[9999], 4)
    const other = native.openStore(store.path)
    assert.equal(other.slot, store.slot)
    assert.deepEqual([other.stats().creating, other.stats().pins], [0, 1])
    assert.equal(store.release(view), true)
    assert.equal(other.stats().pins, 0)
    other.close()
  })

  test('a second open shares the client', () => {
    const second = native.openStore(store.path)
    assert.equal(second.workerId, store.workerId)
    store.put(id(1), text('shared'), 6)
    second.close()
    assert.equal(store.contains(id(1)), true)
  })

  test('an open anew is another client, whatever is left of the one before', () => {
    store.put(id(1), new Uint8Array(10_000).fill(4), 10_000)
    const view = store.view(id(1)) as ArrayBuffer
    const second = native.openStore(store.path, true)
    assert.notEqual(second.workerId, store.workerId)
    assert.notEqual(second.slot, store.slot)
    assert.equal(native.openStore(store.path).workerId, second.workerId)
    store.close()
    assert.equal(second.contains(id(1)), true)
    assert.equal(store.release(view), true)
    assert.equal(second.stats().pins, 0)
    second.close()
  })

  test('pages are not shared with neighbours from 4 KiB on', () => {
    store.put(id(1), new Uint8Array(5000).fill(1), 5000)
    store.put(id(2), new Uint8Array(5000).fill(2), 5000)
    const [first, second] = [store.view(id(1)) as ArrayBuffer, store.view(id(2)) as ArrayBuffer]
    new Uint8Array(first).fill(77)
    assert.equal(native.privatePages(first), 2)
    assert.equal(native.privatePages(second), 0)
    assert.equal(new Uint8Array(second)[0], 2)
  })
})
