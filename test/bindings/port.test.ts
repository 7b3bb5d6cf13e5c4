// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { type NativeStore, native } from '#lib/native.js'
import { collectUntil, type Heard, idOf, Scene } from './support.js'

const coded = (code: string) => (error: NodeJS.ErrnoException) => error.code === code
const numbered = (number: number, length = 8): Uint8Array => {
  const bytes = new Uint8Array(Math.max(length, 4)).fill(number)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}
const numberOf = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)

/** Where native/layout.h and native/channel_layout.h put the tail and the bytes of one direction's ring. */
function ringOf(path: string, channel: number, side: number): { tail: number; bytes: number } {
  const header = Buffer.alloc(128)
  const file = openSync(`${path}/segment`, 'r')
  readSync(file, header, 0, header.length, 0)
  closeSync(file)
  const control = 4096 + 512 * 320 + 2048 * 64
  const body = Number(header.readBigUInt64LE(112)) + control + channel * (4096 + 2 * 262_144)
  return { tail: body + side * 192, bytes: body + 4096 + side * 262_144 }
}

function scribble(path: string, at: number, bytes: Uint8Array): void {
  const file = openSync(`${path}/segment`, 'r+')
  writeSync(file, bytes, 0, bytes.length, at)
  closeSync(file)
}

for (const spinMicros of [0, 50]) {
  suite(`native port, spinning ${spinMicros} µs`, () => {
    let scene: Scene
    let store: NativeStore
    let heard: Heard

    setup(() => {
      scene = new Scene()
      store = scene.create()
      heard = scene.listen(store, spinMicros)
    })
    teardown(() => scene.end())

    test('packets go there and back, of every length', async () => {
      const peer = await scene.peer('echo', store.path, String(spinMicros))
      const channel = heard.port.connect(peer.hello.slot, peer.hello.workerId)
      assert.equal(heard.port.connect(peer.hello.slot, peer.hello.workerId), channel)
      for (const length of [0, 1, 7, 8, 9, 1000, 65_536, native.packetBytesMax]) {
        const bytes = new Uint8Array(length).fill(length % 251)
        assert.equal(heard.port.send(channel, bytes, length), true)
        await heard.until(() => heard.packets.length === 1)
        const packet = heard.packets.pop()
        assert.equal(packet?.channel, channel)
        assert.deepEqual(Buffer.compare(packet?.bytes ?? Buffer.alloc(1), bytes), 0)
      }
    })

    test('ping-pong loses nothing, hot or cold', async () => {
      const peer = await scene.peer('echo', store.path, String(spinMicros))
      const channel = heard.port.connect(peer.hello.slot, peer.hello.workerId)
      for (let i = 0; i < 3000; i++) {
        heard.port.send(channel, numbered(i), 8)
        await heard.until(() => heard.packets.length > i)
        assert.equal(numberOf(heard.packets[i]?.bytes as Uint8Array), i)
        if (i % 500 === 0) await new Promise(resolve => setTimeout(resolve, 2))
      }
    })

    test('a full ring says so, tells of room, and keeps the order', async () => {
      const peer = await scene.peer('echo', store.path, String(spinMicros))
      const channel = heard.port.connect(peer.hello.slot, peer.hello.workerId)
      let sent = 0
      let refused = 0
      const fill = () => {
        while (sent < 20_000) {
          if (!heard.port.send(channel, numbered(sent, 500), 500)) {
            refused++
            return
          }
          sent++
        }
      }
      heard.whenever = () => {
        if (heard.writable.length > 0) {
          heard.writable.length = 0
          fill()
        }
      }
      fill()
      await heard.until(() => heard.packets.length === 20_000)
      assert.ok(refused > 0)
      heard.packets.forEach(({ bytes }, i) => {
        assert.equal(numberOf(bytes), i)
        assert.equal(bytes.length, 500)
      })
    })

    test('a peer that stalls fills its ring and harms nobody', async () => {
      const stalled = await scene.peer('stall', store.path)
      const lively = await scene.peer('echo', store.path, String(spinMicros))
      const toStalled = heard.port.connect(stalled.hello.slot, stalled.hello.workerId)
      const toLively = heard.port.connect(lively.hello.slot, lively.hello.workerId)
      while (heard.port.send(toStalled, new Uint8Array(10_000), 10_000));
      heard.port.send(toLively, numbered(5), 8)
      await heard.until(() => heard.packets.length === 1)
      await stalled.kill()
      assert.deepEqual(store.reapDead(), [stalled.hello.slot])
      await heard.until(() => heard.closed.length === 1)
      assert.deepEqual(heard.closed, [{ channel: toStalled, reason: 'died' }])
      assert.deepEqual(heard.writable, [])
    })

    test('a peer killed in the middle of traffic', async () => {
      const peer = await scene.peer('flood', store.path, String(store.slot), store.workerId)
      await heard.until(() => heard.packets.length > 200)
      assert.deepEqual(heard.opened, [{ channel: heard.opened[0]?.channel, peerSlot: peer.hello.slot }])
      await peer.kill()
      assert.equal(store.reap(peer.hello.slot), true)
      await heard.until(() => heard.closed.length > 0)
      assert.equal(heard.closed[0]?.reason, 'died')
      assert.ok(heard.packets.every(({ bytes }) => bytes.length === 3000 && bytes.every(byte => byte === 0x66)))
      assert.throws(() => heard.port.send(heard.opened[0]?.channel ?? -1, new Uint8Array(1), 1), coded('ERR_EAGLERAY_CLOSED'))
      assert.throws(() => heard.port.connect(peer.hello.slot, peer.hello.workerId), coded('ERR_EAGLERAY_PEER_GONE'))
      assert.equal(store.stats().channels, 0)
      assert.equal(store.check(), null)
    })

    test('garbage in a ring ends that channel alone', async () => {
      const bad = await scene.peer('stall', store.path)
      const good = await scene.peer('echo', store.path, String(spinMicros))
      const spoilt = heard.port.connect(bad.hello.slot, bad.hello.workerId)
      const sound = heard.port.connect(good.hello.slot, good.hello.workerId)
      const ring = ringOf(store.path, spoilt, 1)
      scribble(store.path, ring.bytes, Buffer.alloc(4096, 0xa5))
      scribble(store.path, ring.tail, Buffer.from(new BigUint64Array([4096n]).buffer))
      heard.port.send(sound, numbered(1), 8)
      await heard.until(() => heard.closed.length === 1 && heard.packets.length === 1)
      assert.deepEqual(heard.closed, [{ channel: spoilt, reason: 'corrupt' }])
      assert.equal(heard.packets[0]?.channel, sound)
    })

    test('disconnect is heard by the other side', async () => {
      const peer = await scene.peer('echo', store.path, String(spinMicros))
      const channel = heard.port.connect(peer.hello.slot, peer.hello.workerId)
      const told = peer.said<{ reason: string }>()
      heard.port.disconnect(channel)
      heard.port.disconnect(channel)
      assert.deepEqual(await told, { reason: 'closed' })
      await peer.exited
      assert.throws(() => heard.port.send(channel, new Uint8Array(1), 1), coded('ERR_EAGLERAY_CLOSED'))
      assert.deepEqual(heard.closed, [])
    })

    test('close is heard by the other side', async () => {
      const peer = await scene.peer('echo', store.path, String(spinMicros))
      heard.port.connect(peer.hello.slot, peer.hello.workerId)
      const told = peer.said<{ reason: string }>()
      heard.port.close()
      heard.port.close()
      assert.deepEqual(await told, { reason: 'closed' })
      assert.throws(() => heard.port.poll(), coded('ERR_EAGLERAY_CLOSED'))
    })

    test('an expected seal wakes, also of a sleeper', async () => {
      const other = idOf(store, 77)
      store.expect(other)
      setTimeout(() => store.put(other, new Uint8Array(3), 3), 5)
      await heard.until(() => heard.sealed > 0)
      assert.equal(store.contains(other), true)
    })

    test('what a listener throws is uncaught, and the port goes on', async () => {
      const peer = await scene.peer('throwing', store.path)
      const channel = heard.port.connect(peer.hello.slot, peer.hello.workerId)
      let next = peer.said<unknown>()
      heard.port.send(channel, numbered(1), 8)
      assert.deepEqual(await next, { caught: 'from the listener' })
      next = peer.said<unknown>()
      heard.port.send(channel, Uint8Array.of(42), 1)
      assert.deepEqual(await next, { calls: 2, last: 42 })
    })
  })
}

