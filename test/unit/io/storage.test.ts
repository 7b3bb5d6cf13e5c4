// SPDX-License-Identifier: Apache-2.0
// One suite for every storage: what was acknowledged is there, in order, whole, and for one head at a time.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { FileStorage } from '#lib/io/storage/file.js'
import { MemoryStorage } from '#lib/io/storage/memory.js'
import { RedisStorage } from '#lib/io/storage/redis.js'
import { fromText, toText } from '#lib/io/storage/row-text.js'
import { apply, type Change, type Storage, type StoredTables } from '#lib/io/storage/storage.js'
import { RedisServer } from '../../fakes/redis.js'

/** Where storages of one kind are. */
interface Place {
  /** Of the place with that name; the one before must be closed. */
  open(name: string): Storage
  end?(): Promise<void>
}

const places: Record<string, () => Promise<Place>> = {
  memory: async () => {
    const tables = new Map<string, StoredTables>()
    return { open: name => new MemoryStorage(tables.get(name) ?? tables.set(name, new Map()).get(name)) }
  },
  file: async () => {
    const base = mkdtempSync(join(tmpdir(), 'eagleray-storage-'))
    return {
      open: name => new FileStorage(join(base, name), { lock: () => true, compactBytesMin: 2_000 }),
      end: async () => rmSync(base, { recursive: true }),
    }
  },
  redis: async () => {
    const server = await RedisServer.start()
    return {
      open: name => new RedisStorage(`${server.url}?cluster=${name}`, { waitMs: 20_000 }),
      end: () => server.close(),
    }
  },
}

const set = (table: string, key: string, text: string | null): Change => ({ table, key, text })
const plain = (tables: StoredTables): unknown =>
  Object.fromEntries([...tables].filter(([, rows]) => rows.size > 0).map(([table, rows]) => [table, Object.fromEntries([...rows].sort())]))

async function reopened(place: Place, name: string, storage: Storage): Promise<[Storage, StoredTables]> {
  await storage.close()
  const next = place.open(name)
  return [next, await next.load()]
}

for (const [kind, make] of Object.entries(places)) {
  suite(`storage: ${kind}`, () => {
    let place: Place
    let next = 0
    let name: string
    suiteSetup(async () => {
      place = await make()
    })
    suiteTeardown(() => place.end?.())
    setup(() => {
      name = `p${++next}`
    })

    test('a new one is empty; what was written is there the next time, changed and removed rows too', async () => {
      let storage = place.open(name)
      assert.deepEqual(plain(await storage.load()), {})
      await storage.write([set('actors', 'a', '1'), set('actors', 'b', '2'), set('kv', 'n/k', '"ü\n\u0000:*"')])
      await storage.write([set('actors', 'a', null), set('actors', 'b', '3'), set('actors', 'none', null)])
      let tables: StoredTables
      ;[storage, tables] = await reopened(place, name, storage)
      assert.deepEqual(plain(tables), { actors: { b: '3' }, kv: { 'n/k': '"ü\n\u0000:*"' } })
      await storage.write([set('kv', 'n/k', null), set('jobs', '', '{}')])
      ;[storage, tables] = await reopened(place, name, storage)
      assert.deepEqual(plain(tables), { actors: { b: '3' }, jobs: { '': '{}' } })
      await storage.close()
    })

    test('places do not see each other', async () => {
      const [one, other] = [place.open(`${name}*`), place.open(`${name}x`)]
      await one.load()
      await one.write([set('kv', 'k', '1')])
      assert.deepEqual(plain(await other.load()), {})
      await other.write([set('kv', 'k', '2')])
      const [again, tables] = await reopened(place, `${name}*`, one)
      assert.deepEqual(plain(tables), { kv: { k: '1' } })
      await Promise.all([again.close(), other.close()])
    })

    test('batches that nobody waits for take effect in the order of the calls', async () => {
      const storage = place.open(name)
      await storage.load()
      const writes = Array.from({ length: 500 }, (_, i) => storage.write([set('kv', `k${i % 7}`, `${i}`), set('kv', 'last', `${i}`)]))
      await Promise.all(writes)
      const [again, tables] = await reopened(place, name, storage)
      assert.equal(tables.get('kv')?.get('last'), '499')
      assert.equal(tables.get('kv')?.get('k0'), '497')
      await again.close()
    })

    test('close waits for what was written', async () => {
      const storage = place.open(name)
      await storage.load()
      const write = storage.write([set('kv', 'k', '1')])
      const [again, tables] = await reopened(place, name, storage)
      await write
      assert.deepEqual(plain(tables), { kv: { k: '1' } })
      await again.close()
    })

    test('large rows and large batches', async () => {
      const storage = place.open(name)
      await storage.load()
      const text = JSON.stringify('x'.repeat(3_000_000))
      await storage.write([set('arguments', 'large', text), ...Array.from({ length: 3_000 }, (_, i) => set('actors', `a${i}`, '{}'))])
      const [again, tables] = await reopened(place, name, storage)
      assert.equal(tables.get('arguments')?.get('large'), text)
      assert.equal(tables.get('actors')?.size, 3_000)
      await again.close()
    })

    test('property: after any batches and reopenings it holds what a map would', async () => {
      const change = fc.record({
        table: fc.constantFrom('actors', 'kv'),
        key: fc.constantFrom('a', 'b', 'c:d', '*', ''),
        text: fc.option(fc.string({ maxLength: 400 }).map(each => JSON.stringify(each))),
      })
      const steps = fc.array(
        fc.oneof(
          { weight: 5, arbitrary: fc.array(change, { minLength: 1, maxLength: 6 }) },
          { weight: 1, arbitrary: fc.constant('reopen' as const) },
        ),
        { maxLength: 40 },
      )
      let runs = 0
      await fc.assert(
        fc.asyncProperty(steps, async all => {
          const mine = `${name}-${runs++}`
          const model: StoredTables = new Map()
          let storage = place.open(mine)
          await storage.load()
          for (const step of [...all, 'reopen' as const]) {
            if (step === 'reopen') {
              let tables: StoredTables
              ;[storage, tables] = await reopened(place, mine, storage)
              assert.deepEqual(plain(tables), plain(model))
            } else {
              await storage.write(step)
              apply(model, step)
            }
          }
          await storage.close()
        }),
        { numRuns: kind === 'redis' ? 5 : 25 },
      )
    })
  })
}

suite('rows as text', () => {
  test('property: what goes in comes out, bytes too', () => {
    const value = fc.letrec<{ any: unknown }>(tie => ({
      any: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<unknown>(null, true, 1.5, -3, 'text', '$'),
        fc.uint8Array({ maxLength: 20 }),
        fc.array(tie('any'), { maxLength: 4 }),
        fc.dictionary(fc.constantFrom('a', '$bytes', '$$bytes', '$a', 'b c'), tie('any')),
      ),
    })).any
    fc.assert(
      fc.property(value, row => {
        assert.deepEqual(fromText(toText(row)), normal(row))
      }),
    )
  })

  test('people can read it', () => {
    assert.equal(toText({ name: 'a', code: new Uint8Array([1, 2]) }), '{"name":"a","code":{"$bytes":"AQI="}}')
  })
})

/** Without the prototypes that fast-check gives dictionaries. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(normal)
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, normal(each)]))
}
