// SPDX-License-Identifier: Apache-2.0
// The processes of the rows on links, each started with a role:
//
//   daemon NODE PATH   a node's daemon, as far as it passes things on; told 'open' with another's address
//   echo PATH DAEMON   a process of that node: sends frames back (kind value), or counts them (kind reply) and says so after each 1,000
//   zmq TOKEN          a bare ROUTER that sends back what it gets; 'none': without CURVE
//   sink NODE          a transport that says each time 64 MiB have arrived

import { Mesh } from '#lib/io/mesh.js'
import { DaemonUplink } from '#lib/io/uplink.js'
import { zmqContext } from '#lib/io/zmq/context.js'
import { zmqTransport } from '#lib/io/zmq/transport.js'
import { native } from '#lib/native.js'
import { limits } from '#lib/options.js'
import { Relay } from '#lib/run/relay.js'
import { FRAME } from '#lib/wire/frames.js'
import { newPacket } from '#lib/wire/link-frames.js'

const TOKEN = 'bench'
const COUNT = 1_000
const [, , role, ...args] = process.argv
const silent = { onControl() {}, onFrame() {}, onPeerClosed() {}, onBatchEnd() {} }
const links = { onPacket() {}, onUp() {}, onDown() {}, onRestarted() {}, onWritable() {}, onRefused: refusal => console.error(refusal) }

async function daemon(nodeId, path) {
  const store = native.createStore(path, 16 << 20, nodeId, false, null, 0)
  const mesh = new Mesh(store, silent, 0)
  mesh.ref()
  const relay = new Relay(store.workerId)
  const transport = await zmqTransport({ id: nodeId, daemonId: store.workerId, token: TOKEN, listener: relay })
  relay.attach(mesh, transport, { onMessage() {}, onLink() {}, onRefused() {} })
  process.on('message', node => relay.openNode(node))
  process.send({ nodeId, address: transport.address, daemonId: store.workerId })
}

function echo(path, daemonId) {
  const store = native.openStore(path)
  let counted = 0
  const answer = (peer, bytes, at, end) => {
    const start = mesh.reserve(peer, 5 + end - at)
    peer.view.setUint32(start, 1 + end - at, true)
    peer.bytes[start + 4] = FRAME.value
    peer.bytes.set(bytes.subarray(at, end), start + 5)
    peer.length = start + 5 + end - at
  }
  const listener = {
    ...silent,
    onFrame(peer, kind, bytes, _view, at, end) {
      if (kind === FRAME.value || ++counted % COUNT === 0) answer(peer, bytes, at, end)
    },
  }
  const mesh = new Mesh(store, listener, Number(process.env.SPIN ?? limits.spinMicros))
  mesh.routeOver(new DaemonUplink(mesh, daemonId))
  mesh.peer(daemonId)
  mesh.ref()
  process.send({ workerId: store.workerId })
}

async function zmq(token) {
  const { zmq, server } = await zmqContext(token === 'none' ? null : token)
  const router = new zmq.Router(server)
  await router.bind('tcp://127.0.0.1:*')
  process.send({ address: router.lastEndpoint })
  for await (const parts of router) await router.send(parts)
}

async function sink(nodeId) {
  let [bytes, next] = [0, 64 << 20]
  let transport = null
  const listener = {
    ...links,
    onPacket(id, packet) {
      bytes += packet.length
      if (bytes < next) return
      next += 64 << 20
      transport.send(id, newPacket(8))
    },
  }
  transport = await zmqTransport({ id: nodeId, daemonId: `${nodeId}0000bbbbbbbbbb`, token: TOKEN, listener })
  process.send({ nodeId, address: transport.address })
}

process.on('disconnect', () => process.exit(0))
await { daemon, echo, zmq, sink }[role](...args)
