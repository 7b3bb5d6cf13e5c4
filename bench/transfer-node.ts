// SPDX-License-Identifier: Apache-2.0
// A node as far as objects go: a store, a data channel, and the daemon's part in moving objects. Its parent is everything else: the
// owner of the objects, the processes that want them, and the messages between nodes.
//
//   transfer-node.ts NODE TOKEN tcp|zeromq CAPACITY [SIZE ...]   objects of these sizes are there from the start

import { rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { nodeOf, objectId } from '#lib/ids.js'
import { tcpChannel } from '#lib/io/data/tcp.js'
import { zmqDataChannel } from '#lib/io/data/zmq.js'
import { native } from '#lib/native.js'
import { DataPort } from '#lib/run/links.js'
import { Transfer } from '#lib/run/transfer.js'
import type { Control, WorkerId } from '#lib/wire/messages.js'

export interface ToNode {
  from: WorkerId
  message: Control
}

export interface FromNode {
  to: WorkerId
  message: Control
}

/** What a node says of itself first. */
export interface Hello {
  nodeId: string
  daemonId: WorkerId
  dataAddress: string
  streamPort: number
}

const [nodeId, token, kind, capacity, ...sizes] = process.argv.slice(2) as [string, string, string, string, ...string[]]
const say = (message: FromNode | Hello): unknown => process.send?.(message)
const path = `/dev/shm/eagleray-bench-transfer-${process.pid}`
const store = native.createStore(path, Number(capacity), nodeId, false, null, 0)
const owner = `aaaaaaaaaa0001${'b'.repeat(10)}`
for (const [i, size] of sizes.map(Number).entries()) store.put(objectId(owner, i + 1), Buffer.alloc(size, i + 1), size)

const port = new DataPort()
port.channel = await (kind === 'tcp' ? tcpChannel : zmqDataChannel)({ nodeId, token, listener: port })
const transfer = new Transfer({
  store,
  send(to, message) {
    say({ to, message })
    return true
  },
  sendToNode() {},
  isOrphan: () => false,
  seek: () => null,
  unseek() {},
  arrived() {},
  collect() {},
})
transfer.attach(port)

// What one plain stream of Node's carries: the floor.
const stream = createServer(socket => {
  socket.on('error', () => {})
  socket.on('data', () => socket.write(new Uint8Array(store.view(objectId(owner, 1)) as ArrayBuffer)))
})
await new Promise<void>(resolve => stream.listen(0, '127.0.0.1', resolve))

process.on('message', ({ from, message }: ToNode) => transfer.heard(from, message))
process.on('disconnect', () => {
  transfer.close()
  store.close()
  rmSync(path, { recursive: true, force: true })
  process.exit()
})
say({
  nodeId: nodeOf(store.workerId),
  daemonId: store.workerId,
  dataAddress: port.channel.address,
  streamPort: (stream.address() as AddressInfo).port,
})
