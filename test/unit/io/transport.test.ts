// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { transportSuite } from '../../conformance/transport.js'
import { FakeNetwork } from '../../fakes/network.js'

transportSuite('in memory', async () => {
  const network = new FakeNetwork()
  return {
    make: async options => network.make(options),
    addressOf: async transport => transport.address,
    until: async (condition, what) => {
      for (let steps = 0; !condition(); steps++) assert.ok(network.step() && steps < 100_000, what)
    },
    cut: () => network.cut(),
    join: () => network.join(),
    end: async () => {},
  }
})
