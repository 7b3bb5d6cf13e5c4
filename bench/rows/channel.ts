// SPDX-License-Identifier: Apache-2.0
// Rings between two processes of one machine, below everything that eagleray exports: how fast a message can go at all.

import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { native } from '#lib/native.js'
import type { Row } from '../row.js'

interface Line {
  /** Sends `count` packets of 64 bytes as the ring takes them; resolves when as many have come back. */
  echo(count: number): Promise<void>
  stop(): Promise<void>
}

const packet = new Uint8Array(64)
const nodeId = '0123456789'

/** A process that sends back what it gets, and the channel to it. */
async function connect(spinMicros: number): Promise<Line> {
  const path = `/dev/shm/eagleray-bench-${randomBytes(4).toString('hex')}`
  const store = native.createStore(path, 16 * 2 ** 20, nodeId, false, null, 0)
  let toSend = 0
  let toReceive = 0
  let done: () => void = () => {}
  let channel = -1
  const sendMore = () => {
    while (toSend > 0 && port.send(channel, packet, packet.length)) toSend--
  }
  const listener = {
    onPackets(count: number) {
      toReceive -= count
      if (toReceive === 0) done()
      else sendMore()
    },
    onClosed() {},
    onOpened() {},
    onWritable: sendMore,
    onSealed() {},
  }
  const port = native.openPort(store, listener, new Uint8Array(2 ** 20), new Int32Array(3 * 8192), spinMicros)
  const child: ChildProcess = fork(fileURLToPath(new URL('../channel-echo.mjs', import.meta.url)), [path, String(spinMicros)], {
    execArgv: [],
  })
  const [peer] = (await once(child, 'message')) as [{ slot: number; workerId: string }]
  channel = port.connect(peer.slot, peer.workerId)
  port.ref()
  return {
    echo(count) {
      toSend = toReceive = count
      return new Promise(resolve => {
        done = resolve
        sendMore()
      })
    },
    async stop() {
      const exited = once(child, 'exit')
      child.send('stop')
      await exited
      port.close()
      store.close()
      rmSync(path, { recursive: true, force: true })
    },
  }
}

function row(name: string, unit: Row['unit'], multiplier: number, inner: number, spinMicros: number, count: number): Row {
  return {
    name,
    group: 'channel',
    unit,
    multiplier,
    inner,
    async prepare() {
      const line = await connect(spinMicros)
      return { run: () => line.echo(count), stop: () => line.stop() }
    },
  }
}

export const channelRows: Row[] = [
  row('ping-pong, receivers spin up to 100 us', 'us', 1, 10, 100, 1),
  row('ping-pong, every wake-up by doorbell', 'us', 1, 1, 0, 1),
  row('10,000 messages of 64 bytes echoed', '/s', 10_000, 1, 100, 10_000),
]
