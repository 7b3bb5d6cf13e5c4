// SPDX-License-Identifier: Apache-2.0
// Processes of tests on routes, each started with a role; they talk to the test over Node's own channel.
//
//   daemon NODE PATH    passes on what processes of its node and of others say; told { open } makes a link; told { reap } knows that a process is dead
//   speaker PATH DAEMON told { to, text } says so; tells what it hears

import { slotOf } from '#lib/ids.js'
import { Mesh } from '#lib/io/mesh.js'
import { DaemonUplink } from '#lib/io/uplink.js'
import { native } from '#lib/native.js'
import { openLinks } from '#lib/run/links.js'

const [, , role, ...args] = process.argv
const silent = { onControl() {}, onFrame() {}, onPeerClosed() {}, onBatchEnd() {} }

async function daemon(nodeId, path) {
  const store = native.createStore(path, 16 << 20, nodeId, false, null, 0)
  const { relay, transport } = await openLinks(store.workerId, { token: 'secret', host: '127.0.0.1' })
  const mesh = new Mesh(store, silent, 0)
  mesh.ref()
  relay.attach(mesh, transport, { onMessage() {}, onLink() {}, onRefused() {} })
  process.on('message', ({ open, reap }) => {
    if (open !== undefined) return relay.openNode(open)
    store.reap(slotOf(reap))
    mesh.gone(reap)
  })
  process.send({ nodeId, daemonId: store.workerId, address: transport.address })
}

function speaker(path, daemonId) {
  const store = native.openStore(path)
  const onControl = (from, message) => process.send({ from: from.workerId, is: message.is, text: message.text, size: message.text?.length })
  const mesh = new Mesh(store, { ...silent, onControl }, 0)
  mesh.routeOver(new DaemonUplink(mesh, daemonId))
  mesh.peer(daemonId)
  mesh.ref()
  process.on('message', ({ to, text }) => mesh.send(to, { is: 'warning', text }))
  process.send({ workerId: store.workerId })
}

process.on('disconnect', () => process.exit(0))
await { daemon, speaker }[role](...args)
