// SPDX-License-Identifier: Apache-2.0
// Tables in files under everything that can go wrong with a disk or the process: what was acknowledged is there again.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import fc from 'fast-check'
import { type Disk, type DiskFile, realDisk } from '#lib/io/storage/disk.js'
import { FileStorage } from '#lib/io/storage/file.js'
import { openStorage } from '#lib/io/storage/open.js'
import { apply, type Change, type StoredTables } from '#lib/io/storage/storage.js'

const set = (key: string, text: string | null): Change => ({ table: 'kv', key, text })
const plain = (tables: StoredTables): Record<string, string> => Object.fromEntries([...(tables.get('kv') ?? [])].sort())
const opened = (folder: string, disk?: Disk): FileStorage =>
  new FileStorage(folder, { lock: () => true, compactBytesMin: 600, ...(disk === undefined ? {} : { disk }) })

async function contents(folder: string): Promise<Record<string, string>> {
  const storage = opened(folder)
  const tables = await storage.load()
  await storage.close()
  return plain(tables)
}

/** Fails for good at the `left`th operation that changes something, after doing a part of it, as a crash would. */
class DyingDisk implements Disk {
  dead = false

  constructor(
    private left: number,
    private readonly share: number,
  ) {}

  makeFolder = realDisk.makeFolder
  names = realDisk.names
  read = realDisk.read

  async open(path: string, isNew: boolean): Promise<DiskFile> {
    await this.#step(async () => {})
    const file = await realDisk.open(path, isNew)
    return {
      append: bytes =>
        this.#step(
          () => file.append(bytes),
          () => file.append(bytes.subarray(0, Math.floor(bytes.length * this.share))),
        ),
      truncate: size => this.#step(() => file.truncate(size)),
      sync: () => this.#step(() => file.sync()),
      close: () => file.close(),
    }
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step(() => realDisk.rename(from, to), this.share > 0.5 ? () => realDisk.rename(from, to) : undefined)
  }

  remove(path: string): Promise<void> {
    return this.#step(() => realDisk.remove(path))
  }

  syncFolder(path: string): Promise<void> {
    return this.#step(() => realDisk.syncFolder(path))
  }

  async #step(whole: () => Promise<void>, part?: () => Promise<void>): Promise<void> {
    if (this.dead) throw new Error('the disk is gone')
    if (this.left-- > 0) return whole()
    this.dead = true
    await part?.()
    throw new Error('the disk fails')
  }
}

