// SPDX-License-Identifier: Apache-2.0
// Objects on their way to and from other nodes: read where they lie, written piece by piece.

import assert from 'node:assert/strict'
import { closeSync, openSync, readdirSync, readSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { type NativeFileRange, type NativeStore, ON_DISK } from '#lib/native.js'
import { collectUntil, idOf, Scene } from './support.js'

const MIB = 1 << 20
const filled = (byte: number, length = 3 * MIB): Uint8Array => new Uint8Array(length).fill(byte)

function bytesOf({ path, fileOffset, byteLength }: NativeFileRange): Uint8Array {
  const bytes = new Uint8Array(byteLength)
  const file = openSync(path, 'r')
  assert.equal(readSync(file, bytes, 0, byteLength, fileOffset), byteLength)
  closeSync(file)
  return bytes
}

suite('objects that are sent on', () => {
  let scene: Scene
  let store: NativeStore
  const id = (number: number) => idOf(store, number)
  const pins = () => store.stats().pins
  const isOnDisk = (number: number) => store.read(id(number), new Uint8Array(0), 0) === ON_DISK

  /** Object `number` on disk; the others of the first six stay wherever they are. */
  const spill = (number: number): NativeFileRange => {
    for (let each = 0; each < 6; each++) if (!store.contains(id(each))) store.put(id(each), filled(each + 1), 3 * MIB)
    for (let other = 10; !isOnDisk(number); other++) {
      assert.ok(other < 30, 'the object does not go to disk')
      store.put(id(other), filled(other), 3 * MIB)
      store.delete(id(other))
    }
    return store.readView(id(number)) as NativeFileRange
  }

  setup(() => {
    scene = new Scene()
    store = scene.createSpilling(8 * MIB)
  })
  teardown(() => scene.end())

  test('in memory it is a range of the file of the store, with a pin', () => {
    store.put(id(1), filled(7), 3 * MIB)
    const range = store.readView(id(1)) as NativeFileRange
    assert.deepEqual(bytesOf(range), filled(7))
    assert.equal(range.onDisk, false)
    assert.equal(pins(), 1)
    store.delete(id(1))
    store.put(id(2), filled(8), 3 * MIB)
    assert.deepEqual(bytesOf(range), filled(7))
    assert.equal(store.release(range), true)
    assert.equal(store.release(range), false)
    assert.equal(pins(), 0)
    assert.equal(store.readView(id(1)), null)
    store.create(id(3), 10)
    assert.equal(store.readView(id(3)), null)
  })

  test('what is smaller than a page is a view', () => {
    store.put(id(1), filled(7, 1_000), 1_000)
    const view = store.readView(id(1)) as ArrayBuffer
    assert.deepEqual(new Uint8Array(view), filled(7, 1_000))
    assert.equal(store.release(view), true)
    assert.deepEqual([view.byteLength, pins()], [0, 0])
  })

  test('on disk it is a range of a file, and stays there', () => {
    const range = spill(1)
    assert.equal(range.onDisk, true)
    const { restoredObjects, usedBytes } = store.stats()
    assert.deepEqual(bytesOf(range), filled(2))
    assert.equal(store.stats().restoredObjects, restoredObjects)
    assert.equal(store.stats().usedBytes, usedBytes)
    assert.equal(isOnDisk(1), true)
    assert.equal(pins(), 1)
    assert.equal(store.release(range), true)
    assert.equal(store.release(range), false)
    assert.equal(pins(), 0)
    assert.equal(store.release({ ...range }), false)
  })

  test('a range holds its bytes while the object is read back, deleted, and others come', () => {
    const range = spill(1)
    store.release(store.view(id(1)) as ArrayBuffer)
    assert.equal(isOnDisk(1), false)
    assert.equal(store.delete(id(1)), true)
    for (let number = 40; number < 50; number++) store.put(id(number), filled(number), 3 * MIB)
    assert.deepEqual(bytesOf(range), filled(2))
    assert.equal(store.list().find(object => object.id === id(1))?.state, 'deleting')
    store.release(range)
    assert.equal(
      store.list().some(object => object.id === id(1)),
      false,
    )
    assert.equal(store.check(), null)
  })

  test('a range that is forgotten lets go when it is collected, and outlives close', async () => {
    spill(1)
    assert.equal(pins(), 1)
    await collectUntil(() => pins() === 0)
    assert.equal(pins(), 0)
    const range = spill(1)
    const other = scene.open(store)
    store.close()
    assert.deepEqual(bytesOf(range), filled(2))
    assert.equal(other.stats().pins, 1)
    assert.equal(store.release(range), true)
    assert.equal(other.stats().pins, 0)
  })

  test('a file that is gone is an error of whoever opens it', () => {
    const range = spill(1)
    rmSync(range.path)
    assert.throws(() => bytesOf(range), /ENOENT/)
    assert.equal(store.release(range), true)
  })

  test('what is being made can be read by who makes it, piece by piece, and dropped half way', () => {
    const draft = new Uint8Array(store.create(id(1), 3 * MIB, true))
    draft.fill(5, 0, MIB)
    assert.deepEqual(draft.slice(0, MIB), filled(5, MIB))
    assert.equal(store.contains(id(1)), false)
    assert.equal(store.readView(id(1)), null)
    store.abort(id(1))
    assert.equal(draft.byteLength, 0)
    assert.equal(store.stats().usedBytes, 0)
    assert.equal(store.stats().secondary, 0)
    const again = new Uint8Array(store.create(id(1), 3 * MIB, true))
    for (let at = 0; at < 3; at++) {
      again.set(filled(at + 1, MIB), at * MIB)
      assert.deepEqual(again.slice(at * MIB, (at + 1) * MIB), filled(at + 1, MIB))
    }
    store.seal(id(1))
    const bytes = bytesOf(store.readView(id(1)) as NativeFileRange)
    for (let at = 0; at < 3; at++) assert.deepEqual(bytes.slice(at * MIB, (at + 1) * MIB), filled(at + 1, MIB))
  })

  test('what memory has no room for is reserved on disk, and written there', () => {
    const length = 20 * MIB
    store.reserve(id(1), length)
    for (let at = 0; at < length; at += MIB) store.write(id(1), at, filled(at / MIB, MIB), MIB)
    const back = new Uint8Array(MIB)
    store.readBack(id(1), 5 * MIB, back, MIB)
    assert.deepEqual(back, filled(5, MIB))
    store.seal(id(1))
    assert.equal(isOnDisk(1), true)
    const bytes = bytesOf(store.readView(id(1)) as NativeFileRange)
    for (let at = 0; at < length; at += MIB) assert.equal(Buffer.compare(bytes.subarray(at, at + MIB), filled(at / MIB, MIB)), 0)
  })

  test('a disk that fails is an error of whoever writes there, or reads back', () => {
    store.reserve(id(1), 20 * MIB)
    const disk = `${store.path}-disk`
    for (const file of readdirSync(disk)) truncateSync(join(disk, file))
    assert.throws(() => store.write(id(1), 19 * MIB, filled(1, MIB), MIB), { code: 'ERR_EAGLERAY_SYSTEM' })
    assert.throws(() => store.readBack(id(1), 0, filled(1, MIB), MIB), { code: 'ERR_EAGLERAY_SYSTEM' })
    store.abort(id(1))
    assert.equal(store.check(), null)
  })
})
