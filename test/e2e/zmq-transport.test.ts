// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { zmqTransport } from '#lib/io/zmq/transport.js'
import { A, B, Station, transportSuite } from '../conformance/transport.js'
import { CuttableProxy } from './cuttable-proxy.js'

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let rounds = 0; !condition(); rounds++) {
    assert.ok(rounds < 3000, what)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

transportSuite('ZeroMQ', async () => {
  const proxy = new CuttableProxy()
  return {
    make: options => zmqTransport(options),
    addressOf: transport => proxy.to(transport.address),
    until,
    cut: () => proxy.cut(),
    join: () => proxy.join(),
    end: async () => proxy.end(),
  }
})

suite('a process that listens and is started again', () => {
  test('is another at the same address: its peers hear of that, and go on with it', async () => {
    const [a, b, again] = [new Station(A), new Station(B), new Station(B)]
    const make = (station: Station, port = 0) =>
      zmqTransport({ id: station.id, daemonId: `${station.id}0000${'d'.repeat(10)}`, token: 't', port, listener: station })
    a.transport = await make(a)
    b.transport = await make(b)
    const { address } = b.transport
    a.transport.open({ id: B, address })
    a.say(B, 'one')
    await until(() => b.heard.length === 1 && a.transport.unacknowledged(B) === 0, 'the first')
    await b.transport.close(0)
    await until(() => a.downs.length === 1, 'the end')
    a.say(B, 'lost?')
    again.transport = await make(again, Number(address.split(':').at(-1)))
    await until(() => a.ups.length === 2, 'the new one')
    assert.deepEqual(a.restarted, [['lost?']])
    a.say(B, 'two')
    await until(() => again.heard.length === 1, 'the second')
    assert.deepEqual(again.texts, ['two'])
    for (const { transport } of [a, again]) await transport.close(0)
  })
})
