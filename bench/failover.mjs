// SPDX-License-Identifier: Apache-2.0
// How long a cluster of real processes takes to go on when a part of it dies: a node, whose running tasks begin elsewhere, and the head,
// which is killed and started again, until a new actor has answered.
// Usage: node bench/failover.mjs [SILENCE_MS] [TURNS]   after how much silence a node counts as dead (1000), how often each is done (3)

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { get, init, nodes, remote, shutdown } from 'eagleray'
import { Cluster, waitFor } from 'eagleray/testing'

const silenceMs = Number(process.argv[2] ?? 1000)
const turns = Number(process.argv[3] ?? 3)
const TASKS = 2

const cluster = await Cluster.start({ head: { numCpus: 1, nodeTimeoutMs: silenceMs } })
await init({ address: cluster.address })
const folder = mkdtempSync(join(tmpdir(), 'eagleray-failover-'))

/** Says where it began, and never ends unless it is told to. */
const task = remote(
  async (folder, turn, i) => {
    const { existsSync, writeFileSync } = await import('node:fs')
    const { getRuntimeContext } = await import('eagleray')
    writeFileSync(`${folder}/${turn}-${i}-${getRuntimeContext().nodeId}`, '')
    while (!existsSync(`${folder}/${turn}-end`)) await new Promise(resolve => setTimeout(resolve, 10))
    return i
  },
  { numCpus: 0, resources: { work: 1 }, maxRetries: 3 },
)
/** Which tasks began at that node, or at others. */
function begun(turn, nodeId, isThere) {
  const names = readdirSync(folder).map(name => name.split('-'))
  return new Set(names.filter(([t, i, at]) => t === `${turn}` && i !== 'end' && (at === nodeId) === isThere).map(([, i]) => i))
}
const report = (row, times) => {
  const sorted = [...times].sort((a, b) => a - b)
  console.log(JSON.stringify({ row, medianMs: Math.round(sorted[sorted.length >> 1]), worstMs: Math.round(sorted.at(-1)) }))
}

const deaths = []
let doomed = await cluster.addNode({ numCpus: 1, resources: { work: TASKS } })
for (let turn = 0; turn < turns; turn++) {
  const refs = Array.from({ length: TASKS }, (_, i) => task.remote(folder, turn, i))
  await waitFor(() => begun(turn, doomed.nodeId, true).size === TASKS, { timeoutMs: 60_000 })
  const other = await cluster.addNode({ numCpus: 1, resources: { work: TASKS } })
  await waitFor(async () => (await nodes()).some(node => node.nodeId === other.nodeId))
  const began = performance.now()
  await cluster.removeNode(doomed, { graceful: false })
  await waitFor(() => begun(turn, doomed.nodeId, false).size === TASKS, { timeoutMs: 60_000 })
  deaths.push(performance.now() - began)
  writeFileSync(join(folder, `${turn}-end`), '')
  await get(refs)
  doomed = other
}
report(`a node dies after a silence of ${silenceMs} ms: until its ${TASKS} tasks run elsewhere`, deaths)

const Counter = remote(
  class {
    one() {
      return 1
    }
  },
  { numCpus: 0 },
)
const restarts = []
for (let turn = 0; turn < turns; turn++) {
  await cluster.killHead()
  const began = performance.now()
  const actor = Counter.remote()
  await cluster.restartHead()
  await get(actor.one.remote())
  restarts.push(performance.now() - began)
  actor[Symbol.dispose]()
}
report('the head is killed and started again: until a new actor has answered', restarts)
await shutdown()
await cluster.shutdown()
rmSync(folder, { recursive: true, force: true })
