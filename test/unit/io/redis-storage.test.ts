// SPDX-License-Identifier: Apache-2.0
// What only Redis can do to the head's tables: go away and come back, and be used by two.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { RedisStorage } from '#lib/io/storage/redis.js'
import { describeTrouble, troubleOf } from '#lib/io/storage/redis-troubles.js'
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

  test('each time that it goes away it is told that it is waited for, and then that it is back', async () => {
    const told: (string | null)[] = []
    let heard = (): void => {}
    const onWaiting = (text: string | null): void => {
      told.push(text)
      heard()
    }
    const storage = new RedisStorage(`${server.url}?cluster=${name}`, { waitMs: 20_000, onWaiting })
    await storage.load()
    for (const text of ['1', '2']) {
      await server.kill()
      const waits = new Promise<void>(resolve => (heard = resolve))
      const waiting = storage.write(row(text))
      await waits
      await server.start()
      await waiting
      assert.match(told.shift() ?? '', /^waits for Redis at /)
      assert.equal(told.pop(), null)
      assert.ok(told.splice(0).every(each => each !== null))
    }
    await storage.write(row('3'))
    assert.deepEqual(told, [])
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
    await assert.rejects(
      new RedisStorage('redis://127.0.0.1:1', { waitMs: 300 }).load(),
      /Redis at redis:\/\/127.0.0.1:1 was not to be used for 0.3 s. connect ECONNREFUSED 127.0.0.1:1: nothing listens there/,
    )
    const wrong = server.url.replace('redis://', 'redis://user:secret@')
    await assert.rejects(new RedisStorage(wrong, { waitMs: 20_000 }).load(), error => {
      assert.match((error as Error).message, /cannot be used. WRONGPASS.*: it knows another user or password/)
      assert.ok(!(error as Error).message.includes('secret'))
      return true
    })
  })

  test('one that wants a password and gets none, one that is a replica', async () => {
    const other = await RedisServer.start()
    try {
      await other.command('REPLICAOF', '127.0.0.1', `${server.port}`)
      await assert.rejects(new RedisStorage(other.url, { waitMs: 300 }).load(), /READONLY.*name the primary|LOADING|MASTERDOWN/)
      await other.command('CONFIG', 'SET', 'requirepass', 'secret')
      await assert.rejects(
        new RedisStorage(other.url, { waitMs: 20_000 }).load(),
        /NOAUTH.*: it wants a password: redis:\/\/user:password@/,
      )
    } finally {
      await other.close()
    }
  }).timeout(60_000)

  test('what is no Redis is told at once; of what takes the connection and is silent it is told soon that it is waited for', async () => {
    const http = createHttpServer((_, response) => response.end('hello')).listen(0, '127.0.0.1')
    const mute = createServer(socket => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1')
    await Promise.all([once(http, 'listening'), once(mute, 'listening')])
    const urlOf = (of: { address(): unknown }): string => `redis://127.0.0.1:${(of.address() as { port: number }).port}`
    try {
      await assert.rejects(
        new RedisStorage(urlOf(http), { waitMs: 20_000 }).load(),
        /cannot be used. Unknown RESP type.*what listens there is no Redis/,
      )
      const told: (string | null)[] = []
      const waiting = new RedisStorage(urlOf(mute), { waitMs: 2_500, onWaiting: text => told.push(text) }).load()
      await assert.rejects(waiting, /was not to be used for 2.5 s. silence: it takes the connection and says nothing/)
      assert.deepEqual(
        [...new Set(told)],
        [
          `waits for Redis at ${urlOf(mute)}, 2.5 s at most. silence: it takes the connection and says nothing: it hangs, is no Redis, or (with rediss://) does not speak TLS`,
        ],
      )
    } finally {
      http.close()
      mute.close()
    }
  }).timeout(60_000)

  test('what each says, and what to do', () => {
    const said: [string, boolean, RegExp][] = [
      ['self-signed certificate', true, /NODE_EXTRA_CA_CERTS/],
      ['unable to verify the first certificate', true, /NODE_EXTRA_CA_CERTS/],
      ["Hostname/IP does not match certificate's altnames: Host: localhost.", true, /not trusted here/],
      [
        '800C4B692D7F0000:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:x.c:350:\n',
        true,
        /redis:\/\/ in place of rediss/,
      ],
      ['Connection timeout', false, /a firewall is between, or rediss:/],
      ['read ECONNRESET', false, /wants TLS/],
      ['getaddrinfo ENOTFOUND nowhere.invalid', false, /no machine of that name/],
      ['ERR DB index is out of range', true, /behind the slash/],
      ["NOPERM this user has no permissions to run the 'eval' command", true, /SCAN and EVAL/],
      ['something else', false, /what it says is all/],
    ]
    for (const [message, isPermanent, advice] of said) {
      assert.equal(troubleOf(message).isPermanent, isPermanent, message)
      assert.match(describeTrouble(message), advice)
      assert.ok(!describeTrouble(message).includes('\n'))
    }
  })
})
