// SPDX-License-Identifier: Apache-2.0
// Between nodes: what ZeroMQ takes by itself, what a message from process to process through both daemons takes, and how
// fast a link carries large packets. All on this machine's loopback.

import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Mesh, type MeshListener, type Peer } from '#lib/io/mesh.js'
import type { TransportListener } from '#lib/io/transport.js'
import { DaemonUplink } from '#lib/io/uplink.js'
import { zmqContext } from '#lib/io/zmq/context.js'
import { zmqTransport } from '#lib/io/zmq/transport.js'
import { native } from '#lib/native.js'
import { limits } from '#lib/options.js'
import { FRAME } from '#lib/wire/frames.js'
import { newPacket } from '#lib/wire/link-frames.js'
import type { Row } from '../row.js'

const TOKEN = 'bench'
const COUNT = 1_000
const PAYLOAD = new Uint8Array(64)

async function start<Hello>(...args: string[]): Promise<{ child: ChildProcess; hello: Hello; stop(): Promise<void> }> {
  const child = fork(fileURLToPath(new URL('../link-process.mjs', import.meta.url)), args, { execArgv: [] })
  const [hello] = (await once(child, 'message')) as [Hello]
  const stop = async (): Promise<void> => {
    const exited = once(child, 'exit')
    child.disconnect()
    await exited
  }
  return { child, hello, stop }
}

/** A DEALER here and a ROUTER there, with nothing of ours between. */
function rawRow(name: string, token: string | null): Row {
  return {
    name,
    group: 'links',
    unit: 'us',
    multiplier: 1,
    inner: 100,
    async prepare() {
      const there = await start<{ address: string }>('zmq', token ?? 'none')
      const { zmq, client, close } = await zmqContext(token)
      const dealer = new zmq.Dealer({ ...client, sendTimeout: -1 })
      dealer.connect(there.hello.address)
      return {
        async run() {
          await dealer.send(PAYLOAD)
          await dealer.receive()
        },
        async stop() {
          dealer.close()
          close()
          await there.stop()
        },
      }
    },
  }
}

interface Far {
  peer: Peer
  mesh: Mesh
  /** Called with each frame that comes back. */
  onFrame: () => void
  stop(): Promise<void>
}

/** Two nodes, this process on one of them and another on the other. */
async function far(): Promise<Far> {
  const paths = [0, 1].map(() => `/dev/shm/eagleray-bench-${randomBytes(4).toString('hex')}`) as [string, string]
  const ids = ['aaaaaaaaaa', 'bbbbbbbbbb'] as const
  interface Daemon {
    nodeId: string
    address: string
    daemonId: string
  }
  const daemons = [await start<Daemon>('daemon', ids[0], paths[0]), await start<Daemon>('daemon', ids[1], paths[1])] as const
  daemons[0].child.send(daemons[1].hello)
  const echo = await start<{ workerId: string }>('echo', paths[1], daemons[1].hello.daemonId)
  const store = native.openStore(paths[0])
  const listener: MeshListener = { onControl() {}, onFrame: () => made.onFrame(), onPeerClosed() {}, onBatchEnd: () => {} }
  const mesh = new Mesh(store, listener, limits.spinMicros)
  mesh.routeOver(new DaemonUplink(mesh, daemons[0].hello.daemonId))
  mesh.ref()
  const made: Far = {
    mesh,
    peer: mesh.peer(echo.hello.workerId) as Peer,
    onFrame() {},
    async stop() {
      mesh.close()
      store.close()
      for (const each of [echo, ...daemons]) await each.stop()
      for (const path of paths) rmSync(path, { recursive: true, force: true })
    },
  }
  return made
}

function write({ mesh, peer }: Far, kind: number): void {
  const at = mesh.reserve(peer, 5 + PAYLOAD.length)
  peer.view.setUint32(at, 1 + PAYLOAD.length, true)
  peer.bytes[at + 4] = kind
  peer.bytes.set(PAYLOAD, at + 5)
  peer.length = at + 5 + PAYLOAD.length
}

const routedPingPong: Row = {
  name: 'process to process of another node, ping-pong',
  group: 'links',
  unit: 'us',
  multiplier: 1,
  inner: 100,
  async prepare() {
    const there = await far()
    return {
      run: () =>
        new Promise<void>(resolve => {
          there.onFrame = resolve
          write(there, FRAME.value)
          there.mesh.flush()
        }),
      stop: () => there.stop(),
    }
  },
}

const MESSAGES = 100_000

const routedOneWay: Row = {
  name: 'process to process of another node, messages of 64 bytes',
  group: 'links',
  unit: '/s',
  multiplier: MESSAGES,
  async prepare() {
    const there = await far()
    return {
      run: () =>
        new Promise<void>(resolve => {
          let [sent, heard] = [0, 0]
          const send = (): void => {
            for (; sent < MESSAGES && sent - heard < 20 * COUNT; sent++) write(there, FRAME.reply)
            there.mesh.flush()
          }
          there.onFrame = () => {
            heard += COUNT
            if (heard === MESSAGES) resolve()
            else send()
          }
          send()
        }),
      stop: () => there.stop(),
    }
  },
}

const BYTES = 256 << 20

function linkRow(name: string, packetBytes: number): Row {
  return {
    name,
    group: 'links',
    unit: 'GB/s',
    multiplier: BYTES / 1e9,
    async prepare() {
      const id = 'aaaaaaaaaa'
      const there = await start<{ nodeId: string; address: string }>('sink', 'bbbbbbbbbb')
      const { nodeId, address } = there.hello
      let onPacket = (): void => {}
      let onWritable = (): void => {}
      const listener: TransportListener = {
        ...{ onUp() {}, onDown() {}, onRestarted() {}, onRefused() {} },
        onPacket: () => onPacket(),
        onWritable: () => onWritable(),
      }
      const transport = await zmqTransport({ id, daemonId: `${id}0000bbbbbbbbbb`, token: TOKEN, listener })
      transport.open({ id: nodeId, address })
      const body = Buffer.alloc(packetBytes)
      return {
        run: () =>
          new Promise<void>(resolve => {
            let [left, acks] = [BYTES, BYTES / (64 << 20)]
            onWritable = () => {
              for (; left > 0 && !transport.isFull(nodeId); left -= packetBytes) {
                const packet = newPacket(packetBytes)
                body.copy(packet, packet.length - packetBytes)
                transport.send(nodeId, packet)
              }
            }
            onPacket = () => {
              if (--acks === 0) resolve()
            }
            onWritable()
          }),
        async stop() {
          await transport.close(100)
          await there.stop()
        },
      }
    },
  }
}

export const linkRows: Row[] = [
  rawRow('ZeroMQ by itself, ping-pong', null),
  rawRow('ZeroMQ by itself with CURVE, ping-pong', TOKEN),
  routedPingPong,
  routedOneWay,
  linkRow('a link, packets of 1 MiB', 1 << 20),
  linkRow('a link, packets of 4 MiB', 4 << 20),
]