suite('native port', () => {
  let scene: Scene
  let store: NativeStore

  setup(() => {
    scene = new Scene()
    store = scene.create()
  })
  teardown(() => scene.end())

  test('one a process', () => {
    const heard = scene.listen(store)
    assert.throws(() => scene.listen(store), coded('ERR_EAGLERAY_INVALID_ARGUMENT'))
    heard.port.close()
    assert.throws(() => heard.port.connect(1, store.workerId), coded('ERR_EAGLERAY_CLOSED'))
  })

  test('another may be opened once it is closed, and the collected one does it no harm', async () => {
    const once = async () => {
      scene.listen(store).port.close()
      await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
    }
    for (let i = 0; i < 3; i++) await once()
    const heard = scene.listen(store, 0)
    await collectUntil(() => false, 5)
    const other = idOf(store, 5)
    store.expect(other)
    store.put(other, new Uint8Array(1), 1)
    await heard.until(() => heard.sealed > 0)
  })

  test('wrong arguments', () => {
    const { port } = scene.listen(store)
    assert.throws(() => port.connect(0, store.workerId), coded('ERR_EAGLERAY_INVALID_ARGUMENT'))
    assert.throws(() => port.connect(3, store.workerId), coded('ERR_EAGLERAY_INVALID_ARGUMENT'))
    assert.throws(() => port.connect(1, '0a0b0c0d0e00010000000000'), coded('ERR_EAGLERAY_PEER_GONE'))
    assert.throws(() => port.send(0, new Uint8Array(1), 1), coded('ERR_EAGLERAY_CLOSED'))
    assert.throws(() => port.send(5000, new Uint8Array(1), 1), coded('ERR_EAGLERAY_CLOSED'))
    assert.throws(() => port.send(0, new Uint8Array(1), 2), TypeError)
    assert.throws(() => port.claims(0), coded('ERR_EAGLERAY_CLOSED'))
    const silent = { onPackets() {}, onClosed() {}, onOpened() {}, onWritable() {}, onSealed() {} }
    const second = scene.create()
    assert.throws(() => native.openPort(second, silent, new Uint8Array(1000), new Int32Array(3), 0), TypeError)
    assert.throws(() => native.openPort(second, silent, new Uint8Array(1 << 20), new Int32Array(2), 0), TypeError)
    assert.throws(
      () => native.openPort(second, { ...silent, onSealed: 1 } as never, new Uint8Array(1 << 20), new Int32Array(3), 0),
      TypeError,
    )
    assert.throws(() => native.openPort(second, null as never, new Uint8Array(1 << 20), new Int32Array(3), 0), TypeError)
  })

  test('a packet that is too long is refused', async () => {
    const heard = scene.listen(store)
    const peer = await scene.peer('echo', store.path, '0')
    const channel = heard.port.connect(peer.hello.slot, peer.hello.workerId)
    const long = new Uint8Array(native.packetBytesMax + 1)
    assert.throws(() => heard.port.send(channel, long, long.length), TypeError)
  })

  test('poll hands out without the event loop, and what it throws comes back', async () => {
    const heard = scene.listen(store)
    const peer = await scene.peer('echo', store.path, '50')
    const channel = heard.port.connect(peer.hello.slot, peer.hello.workerId)
    heard.port.send(channel, numbered(9), 8)
    while (heard.packets.length === 0) heard.port.poll()
    assert.equal(numberOf(heard.packets[0]?.bytes as Uint8Array), 9)
    heard.whenever = () => {
      assert.equal(heard.port.poll(), 0)
      throw new Error('thrown')
    }
    heard.port.send(channel, numbered(10), 8)
    assert.throws(() => {
      for (;;) heard.port.poll()
    }, /thrown/)
    heard.whenever = () => {}
    assert.equal(heard.port.poll(), 0)
  })

  test('microtasks run between calls of the listener', async () => {
    const heard = scene.listen(store)
    const peer = await scene.peer('echo', store.path, '50')
    const channel = heard.port.connect(peer.hello.slot, peer.hello.workerId)
    const order: string[] = []
    heard.whenever = () => {
      order.push(`call ${order.length}`)
      queueMicrotask(() => order.push('microtask'))
      process.nextTick(() => order.push('tick'))
      if (order.length < 6) heard.port.send(channel, numbered(1), 8)
    }
    heard.port.send(channel, numbered(1), 8)
    await heard.until(() => order.length >= 7)
    assert.deepEqual(order.slice(0, 6), ['call 0', 'tick', 'microtask', 'call 3', 'tick', 'microtask'])
  })

  test('timers run while packets keep coming', async () => {
    const heard = scene.listen(store)
    await scene.peer('flood', store.path, String(store.slot), store.workerId)
    heard.whenever = () => {
      if (heard.packets.length > 1000) heard.packets.length = 0
    }
    for (let i = 0; i < 5; i++) await new Promise(resolve => setTimeout(resolve, 1))
    await heard.until(() => heard.packets.length > 0)
  })

  test('a listener may close the port in the middle', async () => {
    const heard = scene.listen(store)
    heard.whenever = () => heard.port.close()
    await scene.peer('flood', store.path, String(store.slot), store.workerId)
    await heard.until(() => heard.opened.length > 0)
    await new Promise(resolve => setImmediate(resolve))
    assert.throws(() => heard.port.ref(), coded('ERR_EAGLERAY_CLOSED'))
  })

  test('claim words: each side sees the other, and they end with the channel', async () => {
    const heard = scene.listen(store)
    const peer = await scene.peer('echo', store.path, '0')
    const channel = heard.port.connect(peer.hello.slot, peer.hello.workerId)
    const { mine, theirs } = heard.port.claims(channel)
    assert.equal(heard.port.claims(channel).mine, mine)
    assert.deepEqual([mine.length, theirs.length], [256, 256])
    assert.equal(Atomics.compareExchange(mine, 255, 0, 1), 0)
    assert.equal(Atomics.load(mine, 255), 1)
    assert.equal(Atomics.load(theirs, 255), 0)
    let seen = -1
    await peer.kill()
    // While it is told of the end they are still there; a reaper has everybody look for seals too, before or after that.
    heard.whenever = () => {
      if (mine.length > 0) seen = Atomics.load(mine, 255)
    }
    store.reapDead()
    await heard.until(() => heard.closed.length === 1)
    assert.equal(seen, 1)
    assert.deepEqual([mine.length, theirs.length], [0, 0])
  })
})
