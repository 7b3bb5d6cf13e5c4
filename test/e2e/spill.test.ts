// SPDX-License-Identifier: Apache-2.0
// Stores that hold more than their memory: by itself, between programs, and under a session.

import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tableFromArrays } from 'apache-arrow'
import { ClusterConnectionError, get, init, OutOfDiskError, put, remote, shutdown, state } from 'eagleray'
import { ObjectStore } from 'eagleray/store'
import { Other } from './store-program.js'
import { begin, end, waitFor } from './support.js'

const MIB = 1 << 20
const filled = (bytes: number, value: number): Uint8Array => new Uint8Array(bytes).fill(value)

suite('a store larger than its memory', () => {
  let directory: string
  const stores: ObjectStore[] = []
  const others: Other[] = []

  setup(() => {
    directory = mkdtempSync(join(tmpdir(), 'eagleray-spill-test-'))
  })
  teardown(async () => {
    for (const other of others.splice(0)) await other.kill()
    for (const store of stores.splice(0)) store.close()
    assert.deepEqual(readdirSync(directory), [], 'nothing is left on disk')
    rmSync(directory, { recursive: true })
  })

  async function make(capacityBytes: number, spillQuotaBytes?: number): Promise<ObjectStore> {
    const store = await ObjectStore.create({
      capacityBytes,
      spillDir: directory,
      ...(spillQuotaBytes === undefined ? {} : { spillQuotaBytes }),
    })
    stores.push(store)
    return store
  }

  test('75 MB hold 800 MB of live arrays and answer a thousand random reads', async () => {
    const store = await make(75_000_000)
    const ids = Array.from({ length: 100 }, (_, i) => store.put(new Float64Array(1_000_000).fill(i)))
    let seed = 1
    for (let read = 0; read < 1000; read++) {
      seed = (seed * 48_271) % 0x7fffffff
      const i = seed % ids.length
      using object = await store.get(ids[i]!)
      const values = object.value<Float64Array>()
      assert.deepEqual([values.length, values[0], values[seed % 1_000_000], values[999_999]], [1_000_000, i, i, i])
    }
    const stats = store.stats()
    assert.ok(stats.spilled >= 90 && stats.usedBytes <= stats.capacityBytes, JSON.stringify(stats))
    // Each was written once at most, and each read brought back its own bytes and no others.
    assert.ok(stats.spilledObjects <= 100 && stats.restoredObjects <= 1000, JSON.stringify(stats))
    assert.equal(stats.restoredBytes, stats.restoredObjects * store.list()[0]!.sizeBytes)
    assert.equal(statSync(join(directory, readdirSync(directory)[0]!)).mode & 0o777, 0o700)
  })

  test('every kind of value comes back from disk', async () => {
    const store = await make(MIB)
    const table = tableFromArrays({ x: new Float64Array(10_000).fill(7), s: Array.from({ length: 10_000 }, (_, i) => `row ${i}`) })
    const values: unknown[] = [
      { deep: [new Date(5), new Map([[1, filled(9000, 4)]])] },
      'text'.repeat(5000),
      filled(1, 1),
      filled(0, 0),
      5n,
    ]
    const ids = values.map(value => store.put(value))
    const tableId = store.put(table)
    for (let i = 0; i < 12; i++) store.put(filled(300_000, i))
    await waitFor(() => store.list().find(each => each.id === tableId)!.spilled)
    for (const [i, id] of ids.entries()) {
      using object = await store.get(id)
      assert.deepEqual(object.value(), values[i])
    }
    using object = store.tryGet(tableId)!
    const back = object.value<typeof table>()
    assert.deepEqual([back.numRows, back.get(9999)!.x, back.get(9999)!.s], [10_000, 7, 'row 9999'])
  })

  test('other programs read and add what is on disk', async () => {
    const store = await make(4 * MIB)
    const ids = Array.from({ length: 20 }, (_, i) => store.put(filled(MIB, i + 1)))
    const other = await Other.start(store.path)
    others.push(other)
    for (const [i, id] of ids.entries()) assert.deepEqual(await other.does('read', id), [MIB, i + 1, i + 1])
    const theirs = []
    for (let i = 0; i < 20; i++) theirs.push((await other.does('put', MIB, 100 + i)) as string)
    for (const [i, id] of theirs.entries()) {
      using object = await store.get(id)
      assert.deepEqual([object.bytes[0], object.bytes.at(-1)], [100 + i, 100 + i])
    }
    // What it views stays where it is, whatever others put; a write into it stays its own.
    assert.equal(await other.does('hold', ids[3]), 4)
    await other.does('scribble', ids[3])
    for (let i = 0; i < 20; i++) store.put(filled(MIB, 50))
    assert.equal((await store.get(ids[3]!)).bytes[0], 4)
  })

  test('views that are garbage make room, here and in programs that listen', async () => {
    const store = await make(4 * MIB)
    const other = await Other.start(store.path)
    others.push(other)
    const held: unknown[] = []
    const ids = Array.from({ length: 4 }, (_, i) => store.put(filled(900_000, i)))
    for (const id of ids.slice(0, 2)) held.push(store.tryGet(id)!)
    for (const [i, id] of ids.slice(2).entries()) assert.equal(await other.does('hold', id), i + 2)
    assert.equal(store.stats().pins, 4)
    held.length = 0
    await other.does('forget')
    other.child.send({ order: 'get', args: ['0'.repeat(40), null] })
    await other.said()
    const onDisk = store.put(filled(900_000, 9))
    assert.equal(store.list().find(each => each.id === onDisk)!.spilled, true, 'nothing in memory could go')
    await waitFor(() => store.stats().pins === 0)
    const inMemory = store.put(filled(900_000, 10))
    assert.equal(store.list().find(each => each.id === inMemory)!.spilled, false)
  })

  test('an object larger than the memory, made in place and read in place', async () => {
    const store = await make(2 * MIB)
    const builder = store.create(9 * MIB)
    builder.bytes.fill(3)
    const id = builder.seal()
    assert.equal(builder.bytes.length, 0)
    const dropped = store.create(9 * MIB)
    dropped.abort()
    const object = await store.get(id)
    const bytes = object.bytes
    assert.deepEqual([bytes.length, bytes[0], bytes.at(-1)], [9 * MIB, 3, 3])
    bytes.fill(9)
    using again = await store.get(id)
    assert.equal(again.bytes[0], 3, 'a write into a view stays in that view')
    object.release()
    assert.equal(bytes.length, 0)
  })

  test('the quota is an error that names the largest, and nothing is lost', async () => {
    const store = await make(4 * MIB, 6 * MIB)
    const ids: string[] = []
    const fill = (): void => {
      for (;;) ids.push(store.put(filled(MIB - 4096, ids.length)))
    }
    assert.throws(fill, (error: OutOfDiskError) => {
      assert.ok(error instanceof OutOfDiskError, String(error))
      assert.match(error.message, /largest objects are:\n.*made at .*spill\.test\.ts:\d+:\d+ by pid \d+: not deleted/)
      return true
    })
    assert.ok(ids.length >= 8, `${ids.length}`)
    for (const [i, id] of ids.entries()) {
      using object = await store.get(id)
      assert.equal(object.bytes.at(-1), i)
    }
    for (const id of ids.splice(0, 4)) store.delete(id)
    await waitFor(() => {
      try {
        return store.put(filled(MIB - 4096, 1))
      } catch {
        return null
      }
    })
  })

  test('a disk that fails is an error, and nothing in memory is lost', async () => {
    const store = await make(4 * MIB)
    const first = store.put(filled(MIB, 1))
    const folder = join(directory, readdirSync(directory)[0]!)
    rmSync(folder, { recursive: true })
    writeFileSync(folder, 'no directory')
    const ids = [first]
    const fill = (): void => {
      for (;;) ids.push(store.put(filled(MIB, 1)))
    }
    assert.throws(fill, { code: 'ERR_EAGLERAY_SYSTEM' })
    for (const id of ids) assert.equal((await store.get(id)).bytes[0], 1)
  })

  test('what a killed program left on disk is removed by the next store there', async () => {
    const store = await make(MIB)
    const other = await Other.start(store.path)
    await other.does('make', directory)
    assert.equal(readdirSync(directory).length, 2)
    await other.kill()
    await make(MIB)
    assert.equal(readdirSync(directory).length, 2)
  })

  test('metrics are in the form that Prometheus reads', async () => {
    const store = await make(MIB)
    for (let i = 0; i < 6; i++) store.put(filled(300_000, i))
    const lines = store.metrics().trimEnd().split('\n')
    const samples = lines.filter(line => !line.startsWith('#'))
    for (const line of samples) assert.match(line, /^eagleray_store_[a-z_]+\{store="[^"]+"(,pid="\d+")?\} \d+$/)
    const value = (name: string): number =>
      Number(
        samples
          .find(line => line.startsWith(`eagleray_store_${name}{`))!
          .split(' ')
          .at(-1),
      )
    assert.equal(value('sealed_objects'), 6)
    assert.ok(value('spilled_objects_total') > 0 && value('disk_bytes') > 0)
    assert.ok(lines.includes('# TYPE eagleray_store_restored_bytes_total counter'))
  })
})

suite('a session whose store is larger than its memory', () => {
  teardown(end)

  test('tasks and gets work on six times its memory', async () => {
    await begin({ numCpus: 2, objectStoreBytes: 64 * MIB })
    const refs = Array.from({ length: 48 }, (_, i) => put(filled(8 * MIB, i)))
    const sum = remote((bytes: Uint8Array) => (bytes[0] as number) + (bytes.at(-1) as number))
    assert.deepEqual(
      await Promise.all(refs.map(ref => get(sum.remote(ref)))),
      refs.map((_, i) => 2 * i),
    )
    const large = remote((i: number) => new Uint8Array(8 * (1 << 20)).fill(i))
    const results = Array.from({ length: 24 }, (_, i) => large.remote(i))
    for (const [i, ref] of results.entries()) assert.equal((await get(ref))[77], i)
    const rows = await state.listObjects()
    assert.ok(rows.filter(row => row.spilled).length >= 40, JSON.stringify(rows.map(row => row.spilled)))
    for (const ref of [...refs, ...results]) ref[Symbol.dispose]()
  })

  test('spillDir is used and left empty', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'eagleray-spill-test-'))
    await begin({ numCpus: 1, objectStoreBytes: 16 * MIB, spillDir: directory })
    const refs = Array.from({ length: 6 }, (_, i) => put(filled(8 * MIB, i)))
    assert.equal(readdirSync(directory).length, 1)
    for (const [i, ref] of refs.entries()) assert.equal((await get(ref))[0], i)
    await end()
    assert.deepEqual(readdirSync(directory), [])
    rmSync(directory, { recursive: true })
  })

  test('a spillDir that cannot be one is told at init', async () => {
    await assert.rejects(init({ spillDir: 3 as never }), TypeError)
    await assert.rejects(init({ spillDir: '/x', spill: false }), /spillDir is given, and spill is false/)
    await assert.rejects(init({ spillDir: '/dev/null/x' }), ClusterConnectionError)
    await shutdown()
  })
})
