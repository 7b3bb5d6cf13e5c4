// SPDX-License-Identifier: Apache-2.0
// A process beside the test: `node peer.mjs <task> <segment> …`. Says { slot, workerId } when it is ready, and what its task says after.

import { fileURLToPath } from 'node:url'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { native } from '#lib/native.js'

const silent = { onPackets() {}, onClosed() {}, onOpened() {}, onWritable() {}, onSealed() {} }
const idOf = (store, number) => store.workerId + number.toString(16).padStart(16, '0')

function listen(store, listener, spinMicros = 50) {
  const inbox = new Uint8Array(1 << 20)
  const index = new Int32Array(3 * 1024)
  const packet = i => inbox.subarray(index[3 * i + 1], index[3 * i + 1] + index[3 * i + 2])
  const port = native.openPort(store, { ...silent, ...listener({ index, packet }) }, inbox, index, spinMicros)
  port.ref()
  return port
}

const hello = store => process.send({ slot: store.slot, workerId: store.workerId })
const forever = () => setInterval(() => {}, 1 << 30)

const tasks = {
  /** Sends every packet back; ends when the channel does. */
  echo(path, spinMicros) {
    const store = native.openStore(path)
    const waiting = []
    const flush = () => {
      while (waiting.length > 0 && port.send(waiting[0].channel, waiting[0].bytes, waiting[0].bytes.length)) waiting.shift()
    }
    const port = listen(
      store,
      ({ index, packet }) => ({
        onPackets(count) {
          for (let i = 0; i < count; i++) waiting.push({ channel: index[3 * i], bytes: packet(i).slice() })
          flush()
        },
        onWritable: flush,
        onClosed(_channel, reason) {
          process.send({ reason })
          process.disconnect()
          port.close()
        },
      }),
      Number(spinMicros),
    )
    hello(store)
  },

  /** Attaches and listens, but never lets its event loop turn again. */
  stall(path) {
    const store = native.openStore(path)
    listen(store, () => ({}))
    process.send({ slot: store.slot, workerId: store.workerId }, () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
  },

  /** Opens a channel to the given process and sends without end. */
  flood(path, slot, workerId) {
    const store = native.openStore(path)
    const port = listen(store, () => ({ onWritable: fill }))
    const channel = port.connect(Number(slot), workerId)
    const bytes = new Uint8Array(3000).fill(0x66)
    function fill() {
      while (port.send(channel, bytes, bytes.length));
    }
    hello(store)
    fill()
  },

  /** Pins objects 1 and 2 of the test's store, begins one of its own, and hangs. */
  hold(path, ownerId) {
    const store = native.openStore(path)
    globalThis.held = [1, 2].map(number => store.view(idOf({ workerId: ownerId }, number)))
    globalThis.held.push(store.create(idOf(store, 1), 100_000))
    hello(store)
    forever()
  },

  /** Holds nothing but a part of a view of object 1 of the test's store, and hangs. */
  holdPart(path, ownerId) {
    const store = native.openStore(path)
    const view = store.view(idOf({ workerId: ownerId }, 1))
    globalThis.held = store.part(view, 4096, 4096)
    store.release(view)
    hello(store)
    forever()
  },

  /** Leaves by process.exit with views, a half-made object and a hot port. */
  leave(path, ownerId, slot) {
    const store = native.openStore(path)
    globalThis.held = [store.view(idOf({ workerId: ownerId }, 1)), store.create(idOf(store, 1), 5000)]
    const port = listen(store, () => ({ onWritable() {} }))
    const channel = port.connect(Number(slot), ownerId)
    port.send(channel, new Uint8Array(10), 10)
    process.send({ slot: store.slot, workerId: store.workerId }, () => process.exit(7))
  },

  /** Throws in its listener and goes on; says what it caught and that a later packet arrived. */
  throwing(path) {
    const store = native.openStore(path)
    let calls = 0
    const port = listen(store, ({ packet }) => ({
      onPackets() {
        if (++calls === 1) throw new Error('from the listener')
        process.send({ calls, last: packet(0)[0] })
        process.disconnect()
        port.close()
      },
    }))
    process.on('uncaughtException', error => process.send({ caught: error.message }))
    hello(store)
  },

  /** Starts worker threads that use the store and a port without pause, and terminates each in the middle. */
  async threads(path, ownerId) {
    const store = native.openStore(path)
    hello(store)
    for (let round = 0; round < 12; round++) {
      const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { path, ownerId, round } })
      const failed = new Promise((_, reject) => worker.once('error', reject))
      await Promise.race([new Promise(resolve => worker.once('message', resolve)), failed])
      await worker.terminate()
    }
    globalThis.gc()
    await new Promise(resolve => setImmediate(resolve))
    process.send({ creating: store.stats().creating, pinned: store.list().filter(each => each.pinnedBy.includes(store.slot)).length })
    process.disconnect()
  },
}

/** The body of a worker thread of `threads`. */
function work({ path, ownerId, round }) {
  const store = native.openStore(path)
  const held = [store.view(idOf({ workerId: ownerId }, 1)), store.create(idOf(store, 1_000 + round), 10_000)]
  let turns = 0
  const busy = () => {
    for (let i = 0; i < 50; i++) store.release(store.view(idOf({ workerId: ownerId }, 2)))
    held.push(store.view(idOf({ workerId: ownerId }, 2)))
    if (++turns === 2) postReady()
    setImmediate(busy)
  }
  const postReady = async () => (await import('node:worker_threads')).parentPort.postMessage('ready')
  const port = listen(store, () => ({}))
  const channel = port.connect(Number.parseInt(ownerId.slice(10, 14), 16), ownerId)
  const again = () => {
    port.send(channel, new Uint8Array(100), 100)
    queueMicrotask(() => setImmediate(again))
  }
  again()
  busy()
}

if (isMainThread) await tasks[process.argv[2]](...process.argv.slice(3))
else work(workerData)
