// SPDX-License-Identifier: Apache-2.0
// Sends to a peer that does not exist, and then has nothing more to do.

import { zmqTransport } from '#lib/io/zmq/transport.js'
import { newPacket } from '#lib/wire/link-frames.js'

const [id, nobody] = ['aaaaaaaaaa', 'bbbbbbbbbb']
const nothing = new Proxy({}, { get: () => () => {} })
const transport = await zmqTransport({ id, daemonId: `${id}0000dddddddddd`, token: 't', listener: nothing })
transport.open({ id: nobody, address: 'tcp://127.0.0.1:1' })
for (let i = 0; i < 100; i++) transport.send(nobody, newPacket(1000))
await transport.close(50)
console.log('closed')
