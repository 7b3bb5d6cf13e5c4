// SPDX-License-Identifier: Apache-2.0
// Tasks that wait for tasks: what was begun is finished, with few processes.

import assert from 'node:assert/strict'
import { get, remote } from 'eagleray'
import { begin, end } from './support.js'

suite('tasks that wait for tasks', () => {
  suiteSetup(() => begin({ numCpus: 1 }))
  suiteTeardown(end)

  test('40 chains of three on one CPU take about as many processes as one chain', async () => {
    const last = remote((_: number) => [process.pid])
    const middle = remote(async (n: number) => [process.pid, ...(await get(last.remote(n)))])
    const first = remote(async (n: number) => [process.pid, ...(await get(middle.remote(n)))])
    const pids = await get(Array.from({ length: 40 }, (_, n) => first.remote(n)))
    assert.ok(pids.every(each => new Set(each).size === 3))
    // One more after 2 s, 4 s, 8 s …: a machine may be slow.
    const processes = new Set(pids.flat()).size
    assert.ok(processes <= 8, `${processes} processes`)
  })
})
