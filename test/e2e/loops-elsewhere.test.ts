// SPDX-License-Identifier: Apache-2.0
// Tasks on another node that never let go of the event loop: their workers hear nothing, so nothing may wait there that another could run.

import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { cancel, get, init, remote, shutdown, TaskCancelledError } from 'eagleray'
import { Cluster } from 'eagleray/testing'
import { countRun, runsIn } from './programs/by-reference.js'
import { scratchPath, waitFor } from './support.js'

const THERE = { resources: { there: 0.001 } }

const loopUntil = remote((path: string, started: string) => {
  countRun(started)
  while (!existsSync(path));
  return 'saw it'
}, THERE)
const write = remote((path: string) => writeFileSync(path, ''), THERE)
const double = remote((n: number) => 2 * n, THERE)

suite('loops on another node', function () {
  this.timeout(60_000)
  let cluster: Cluster

  suiteSetup(async () => {
    cluster = await Cluster.start({ head: { numCpus: 1 } })
    await cluster.addNode({ numCpus: 2, resources: { there: 1 } })
    await init({ address: cluster.address })
  })
  suiteTeardown(async () => {
    await shutdown()
    await cluster.shutdown()
  })

  test('a task that loops until another has run there: that one is given the other CPU, at once or later', async () => {
    for (const later of [false, true]) {
      const [path, started] = [scratchPath(), scratchPath()]
      const loop = loopUntil.remote(path, started)
      if (later) await waitFor(() => runsIn(started) === 1, 'the loop runs')
      const writes = write.remote(path)
      assert.deepEqual(await get([loop, writes]), ['saw it', undefined])
    }
  })

  test('a loop that was cancelled holds its CPU, and nothing is sent behind it', async () => {
    const [path, started] = [scratchPath(), scratchPath()]
    const loop = loopUntil.remote(path, started)
    await waitFor(() => runsIn(started) === 1, 'the loop runs')
    cancel(loop)
    await assert.rejects(get(loop), TaskCancelledError)
    for (let i = 0; i < 3; i++) assert.equal(await get(double.remote(i)), 2 * i)
    assert.deepEqual(
      await get(Array.from({ length: 50 }, (_, i) => double.remote(i))),
      [...Array(50).keys()].map(i => 2 * i),
    )
    writeFileSync(path, '')
  })
})
