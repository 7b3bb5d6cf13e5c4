// SPDX-License-Identifier: Apache-2.0
// The native layer alone: ping-pong and one-way messages between two processes over a channel, and put and read of small objects.
// Usage: node bench/native-ping.mjs [spinMicros=100] [--json]

import { fork } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const native = createRequire(import.meta.url)('../build/Release/eagleray.node')
const self = fileURLToPath(import.meta.url)

const PINGS = 100_000
const MESSAGES = 1_000_000
const RUNS = 5
const CREDIT = 1_000

const median = values => [...values].sort((a, b) => a - b)[values.length >> 1]
/** The same string in one piece, so that the first look at it does not pay for the concatenation. */
const flat = text => Buffer.from(text, 'latin1').toString('latin1')
const seconds = since => Number(process.hrtime.bigint() - since) / 1e9

function openPort(store, spinMicros, listener) {
  const inbox = new Uint8Array(1 << 20)
  const index = new Int32Array(3 * 8192)
  const ignore = { onPackets() {}, onClosed() {}, onOpened() {}, onWritable() {}, onSealed() {} }
  return native.openPort(store, Object.assign(ignore, listener(inbox, index)), inbox, index, spinMicros)
}

/** Answers every packet whose first byte is 1 with the same bytes; counts the others and says so after each CREDIT of them. */
function runEcho(path, spinMicros) {
  const store = native.openStore(path)
  let counted = 0
  const port = openPort(store, spinMicros, (inbox, index) => ({
    onPackets(count) {
      for (let i = 0; i < count; i++) {
        const start = index[3 * i + 1]
        const bytes = inbox.subarray(start, start + index[3 * i + 2])
        if (bytes[0] === 1 || ++counted % CREDIT === 0) port.send(index[3 * i], bytes, bytes.length)
      }
    },
    onClosed() {
      port.close()
      store.close()
    },
  }))
  port.ref()
  process.send({ slot: store.slot, workerId: store.workerId })
}

async function startPeer(path, spinMicros) {
  const child = fork(self, ['--echo', path, String(spinMicros)])
  const hello = await new Promise(resolve => child.once('message', resolve))
  child.channel.unref()
  return { child, ...hello }
}

async function measure(spinMicros) {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const path = join(base, `eagleray-ping-${process.pid}`)
  const store = native.createStore(path, 64 << 20, '0102030405', false, null, 0)
  let onPackets = () => {}
  const port = openPort(store, spinMicros, () => ({ onPackets: count => onPackets(count) }))
  port.ref()
  const peer = await startPeer(path, spinMicros)
  const channel = port.connect(peer.slot, peer.workerId)
  const packet = new Uint8Array(64)

  const pingPong = rounds =>
    new Promise(resolve => {
      packet[0] = 1
      let left = rounds
      const start = process.hrtime.bigint()
      onPackets = count => {
        left -= count
        if (left === 0) resolve((seconds(start) / rounds) * 1e6)
        else port.send(channel, packet, packet.length)
      }
      port.send(channel, packet, packet.length)
    })

  const oneWay = messages =>
    new Promise(resolve => {
      packet[0] = 2
      let sent = 0
      let heard = 0
      const start = process.hrtime.bigint()
      const fill = () => {
        while (sent < messages && sent - heard < 3 * CREDIT && port.send(channel, packet, packet.length)) sent++
      }
      onPackets = count => {
        heard += count * CREDIT
        if (heard === messages) resolve(messages / seconds(start))
        else fill()
      }
      fill()
    })

  const timed = (operation, times) => {
    const start = process.hrtime.bigint()
    for (let i = 0; i < times; i++) operation(i)
    return (seconds(start) / times) * 1e9
  }
  const ids = Array.from({ length: 10_000 }, (_, i) => flat(store.workerId + (i + 1).toString(16).padStart(16, '0')))
  const bytes = new Uint8Array(8)

  const rows = { pingPongMicros: [], messagesPerSecond: [], put8Nanos: [], read8Nanos: [], view8Nanos: [] }
  await pingPong(2_000)
  for (let run = 0; run < RUNS; run++) {
    rows.pingPongMicros.push(await pingPong(spinMicros > 0 ? PINGS : PINGS / 10))
    rows.messagesPerSecond.push(await oneWay(MESSAGES))
    rows.put8Nanos.push(timed(i => store.put(ids[i], bytes, 8), ids.length))
    rows.read8Nanos.push(timed(i => store.read(ids[i], bytes, 0), ids.length))
    rows.view8Nanos.push(timed(i => store.release(store.view(ids[i])), 2_000))
    for (const id of ids) store.delete(id)
  }
  port.close()
  store.close()
  await new Promise(resolve => peer.child.once('exit', resolve))
  rmSync(path, { recursive: true, force: true })
  return Object.fromEntries(Object.entries(rows).map(([name, values]) => [name, Number(median(values).toPrecision(4))]))
}

if (process.argv[2] === '--echo') {
  runEcho(process.argv[3], Number(process.argv[4]))
} else {
  const spinMicros = Number(process.argv[2] ?? 100)
  const rows = { spinMicros, ...(await measure(spinMicros)) }
  if (process.argv.includes('--json')) console.log(JSON.stringify(rows))
  else console.table(rows)
}
