// SPDX-License-Identifier: Apache-2.0
// The smaller version of `npm run sim:scale`: many tasks of one program, or of many, spread over all nodes at once, and the head has no
// part in it. All in simulated time, and the same each time.

import assert from 'node:assert/strict'
import { runLate, runScale } from './scale/run.js'

const small = { nodes: 20, cpus: 16, tasks: 20_000, taskMs: 100, localMs: 0.05, linkMs: 0.5, startMs: 50 }

suite('simulated scale', function () {
  this.timeout(0)

  for (const drivers of [1, 20]) {
    test(`20,000 tasks of ${drivers} programs on 20 nodes take little more than they must, and the head hears signs of life alone`, () => {
      const { makespanMs, idealMs, firstMs, atHead, atHeadWork, asked, granted } = runScale({ ...small, drivers })
      assert.ok(makespanMs <= 1.2 * idealMs, `${makespanMs} ms, and ${idealMs} ms would do`)
      assert.ok(atHead <= 0.01, `${atHead} messages a task at the head`)
      assert.equal(atHeadWork, 0)
      // From 0.75 to 0.87, by chance, where a millisecond more or less changes who is asked first.
      assert.ok(firstMs >= 0.7 * makespanMs, `the first program ended after ${firstMs} ms, the last after ${makespanMs}`)
      assert.ok(granted <= 0.05, `${granted} leases a task: they go to and fro`)
      assert.ok(asked <= 0.5, `${asked} messages to nodes a task`)
    })
  }

  test('100 nodes at once', () => {
    const { makespanMs, idealMs, atHeadWork } = runScale({ ...small, nodes: 100, drivers: 1 })
    assert.ok(makespanMs <= 1.2 * idealMs, `${makespanMs} ms, and ${idealMs} ms would do`)
    assert.equal(atHeadWork, 0)
  })

  test('a small job that comes late gets its share of what a large one has within the length of a few tasks', () => {
    const large = { ...small, drivers: 1, tasks: 20_000 }
    const [few, many] = [runLate(large, 10), runLate(large, 300)]
    assert.ok(few <= 2 * small.taskMs, `10 tasks took ${few} ms`)
    assert.ok(many <= 4 * small.taskMs, `300 tasks took ${many} ms`)
  })
})
