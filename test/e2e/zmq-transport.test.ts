// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { zmqTransport } from '#lib/io/zmq/transport.js'
import { transportSuite } from '../conformance/transport.js'
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
