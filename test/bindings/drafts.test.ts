// SPDX-License-Identifier: Apache-2.0
// Copies as they come into a node and leave it for others at once, over a real store.

import assert from 'node:assert/strict'
import { readdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import type { Failure, Lent } from '#lib/io/data/channel.js'
import type { NativeStore } from '#lib/native.js'
import { Drafts } from '#lib/run/drafts.js'
import { Pins } from '#lib/run/pins.js'
import { idOf, Scene } from './support.js'

const MIB = 1 << 20

suite('copies on their way', () => {
  let scene: Scene
  let store: NativeStore
  let pins: Pins
  let drafts: Drafts
  const id = (number: number) => idOf(store, number)
  const made = (number: number, length: number) => assert.deepEqual(drafts.make(id(number), length), { is: 'made', id: id(number) })

  /** Brings a piece, as a socket that gives `step` bytes at a time. */
  const bring = (number: number, offset: number, bytes: Uint8Array, step = 100_000): Failure | null => {
    let end: Failure | null | undefined
    const sink = drafts.sink({ id: id(number), offset, length: bytes.length }, (failure, unwritten) => {
      assert.equal(unwritten, failure !== null, 'it came')
      end = failure
    })
    for (let at = 0; at < bytes.length; ) {
      const room = sink.room(at)
      const count = Math.min(room.length, step, bytes.length - at)
      room.set(bytes.subarray(at, at + count))
      sink.wrote(at, count)
      at += count
    }
    sink.done(null)
    assert.notEqual(end, undefined)
    return end ?? null
  }
  const read = (lent: Lent, at: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(length)
    assert.equal(lent.read(at, bytes), null)
    return bytes
  }
  const pattern = (length: number, seed: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 9) + seed) & 255)
  const lend = (number: number, offset: number, length: number): Lent => drafts.lend({ id: id(number), offset, length }) as Lent

  const begin = (made: NativeStore): void => {
    store = made
    pins = new Pins(store)
    drafts = new Drafts(store, pins)
  }
  setup(() => {
    scene = new Scene()
    begin(scene.create())
  })
  teardown(() => {
    drafts.close()
    pins.close()
    scene.end()
  })

  test('pieces in any order and any steps become the object', () => {
    const bytes = pattern(3 * MIB + 17, 1)
    made(1, bytes.length)
    assert.equal(bring(1, 2 * MIB, bytes.subarray(2 * MIB), 65_537), null)
    assert.equal(bring(1, 0, bytes.subarray(0, MIB), 1_000_000), null)
    assert.equal(bring(1, MIB, bytes.subarray(MIB, 2 * MIB)), null)
    drafts.seal(id(1))
    assert.equal(Buffer.compare(new Uint8Array(store.view(id(1)) as ArrayBuffer), bytes), 0)
  })

  test('a piece that leaves does not hold up the seal, and goes on from the object, which stays as long', () => {
    const bytes = pattern(2 * MIB, 2)
    made(1, bytes.length)
    bring(1, 0, bytes)
    const lent = lend(1, MIB, MIB)
    assert.deepEqual(read(lent, 0, 1000), bytes.subarray(MIB, MIB + 1000))
    drafts.seal(id(1))
    assert.equal(store.contains(id(1)), true)
    store.delete(id(1))
    store.put(id(2), new Uint8Array(2 * MIB).fill(9), 2 * MIB)
    assert.deepEqual(read(lent, 1000, 1000), bytes.subarray(MIB + 1000, MIB + 2000))
    lent.done()
    pins.endIdle()
    assert.deepEqual(
      store.list().map(object => object.id),
      [id(2)],
    )
  })

  test('a piece that leaves keeps what is given up, until it has left', () => {
    const bytes = pattern(MIB, 3)
    made(1, bytes.length)
    bring(1, 0, bytes)
    const lent = lend(1, 0, MIB)
    drafts.abort(id(1))
    assert.deepEqual(drafts.make(id(1), MIB), { is: 'exists', id: id(1), here: false })
    assert.deepEqual(read(lent, 0, MIB), bytes)
    lent.done()
    assert.equal(store.stats().objects, 0)
    made(1, MIB)
  })

  test('nothing is lent of what is not there, or beyond its end', () => {
    made(1, MIB)
    assert.equal(drafts.lend({ id: id(1), offset: 1, length: MIB }), null)
    assert.equal(drafts.lend({ id: id(2), offset: 0, length: 1 }), null)
    store.put(id(3), new Uint8Array(10_000), 10_000)
    assert.equal(pins.lend({ id: id(3), offset: 1, length: 10_000 }), null)
    pins.endIdle()
    assert.equal(store.stats().pins, 0)
  })

  test('a disk that does not take a piece is no fault of its source, and told once', () => {
    begin(scene.createSpilling(8 * MIB))
    made(1, 20 * MIB)
    const disk = `${store.path}-disk`
    for (const file of readdirSync(disk)) truncateSync(join(disk, file))
    const failure = bring(1, 16 * MIB, pattern(2 * MIB, 4))
    assert.equal(failure?.missing, false)
    assert.notEqual(failure?.why ?? '', '')
  })

  test('what is on disk is read later, and a disk that fails rejects', async () => {
    begin(scene.createSpilling(8 * MIB))
    const bytes = pattern(MIB, 5)
    made(1, 20 * MIB)
    bring(1, 0, bytes)
    drafts.seal(id(1))
    const lent = pins.lend({ id: id(1), offset: 0, length: 20 * MIB }) as Lent
    const back = new Uint8Array(MIB)
    await lent.read(0, back)
    assert.deepEqual(back, bytes)
    const disk = `${store.path}-disk`
    for (const file of readdirSync(disk)) truncateSync(join(disk, file))
    await assert.rejects(lent.read(0, back) as Promise<void>, /the file ends/)
    lent.done()
  })
})
