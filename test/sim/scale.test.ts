// SPDX-License-Identifier: Apache-2.0
// The smaller version of `npm run sim:scale`: many tasks of one program spread over all nodes at once, and the head has no part in it.

import assert from 'node:assert/strict'
import { runScale } from './scale/run.js'

suite('simulated scale', function () {
  this.timeout(0)

  test('20,000 tasks on 100 nodes take little more than they must, and the head hears signs of life alone', () => {
    const options = { cpus: 16, taskMs: 100, drivers: 1, localMs: 0.05, linkMs: 0.5, startMs: 50 }
    const { makespanMs, idealMs, atHead, atHeadWork } = runScale({ nodes: 100, tasks: 20_000, ...options })
    assert.ok(makespanMs <= 1.2 * idealMs, `${makespanMs} ms, and ${idealMs} ms would do`)
    assert.ok(atHeadWork <= 0.001, `${atHeadWork} messages a task at the head`)
    // Beats, of which a run as short as this has as many as a longer one.
    assert.ok(atHead <= 0.03, `${atHead} messages a task at the head, with signs of life`)
  })
})