suite('tables in files', () => {
  let base: string
  setup(() => {
    base = mkdtempSync(join(tmpdir(), 'eagleray-files-'))
  })
  teardown(() => rmSync(base, { recursive: true, force: true }))

  test('a log cut at any byte has every batch that was whole before the cut, and goes on', async () => {
    const folder = join(base, 'whole')
    const storage = opened(folder)
    await storage.load()
    const log = join(folder, 'tables-1.log')
    const states: { size: number; rows: Record<string, string> }[] = [{ size: statSync(log).size, rows: {} }]
    const model: StoredTables = new Map()
    for (let i = 0; i < 6; i++) {
      const batch = [set(`k${i % 3}`, JSON.stringify('x'.repeat(i * 7))), set('n', `${i}`), set(`k${(i + 1) % 3}`, null)]
      await storage.write(batch)
      apply(model, batch)
      states.push({ size: statSync(log).size, rows: plain(model) })
    }
    await storage.close()
    const bytes = readFileSync(log)
    const begin = states[0]?.size as number
    for (let size = begin; size <= bytes.length; size++) {
      const cut = join(base, `cut-${size}`)
      mkdirSync(cut)
      writeFileSync(join(cut, 'tables-1.log'), bytes.subarray(0, size))
      const expected = states.findLast(state => state.size <= size)?.rows
      assert.deepEqual(await contents(cut), expected, `cut at ${size}`)
      const again = opened(cut)
      await again.load()
      await again.write([set('after', '1')])
      await again.close()
      assert.deepEqual(await contents(cut), { ...expected, after: '1' })
      rmSync(cut, { recursive: true })
    }
  }).timeout(120_000)

  test('what a crash leaves behind the last record is dropped; damage before it is not passed over', async () => {
    const folder = join(base, 'damaged')
    const storage = opened(folder)
    await storage.load()
    for (const i of [1, 2, 3]) await storage.write([set('k', `${i}`)])
    await storage.close()
    const log = join(folder, 'tables-1.log')
    appendFileSync(log, Buffer.alloc(4096))
    assert.deepEqual(await contents(folder), { k: '3' })
    const bytes = readFileSync(log)
    const at = bytes.indexOf('"2"')
    bytes[at + 1] = 0x39
    writeFileSync(log, bytes)
    await assert.rejects(contents(folder), /is damaged at byte \d+: .*not the trace of a crash/)
    writeFileSync(log, 'nonsense')
    await assert.rejects(contents(folder), /is damaged at byte 0/)
  })

  test('property: a disk that fails at any step loses nothing that was acknowledged, and keeps batches whole', async () => {
    const batch = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.option(fc.string({ maxLength: 120 }))), {
      minLength: 1,
      maxLength: 4,
    })
    let runs = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { minLength: 1, maxLength: 25 }),
        fc.nat(70),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (all, left, share) => {
          const folder = join(base, `run-${runs++}`)
          const storage = opened(folder, new DyingDisk(left, share))
          const model: StoredTables = new Map()
          const possible: Record<string, string>[] = [{}]
          try {
            await storage.load()
            for (const [i, rows] of all.entries()) {
              const changes = [...rows.map(([key, text]) => set(key, text === null ? null : JSON.stringify(text))), set('n', `${i}`)]
              const next: StoredTables = new Map([...model].map(([table, each]) => [table, new Map(each)]))
              apply(next, changes)
              possible.push(plain(next))
              await storage.write(changes)
              apply(model, changes)
              possible.splice(0, possible.length - 1)
            }
          } catch {
            await assert.rejects(storage.write([set('late', '1')]), 'nothing is acknowledged any more')
          }
          await storage.close().catch(() => {})
          const found = await contents(folder)
          assert.ok(
            possible.some(each => JSON.stringify(each) === JSON.stringify(found)),
            `${JSON.stringify(found)} is none of ${JSON.stringify(possible)}`,
          )
        },
      ),
      { numRuns: 200 },
    )
  }).timeout(120_000)

  test('a log that has grown is begun anew, and what is not needed any more goes', async () => {
    const folder = join(base, 'grown')
    const storage = opened(folder)
    await storage.load()
    for (let i = 0; i < 200; i++) await storage.write([set('k', `"${'y'.repeat(50)}${i}"`)])
    await storage.close()
    const logs = readdirSync(folder).filter(name => name.startsWith('tables-'))
    assert.equal(logs.length, 1)
    assert.notEqual(logs[0], 'tables-1.log')
    assert.ok(statSync(join(folder, logs[0] as string)).size < 2_000)
    // An old log and an unfinished one, as a crash may leave them.
    copyFileSync(join(folder, logs[0] as string), join(folder, 'tables-1.log'))
    writeFileSync(join(folder, 'tables-99.tmp'), 'unfinished')
    assert.deepEqual(await contents(folder), { k: `"${'y'.repeat(50)}199"` })
    assert.deepEqual(
      readdirSync(folder).filter(name => name.startsWith('tables-')),
      logs,
    )
  })

  test('nobody else may read it, and no second head may use it', async () => {
    const folder = join(base, 'own')
    const one = openStorage(`file:${folder}`)
    await one.load()
    assert.equal(statSync(folder).mode & 0o777, 0o700)
    assert.equal(statSync(join(folder, 'tables-1.log')).mode & 0o777, 0o600)
    await assert.rejects(openStorage(`file:${folder}`).load(), /are in use by another head/)
    await one.close()
  })

  test('a folder that cannot be used says so, and names that are none are refused', async () => {
    const file = join(base, 'file')
    writeFileSync(file, '')
    await assert.rejects(openStorage(`file:${file}`).load(), /EEXIST|ENOTDIR/)
    for (const name of ['', 'file:', 'disk:x', 'redis:x']) assert.throws(() => openStorage(name), TypeError)
    chmodSync(base, 0o700)
  })

  test('kill -9 at any moment: every batch that the process acknowledged is there', async () => {
    const folder = join(base, 'killed')
    let next = 0
    for (let round = 0; round < 4; round++) {
      const child = spawn(
        process.execPath,
        ['--import', 'tsx', join(import.meta.dirname, '../../fixtures/storage-writer.ts'), folder, `${next}`],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      const lines = createInterface({ input: child.stdout })
      let acknowledged = -1
      for await (const line of lines) {
        acknowledged = Number(line)
        if (acknowledged >= next + 40 * (round + 1)) break
      }
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      const rows = await contents(folder)
      const last = Number(rows.last)
      assert.ok(last >= acknowledged, `${acknowledged} was acknowledged, and ${last} is there`)
      for (let i = 0; i <= last; i++) assert.equal(rows[`k${i}`], `${i}`)
      next = last + 1
    }
  }).timeout(120_000)
})
