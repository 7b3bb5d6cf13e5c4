// SPDX-License-Identifier: Apache-2.0
// The object store by itself, between programs that share nothing but its path.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type Table, tableFromArrays, tableFromIPC } from 'apache-arrow'
import { GetTimeoutError, ObjectExistsError, ObjectStoreFullError, SerializationError } from 'eagleray'
import { ObjectStore, type StoreEvent } from 'eagleray/store'
import { native } from '#lib/native.js'
import { collect } from './programs/by-reference.js'
import { Other } from './store-program.js'

const id = (number: number): string => number.toString(16).padStart(40, '0')
const MIB = 1 << 20

suite('eagleray/store', () => {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'eagleray-test-'))
  let path: string
  let store: ObjectStore
  let others: Other[]
  let paths = 0
  const other = async (): Promise<Other> => {
    others.push(await Other.start(path))
    return others.at(-1)!
  }

  setup(async () => {
    others = []
    path = join(directory, `store-${paths++}`)
    store = await ObjectStore.create({ path, capacityBytes: 16 * MIB })
  })
  teardown(async () => {
    for (const each of others) if (each.child.exitCode === null && each.child.signalCode === null) await each.kill()
    store.close()
    assert.equal(existsSync(path), false)
  })
  suiteTeardown(() => rmSync(directory, { recursive: true, force: true }))

  test('is for its user alone, and goes with its creator', async () => {
    assert.equal(store.path, path)
    assert.equal(statSync(path).mode & 0o777, 0o700)
    assert.equal(statSync(join(path, 'segment')).mode & 0o777, 0o600)
    const opened = await ObjectStore.open(path)
    opened.close()
    assert.equal(existsSync(path), true, 'only the close of the creator removes it')
    store.put(new Uint8Array(8192).fill(3), id(1))
    const object = store.tryGet(id(1))!
    store.close()
    store.close()
    assert.equal(existsSync(path), false)
    assert.equal(object.bytes[8191], 3, 'views outlive it')
    object.release()
    for (const call of [() => store.put(1), () => store.tryGet(id(1)), () => store.list(), () => store.stats(), () => store.watch()])
      assert.throws(call, TypeError)
    await assert.rejects(store.get(id(1)), TypeError)
    await assert.rejects(ObjectStore.open(path))
  })

  test('has a directory of its own when none is named, gone at the end of the process', async () => {
    using unnamed = await ObjectStore.create({ capacityBytes: MIB })
    assert.ok(existsSync(unnamed.path))
    const peer = await other()
    const made = (await peer.does('make')) as string
    assert.ok(existsSync(made))
    await peer.exit(0)
    assert.equal(existsSync(made), false)
    const [killed, next] = [await other(), await other()]
    const left = (await killed.does('make')) as string
    await killed.kill()
    assert.equal(existsSync(left), true)
    await next.does('make')
    assert.equal(existsSync(left), false, 'the next one to make a store clears up')
    await next.exit(0)
    assert.ok(existsSync(unnamed.path))
  })

  test('put, tryGet, contains, delete, between programs', async () => {
    const peer = await other()
    for (const length of [0, 1, 100, 4000, 4096, 100_000]) {
      store.put(new Uint8Array(length).fill(length), id(length))
      assert.deepEqual(
        await peer.does('read', id(length)),
        length === 0 ? [0, undefined, undefined].map(each => each ?? null) : [length, length & 255, length & 255],
      )
      assert.equal(store.contains(id(length)), true)
      assert.equal(await peer.does('delete', id(length)), true)
      assert.equal(store.delete(id(length)), false)
      assert.equal(store.contains(id(length)), false)
      assert.equal(store.tryGet(id(length)), null)
    }
    const named = (await peer.does('put', 9000, 7)) as string
    assert.match(named, /^[0-9a-f]{40}$/)
    assert.equal(store.tryGet(named)!.bytes[8999], 7)
    assert.notEqual(store.put(1), store.put(1))
  })

  test('values of every kind; bytes of the binary are exactly theirs', () => {
    const large = Uint8Array.from({ length: 10_000 }, (_, i) => i)
    for (const value of [1, 'text', null, undefined, { a: [1n, new Date(0)], m: new Map([[1, 2]]) }, [1, 2, 3], 'x'.repeat(50_000)])
      assert.deepEqual(store.tryGet(store.put(value))!.value(), value)
    for (const value of [
      large,
      large.subarray(5, 9),
      Buffer.from(large),
      new Float64Array(large.buffer, 8, 600),
      large.buffer,
      new DataView(large.buffer),
    ]) {
      const object = store.tryGet(store.put(value))!
      const exactly = ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value)
      assert.deepEqual(Uint8Array.from(object.bytes), Uint8Array.from(exactly))
      assert.deepStrictEqual(object.value(), value)
    }
    const encoded = store.tryGet(store.put({ a: 1 }))!
    assert.ok(encoded.bytes.length > 0)
    assert.throws(
      () => store.put({ deep: [Promise.resolve()] }),
      (error: SerializationError) => error instanceof SerializationError && error.path === 'value.deep[0]',
    )
    assert.equal(
      store.list().every(each => each.state === 'sealed'),
      true,
    )
  })

  test('a table is a valid Arrow IPC stream, and a table again', async () => {
    const table = tableFromArrays({
      n: Int32Array.from({ length: 5000 }, (_, i) => i),
      s: Array.from({ length: 5000 }, (_, i) => `s${i % 7}`),
    })
    const object = await store.get(store.put(table))
    const read = tableFromIPC(object.bytes)
    assert.equal(read.numRows, 5000)
    assert.equal(read.getChild('n')!.get(4999), 4999)
    const value = object.value<Table>()
    assert.equal(value.getChild('s')!.get(8), 's1')
    const small = await store.get(store.put(tableFromArrays({ n: [1, 2] })))
    assert.equal(small.value<Table>().numRows, 2)
  })

  test('views are the shared memory, also of an ArrayBuffer, and a write stays private', async () => {
    const raw = new Uint8Array(3 * 4096).fill(5).buffer
    store.put({ raw, over: new Uint16Array(raw, 64, 8), array: new Uint8Array(8192).fill(6) }, id(1))
    const object = store.tryGet(id(1))!
    const value = object.value<{ raw: ArrayBuffer; over: Uint16Array; array: Uint8Array }>()
    assert.equal(value.over.buffer, value.raw)
    assert.equal(object.value<typeof value>().raw, value.raw, 'one memory, however often it is asked for')
    assert.equal(native.privatePages(value.raw), 0)
    assert.equal(native.privatePages(value.array.buffer as ArrayBuffer), 0)
    assert.deepEqual(store.stats().pins, 1)
    store.put(new Uint8Array(8192).fill(1), id(2))
    const peer = await other()
    await peer.does('scribble', id(2))
    assert.equal(store.tryGet(id(2))!.bytes[0], 1)
    object.release()
    object.release()
    assert.deepEqual([value.raw.byteLength, value.over.length, value.array.length, object.bytes.length], [0, 0, 0, 0])
    assert.throws(() => object.value(), TypeError)
    assert.equal(store.tryGet(id(1))!.value<typeof value>().array[0], 6)
  })

  test('release ends the pin even of a value that is nothing but ArrayBuffers', async () => {
    store.put([new ArrayBuffer(8192), new ArrayBuffer(5000)], id(1))
    const object = store.tryGet(id(1))!
    const [first] = object.value<ArrayBuffer[]>()
    object.release()
    assert.equal(first!.byteLength, 0)
    store.delete(id(1))
    assert.equal(store.stats().objects, 0)
    store.put(new ArrayBuffer(8192), id(2))
    {
      using alone = store.tryGet(id(2))!
      assert.equal(alone.value<ArrayBuffer>().byteLength, 8192)
    }
    assert.equal(store.stats().pins, 0)
  })

  test('create, fill and seal without a copy; abort', () => {
    const builder = store.create(100_000, id(1))
    builder.bytes.fill(8)
    assert.equal(store.tryGet(id(1)), null)
    assert.equal(store.list()[0]!.state, 'creating')
    assert.equal(builder.seal(), id(1))
    assert.equal(builder.bytes.length, 0)
    assert.throws(() => builder.seal(), TypeError)
    assert.throws(() => builder.abort(), TypeError)
    const object = store.tryGet(id(1))!
    assert.deepEqual(object.bytes, new Uint8Array(100_000).fill(8))
    assert.ok(object.value() instanceof Uint8Array)
    const aborted = store.create(100_000)
    aborted.abort()
    assert.equal(aborted.bytes.length, 0)
    assert.throws(() => aborted.seal(), TypeError)
    assert.deepEqual(store.tryGet(store.create(0).seal())!.bytes, new Uint8Array(0))
    assert.equal(store.stats().objects, 2)
  })

  test('an id is used once, until it is deleted', () => {
    store.put('first', id(1))
    const exists = (error: ObjectExistsError) =>
      error instanceof ObjectExistsError && error.objectId === id(1) && error.code === 'ERR_EAGLERAY_OBJECT_EXISTS'
    assert.throws(() => store.put('second', id(1)), exists)
    assert.throws(() => store.create(10, id(1)), exists)
    assert.equal(store.tryGet(id(1))!.value(), 'first')
    store.delete(id(1))
    store.put('second', id(1))
    assert.equal(store.tryGet(id(1))!.value(), 'second')
  })

  test('get waits for the seal in another program, in both directions', async () => {
    const peer = await other()
    await peer.does('create', 50_000, id(1))
    const waiting = Promise.all([store.get(id(1)), store.get(id(1), { timeoutMs: 20_000 })])
    await peer.does('seal', id(1))
    for (const object of await waiting) assert.equal(object.bytes[49_999], 1)
    peer.child.send({ order: 'get', args: [id(2), null] })
    assert.equal((await peer.said()).waiting, true)
    store.put(new Uint8Array(10).fill(4), id(2))
    assert.equal((await peer.said()).result, 4)
  })

  test('an object that went again before it was found is waited for on', async () => {
    const peer = await other()
    const waiting = store.get(id(1))
    await peer.does('put', 10, 1, id(1))
    store.delete(id(1))
    await peer.does('put', 10, 2, id(1))
    assert.ok([1, 2].includes((await waiting).bytes[0]!))
  })

  test('get gives up after timeoutMs; 0 is now or never', async () => {
    for (const timeoutMs of [0, 20])
      await assert.rejects(store.get(id(1), { timeoutMs }), (error: GetTimeoutError) => {
        assert.ok(error instanceof GetTimeoutError)
        assert.deepEqual([error.timeoutMs, error.pending], [timeoutMs, [id(1)]])
        return true
      })
    store.put(1, id(1))
    assert.equal((await store.get(id(1), { timeoutMs: 0 })).value(), 1)
  })

  test('close ends those who wait', async () => {
    const second = await ObjectStore.open(path)
    const waiting = second.get(id(1))
    const events = second.watch()[Symbol.asyncIterator]()
    const event = events.next()
    second.close()
    await assert.rejects(waiting, TypeError)
    assert.deepEqual(await event, { done: true, value: undefined })
    const here = store.get(id(1))
    store.put(5, id(1))
    assert.equal((await here).value(), 5)
  })

  test('list and stats', async () => {
    store.put(new Uint8Array(10_000), id(1))
    const peer = await other()
    await peer.does('hold', id(1))
    const held = store.tryGet(id(1))!
    store.create(5, id(2))
    const [first] = store.list().filter(each => each.id === id(1))
    assert.equal(first!.state, 'sealed')
    assert.ok(first!.sizeBytes >= 10_000 && first!.sizeBytes < 10_200)
    assert.ok(first!.createdAtMs <= Date.now())
    assert.deepEqual(first!.pinnedBy.sort(), [process.pid, peer.child.pid!].sort())
    const { capacityBytes, usedBytes, objects, sealed, pins, clients, largestFreeBytes } = store.stats()
    assert.deepEqual(
      { capacityBytes, objects, sealed, pins, clients },
      { capacityBytes: 16 * MIB, objects: 2, sealed: 1, pins: 2, clients: 2 },
    )
    assert.ok(usedBytes >= 10_000 && usedBytes + largestFreeBytes <= 16 * MIB)
    store.delete(id(1))
    assert.equal(store.list().find(each => each.id === id(1))!.state, 'deleting')
    held.release()
    await peer.kill()
    assert.deepEqual(
      store.list().map(each => each.id),
      [id(2)],
      'the killed reader holds nothing any more',
    )
  })

  test('a full store says who holds it, loses nothing, and has room again', async () => {
    const peer = await other()
    const ids: string[] = []
    const fill = () => {
      for (;;) ids.push(store.put(new Uint8Array(3 * MIB).fill(ids.length + 1)))
    }
    assert.throws(fill, (error: ObjectStoreFullError) => {
      assert.ok(error instanceof ObjectStoreFullError)
      assert.ok(error.requestedBytes >= 3 * MIB)
      assert.deepEqual(error.holders.map(each => each.objectId).sort(), [...ids].sort())
      assert.ok(error.holders.every(each => each.reason === 'not deleted' && each.sizeBytes >= 3 * MIB))
      return true
    })
    assert.throws(() => store.create(20 * MIB), ObjectStoreFullError)
    for (const [i, each] of ids.entries()) assert.equal(store.tryGet(each)!.bytes[3 * MIB - 1], i + 1)
    const viewed = ids[0]!
    await peer.does('hold', viewed)
    await collect()
    store.delete(viewed)
    assert.throws(
      () => store.put(new Uint8Array(3 * MIB)),
      (error: ObjectStoreFullError) => error.holders.some(each => each.reason.startsWith(`viewed by pid ${peer.child.pid} since 2`)),
    )
    await peer.kill()
    store.put(new Uint8Array(3 * MIB).fill(9), id(9))
    assert.equal(store.tryGet(id(9))!.bytes[0], 9)
  })

  test('a program that ends, or is killed, with views and half-made objects leaves nothing', async () => {
    store.put(new Uint8Array(10_000), id(1))
    for (const how of ['exit', 'kill'] as const) {
      const peer = await other()
      await peer.does('hold', id(1))
      await peer.does('create', 10_000, id(2))
      assert.deepEqual(how === 'kill' ? await peer.kill() : await peer.exit(3), how === 'kill' ? [null, 'SIGKILL'] : [3, null])
      store.put('the id is free', id(2))
      store.delete(id(2))
      const { objects, pins, clients } = store.stats()
      assert.deepEqual({ objects, pins, clients }, { objects: 1, pins: 0, clients: 1 })
    }
  })

  test('watch tells of seals and deletions by any program, from its call on', async () => {
    store.put('before', id(1))
    const peer = await other()
    const events = store.watch()
    const next = async (): Promise<StoreEvent> => (await events.next()).value as StoreEvent
    await peer.does('create', 10_000, id(2))
    const first = next()
    await peer.does('seal', id(2))
    const sealed = await first
    assert.deepEqual([sealed.type, sealed.id], ['sealed', id(2)])
    assert.ok(sealed.sizeBytes >= 10_000)
    const second = next()
    await peer.does('delete', id(1))
    const { type, id: deleted } = await second
    assert.deepEqual([type, deleted], ['deleted', id(1)])
    store.put(1, id(3))
    store.put(2, id(4))
    assert.deepEqual([await next(), await next()].map(each => each.id).sort(), [id(3), id(4)])
    const last = events.next()
    await events.return!()
    assert.equal((await last).done, true)
  }).timeout(60_000)

  test('worker threads share it, and are woken there too', async () => {
    const code = `
      const { parentPort, workerData } = require('node:worker_threads')
      import('eagleray/store').then(async ({ ObjectStore }) => {
        const store = await ObjectStore.open(workerData.path)
        parentPort.postMessage(store.put(new Uint8Array(10_000).fill(3)))
        const object = await store.get(workerData.id)
        parentPort.postMessage(object.bytes[0])
        await store.get(workerData.never)
      })`
    // The port of this process is here, then with the thread.
    for (const mine of [true, false]) {
      const [wanted, never] = [id(mine ? 1 : 3), id(mine ? 2 : 4)]
      const waiting = mine ? store.get(never) : null
      const worker = new Worker(code, { eval: true, workerData: { path, id: wanted, never } })
      const [theirs] = await once(worker, 'message')
      assert.equal(store.tryGet(theirs)!.bytes[9999], 3)
      const answer = once(worker, 'message')
      store.put(new Uint8Array(9000).fill(6), wanted)
      assert.deepEqual(await answer, [6])
      await worker.terminate()
      const after = store.get(never)
      store.put(1, never)
      assert.equal((await after).value(), 1)
      await waiting
    }
  })

  test('what is no store is an error that names the path', async () => {
    const open = (name: string, make: (segment: string) => void) => {
      const folder = join(directory, name)
      mkdirSync(folder)
      make(join(folder, 'segment'))
      return assert.rejects(ObjectStore.open(folder), (error: Error) => error.message.includes(folder), name)
    }
    await assert.rejects(ObjectStore.open(join(directory, 'nowhere')), (error: Error) => error.message.includes('nowhere'))
    await open('empty folder', () => {})
    await open('empty segment', segment => writeFileSync(segment, ''))
    await open('text', segment => writeFileSync(segment, 'this is no store'))
    await open('zeros', segment => writeFileSync(segment, new Uint8Array(2 * MIB)))
    await open('noise', segment =>
      writeFileSync(
        segment,
        Uint8Array.from({ length: 2 * MIB }, (_, i) => i * 7919 + (i >> 3)),
      ),
    )
    await open('a folder in its place', segment => mkdirSync(segment))
    const cut = join(directory, 'cut')
    const whole = native.createStore(cut, MIB, '0a0b0c0d0e', false, null, 0)
    whole.close()
    truncateSync(join(cut, 'segment'), 8192)
    await assert.rejects(ObjectStore.open(cut), (error: Error) => error.message.includes(cut))
    await assert.rejects(ObjectStore.create({ path, capacityBytes: MIB }), (error: Error) => error.message.includes(path))
    assert.equal(store.tryGet(id(1)), null, 'the store there is unharmed')
  })

  test('wrong arguments are told at the call', async () => {
    const bad = 'never' as never
    for (const options of [
      undefined,
      {},
      { capacityBytes: '1' },
      { capacityBytes: MIB, size: 1 },
      { capacityBytes: MIB, path: 3 },
      { capacityBytes: MIB, spillDir: 3 },
      { capacityBytes: MIB, spillDir: '' },
      { capacityBytes: MIB, spillDir: directory, spillQuotaBytes: '1' },
      { capacityBytes: MIB, spillQuotaBytes: MIB },
      { capacityBytes: MIB, prefault: 1 },
    ])
      await assert.rejects(ObjectStore.create(options as never), TypeError)
    for (const capacityBytes of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      await assert.rejects(ObjectStore.create({ capacityBytes }), RangeError)
    await assert.rejects(
      ObjectStore.create({ capacityBytes: 2 ** 52 }),
      (error: NodeJS.ErrnoException) => error.code?.startsWith('ERR_EAGLERAY_') === true,
    )
    await assert.rejects(ObjectStore.open(undefined as never), TypeError)
    for (const wrong of ['', '12', 'A'.repeat(40), bad, 5 as never, null as never]) {
      for (const call of [
        () => store.put(1, wrong),
        () => store.create(1, wrong),
        () => store.tryGet(wrong),
        () => store.contains(wrong),
        () => store.delete(wrong),
      ])
        assert.throws(call, TypeError)
      await assert.rejects(store.get(wrong), TypeError)
    }
    for (const length of [-1, 1.5, Number.NaN]) assert.throws(() => store.create(length), RangeError)
    await assert.rejects(store.get(id(1), { timeoutMs: -1 }), RangeError)
    await assert.rejects(store.get(id(1), { timeoutMs: '5' as never }), TypeError)
    await assert.rejects(store.get(id(1), { timeout: 5 } as never), TypeError)
    assert.deepEqual(store.list(), [])
  })
})
