// SPDX-License-Identifier: Apache-2.0
// What only Redis can do to the head's tables: go away and come back, and be used by two.

import assert from 'node:assert/strict'
import { RedisStorage } from '#lib/io/storage/redis.js'
import { RedisServer } from '../../fakes/redis.js'

const row = (text: string) => [{ table: 'kv', key: 'k', text }]

suite('tables in Redis', () => {
  let server: RedisServer
  let next = 0
  let name: string
  suiteSetup(async () => {
    server = await RedisServer.start()
  })
  suiteTeardown(() => server.close())
  setup(() => {
    name = `c${++next}`
  })
  const opened = (waitMs = 20_000): RedisStorage => new RedisStorage(`${server.url}?cluster=${name}`, { waitMs })

  test('the server is killed and started again: what waits is written, once it is back', async () => {
    const storage = opened()
    await storage.load()
    await storage.write(row('1'))
    await server.kill()
    const waiting = storage.write(row('2'))
    await server.start()
    await waiting
    assert.match(await server.command('GET', `eagleray:${name}:kv:k`), /\r\n2\r\n$/)
    await storage.close()
  }).timeout(60_000)

  test('a second head is refused while the first lives, and not when it has let go', async () => {
    const first = opened()
    await first.load()
    await assert.rejects(opened().load(), /are in use by another head/)
    await first.write(row('1'))
    await first.close()
    const second = opened()
    assert.equal((await second.load()).get('kv')?.get('k'), '1')
    await second.close()
  }).timeout(60_000)

  test('a head that another one has taken over from writes nothing any more', async () => {
    const storage = opened()
    await storage.load()
    await server.command('SET', `eagleray:${name}:lock`, 'elsewhere:1:x')
    await assert.rejects(storage.write(row('1')), /another head has taken the tables/)
    await assert.rejects(storage.write(row('2')), /another head has taken the tables/)
    assert.match(await server.command('GET', `eagleray:${name}:kv:k`), /^\$-1/)
    await storage.close()
  })

  test('a holder that was a process of this machine and is gone has nothing any more', async () => {
    const { hostname } = await import('node:os')
    await server.command('SET', `eagleray:${name}:lock`, `${hostname()}:999999999:x`)
    const storage = opened()
    assert.equal((await storage.load()).size, 0)
    await storage.close()
  })

  test('no server, or a password it does not take, is an error that says so', async () => {
    await assert.rejects(new RedisStorage('redis://127.0.0.1:1', { waitMs: 300 }).load(), /has not answered for 300 ms/)
    const wrong = server.url.replace('redis://', 'redis://user:secret@')
    await assert.rejects(new RedisStorage(wrong, { waitMs: 20_000 }).load(), error => {
      assert.match((error as Error).message, /WRONGPASS|invalid|AUTH/)
      assert.ok(!(error as Error).message.includes('secret'))
      return true
    })
  })
})
