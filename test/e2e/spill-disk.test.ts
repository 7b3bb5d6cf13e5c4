// SPDX-License-Identifier: Apache-2.0
// The disk that stores spill to: full to the last byte, left by programs that are killed while they spill, named by a relative path, shared with
// others.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { get, OutOfDiskError, put } from 'eagleray'
import { ObjectStore } from 'eagleray/store'
import { begin, end, endPrograms, type Program, startProgram, waitFor } from './support.js'

const MIB = 1 << 20
const filled = (value: number): Uint8Array => new Uint8Array(MIB).fill(value)
const idOf = (n: number): string => `5b${n.toString(16).padStart(38, '0')}`

suite('the disk that a store spills to', () => {
  let directory: string
  let mounted = false
  const stores: ObjectStore[] = []

  setup(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'eagleray-spill-test-')))
  })
  teardown(async () => {
    endPrograms()
    await end()
    for (const store of stores.splice(0)) store.close()
    if (mounted) spawnSync('umount', ['-l', directory])
    mounted = false
    rmSync(directory, { recursive: true })
  })

  async function make(capacityBytes: number, spillDir = directory): Promise<ObjectStore> {
    const store = await ObjectStore.create({ capacityBytes, spillDir })
    stores.push(store)
    return store
  }
  /** A disk of 8 MiB at `directory`. False where mounting is not allowed. */
  function mountDisk(): boolean {
    mounted = process.getuid?.() === 0 && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', directory]).status === 0
    return mounted
  }
  /** Somebody else takes the last byte. */
  function fillDisk(): string {
    const path = join(directory, 'of-somebody-else')
    assert.throws(() => writeFileSync(path, new Uint8Array(9 * MIB)), { code: 'ENOSPC' })
    return path
  }
  const whole = (bytes: Uint8Array, n: number): boolean => bytes.length === MIB && bytes.every(byte => byte === (n & 255))

  test('a full disk is an OutOfDiskError, loses nothing, and is used again once it has room', async function () {
    if (!mountDisk()) return this.skip()
    const store = await make(4 * MIB)
    const ids: string[] = []
    const fill = (): void => {
      for (;;) ids.push(store.put(filled(ids.length)))
    }
    while (store.stats().spilledObjects < 2) ids.push(store.put(filled(ids.length)))
    const path = fillDisk()
    assert.throws(
      fill,
      (error: Error) => error instanceof OutOfDiskError && /has 0 bytes left.*The largest objects are:/s.test(error.message),
    )
    assert.throws(() => store.create(20 * MIB), OutOfDiskError)
    for (const [n, id] of ids.entries()) assert.ok(whole((await store.get(id)).bytes, n), `${n}`)
    rmSync(path)
    const count = ids.length
    assert.throws(fill, OutOfDiskError)
    assert.ok(ids.length > count)
    for (const [n, id] of ids.entries()) assert.ok(whole((await store.get(id)).bytes, n), `${n}`)
  })

  test('a session whose disk is full', async function () {
    if (!mountDisk()) return this.skip()
    await begin({ numCpus: 1, objectStoreBytes: 8 * MIB, spillDir: directory })
    fillDisk()
    const refs: ReturnType<typeof put>[] = []
    const fill = (): void => {
      for (;;) refs.push(put(filled(refs.length)))
    }
    assert.throws(fill, (error: Error) => error instanceof OutOfDiskError && /free disk space/.test(error.message))
    for (const [n, ref] of refs.entries()) assert.ok(whole((await get(ref)) as Uint8Array, n), `${n}`)
  })

  /** Kills it when it has put some more than memory holds. */
  async function killed(program: Program): Promise<number> {
    await program.line(/put 2\d\n/)
    program.kill('SIGKILL')
    const { stdout, signal } = await program.ended
    assert.equal(signal, 'SIGKILL')
    return Number([...stdout.matchAll(/put (\d+)\n/g)].at(-1)![1]) + 1
  }

  test('a program that is killed while it spills: others go on, what it had put is whole, and its files go with that', async () => {
    const store = await make(8 * MIB)
    const mine = Array.from({ length: 6 }, (_, n) => store.put(filled(200 + n)))
    const count = await killed(startProgram('spiller.mjs', { args: ['store', store.path] }))
    for (let n = 0; n < count; n++) {
      using object = await store.get(idOf(n), { timeoutMs: 0 })
      assert.ok(whole(object.bytes, n), `${n}`)
    }
    for (const [n, id] of mine.entries()) assert.ok(whole((await store.get(id)).bytes, 200 + n))
    // Also the one that it may have been at: sealed, or nowhere.
    const { objects } = store.stats()
    assert.ok(objects === mine.length + count || (objects === mine.length + count + 1 && store.contains(idOf(count))), `${objects}`)
    for (const id of [...mine, ...Array.from({ length: count + 1 }, (_, n) => idOf(n))]) store.delete(id)
    // The two files that this process may append to stay (what is spilled, what was made on disk), each with less in it than a hole is made for.
    const folder = join(directory, readdirSync(directory)[0]!)
    const left = (): string[] => readdirSync(folder).filter(name => name !== 'lock')
    await waitFor(() => left().length <= 2 && store.stats().diskBytes < 8 * MIB, 'its files gone').catch(() => {
      assert.deepEqual([left(), store.stats().diskBytes], [[], 0])
    })
    store.close()
    assert.deepEqual(readdirSync(directory), [], 'nothing is left with the store')
  })

  test('a creator that is killed while it spills: who has the store open goes on, until the next store there removes the files', async () => {
    const program = startProgram('spiller.mjs', { args: ['creator', directory] })
    const [, path] = await program.line(/store (.*)\n/)
    const store = await ObjectStore.open(path!)
    stores.push(store)
    const count = await killed(program)
    for (let n = 0; n < count; n++) {
      using object = await store.get(idOf(n), { timeoutMs: 0 })
      assert.ok(whole(object.bytes, n), `${n}`)
    }
    store.put(filled(99), idOf(5000))
    await make(MIB)
    assert.equal(readdirSync(directory).length, 1, 'that of the new store')
    const outcomes = new Set<string>()
    for (let n = 0; n < count; n++) {
      try {
        using object = await store.get(idOf(n), { timeoutMs: 0 })
        assert.ok(whole(object.bytes, n), `${n}`)
        outcomes.add('there')
      } catch (error) {
        outcomes.add((error as NodeJS.ErrnoException).code!)
      }
    }
    assert.deepEqual([...outcomes].sort(), ['ERR_EAGLERAY_SYSTEM', 'there'])
  })

  test('a driver that is killed while it spills to a relative spillDir: nothing is left there, and nowhere else', async () => {
    const program = startProgram('spiller.mjs', { args: ['driver', 'disk'], cwd: directory })
    await program.line(/session /)
    const [folder] = readdirSync(join(directory, 'disk'))
    await waitFor(() => readdirSync(join(directory, 'disk', folder!)).length > 1, 'files of spilled objects')
    await killed(program)
    await program.traces.gone()
    assert.deepEqual([readdirSync(directory), readdirSync(join(directory, 'disk'))], [['disk'], []])
  })

  test('a store whose spillDir is relative, in a process that goes elsewhere', async () => {
    const before = process.cwd()
    process.chdir(directory)
    try {
      const store = await make(4 * MIB, 'disk')
      process.chdir('/')
      const ids = Array.from({ length: 12 }, (_, n) => store.put(filled(n)))
      for (const [n, id] of ids.entries()) assert.ok(whole((await store.get(id)).bytes, n))
      assert.equal(readdirSync(join(directory, 'disk')).length, 1)
    } finally {
      process.chdir(before)
    }
  })

  test('folders of other users, and links, are not removed as those of the dead are', async function () {
    if (process.getuid?.() !== 0) return this.skip()
    const dead = (name: string, owner: number): string => {
      const path = join(directory, `eagleray-spill-${name}`)
      mkdirSync(path)
      writeFileSync(join(path, 'lock'), '')
      chownSync(path, owner, owner)
      return path
    }
    dead('own', 0)
    const elsewhere = join(directory, 'elsewhere')
    mkdirSync(elsewhere)
    writeFileSync(join(elsewhere, 'lock'), 'precious')
    dead('others', 12_345)
    symlinkSync(elsewhere, join(directory, 'eagleray-spill-link'))
    ;(await make(MIB)).close()
    assert.deepEqual(readdirSync(directory).sort(), ['eagleray-spill-link', 'eagleray-spill-others', 'elsewhere'])
    assert.deepEqual(readdirSync(elsewhere), ['lock'])
  })
})
