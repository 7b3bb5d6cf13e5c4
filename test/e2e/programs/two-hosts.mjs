// SPDX-License-Identifier: Apache-2.0
// Attaches to the cluster of this host and works with the other one, line by line, until it is told to leave.
import { createInterface } from 'node:readline'
import { get, init, nodes, remote, shutdown } from 'eagleray'

const { nodeId } = await init()
console.log(`attached ${nodeId}`)

class Counter {
  n = 0
  add(k) {
    return (this.n += k)
  }
}
const there = { resources: { there: 0.001 } }
const counter = remote(Counter, { ...there, maxRestarts: -1 }).remote()
const sum = remote(values => values.reduce((a, b) => a + b), there)
const fill = remote(length => new Float64Array(length).fill(2), there)
let calls = []

const does = {
  count: async k => get(counter.add.remote(Number(k))),
  // Calls on the other host that are answered when they can be.
  send: () => {
    calls = Array.from({ length: 100 }, () => counter.add.remote(1))
    return 'sent'
  },
  answers: async () => get(calls),
  large: async length => get(sum.remote(fill.remote(Number(length)))),
  addresses: async () => (await nodes()).map(({ address }) => address.replace(/:\d+$/, '')),
  alive: async () => (await nodes()).map(({ nodeId, alive }) => [nodeId, alive]),
}

let number = 0
for await (const line of createInterface({ input: process.stdin })) {
  const [what, ...rest] = line.split(' ')
  if (what === 'leave') break
  const mine = ++number
  void Promise.resolve()
    .then(() => does[what](...rest))
    .catch(error => ({ error: `${error.name}: ${error.message}` }))
    .then(answer => console.log(`${mine}: ${JSON.stringify(answer)}`))
}
await shutdown()
process.exit(0)
