// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ClassQueue } from '#lib/core/owner/class-queue.js'
import { Lane } from '#lib/core/owner/lane.js'
import { TASK, Task } from '#lib/core/owner/task.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { CPU, codeOf, NODE } from '../../fakes/owner.js'

let lastSeq = 0
const taskOf = (): Task => new Task(++lastSeq, 'f', codeOf(), CPU, new Uint8Array(0), 0, 1, 0, false, [], null)

suite('class queue', () => {
  test('property: it does what an array does', () => {
    const step = fc.oneof(fc.constantFrom('push', 'push', 'unshift', 'shift', 'shift', 'drain'), fc.nat(20))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), steps => {
        const queue = new ClassQueue(CPU, NODE)
        let model: Task[] = []
        for (const each of steps) {
          if (each === 'push' || each === 'unshift') {
            const task = taskOf()
            queue[each](task)
            model[each](task)
          } else if (each === 'shift') assert.equal(queue.shift(), model.shift())
          else if (each === 'drain') {
            assert.deepEqual(queue.drain(), model)
            model = []
          } else {
            const task = model[each as number] ?? taskOf()
            assert.equal(queue.remove(task), model.includes(task))
            model = model.filter(other => other !== task)
          }
          assert.equal(queue.length, model.length)
          assert.equal(queue.peek(), model[0])
        }
      }),
    )
  })

  test('thousands go in and out in order', () => {
    const queue = new ClassQueue(CPU, NODE)
    const tasks = Array.from({ length: 20_000 }, taskOf)
    for (const task of tasks) queue.push(task)
    for (const task of tasks) assert.equal(queue.shift(), task)
    assert.equal(queue.shift(), undefined)
  })
})

suite('lane', () => {
  const sent = (lane: Lane, count: number): Task[] =>
    Array.from({ length: count }, () => {
      const task = taskOf()
      lane.send(task, 0)
      return task
    })

  test('there is room only under a lease, for what runs on, up to a depth and to the words there are', () => {
    const lane = new Lane(workerIdOf(10), false)
    assert.equal(lane.room(9, 0), false)
    lane.leaseId = 1
    assert.equal(lane.room(1, 0), true)
    sent(lane, 1)
    assert.equal(lane.room(1, 0), false)
    for (const flag of ['blocked', 'returning'] as const) {
      lane[flag] = true
      assert.equal(lane.room(9, 0), false)
      lane[flag] = false
    }
    sent(lane, 255)
    assert.equal(lane.room(1000, 0), false)
    lane.invariants()
  })

  test('a word serves one task at a time, and an answer counts only for the task that has it', () => {
    const lane = new Lane(workerIdOf(10), false)
    const [one, two] = sent(lane, 2) as [Task, Task]
    assert.notEqual(one.claim, two.claim)
    assert.equal(lane.answered(one.claim, two.seq), null)
    assert.equal(lane.answered(one.claim, one.seq), one)
    assert.equal(lane.answered(one.claim, one.seq), null)
    assert.deepEqual(lane.newestFirst(), [two])
    lane.invariants()
  })

  test('a task is taken back once', () => {
    const lane = new Lane(workerIdOf(10), false)
    const [task] = sent(lane, 1) as [Task]
    lane.tookBack(task)
    task.state = TASK.queued
    assert.throws(() => lane.tookBack(task), /not on its lane/)
    lane.invariants()
    assert.equal(lane.outstanding, 0)
    assert.equal(lane.answered(task.claim, task.seq), null)
    lane.invariants()
  })

  test('what is left on the lane of a dead worker comes back', () => {
    const lane = new Lane(workerIdOf(10), false)
    const tasks = sent(lane, 3)
    lane.answered(tasks[1]!.claim, tasks[1]!.seq)
    assert.deepEqual(new Set(lane.abandon()), new Set([tasks[0], tasks[2]]))
    assert.equal(tasks[0]?.lane, null)
  })
})
