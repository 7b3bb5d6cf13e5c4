// SPDX-License-Identifier: Apache-2.0
// Workers that are wanted of several nodes: who is asked for how many, and where leases go back to.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Effect } from '#lib/core/owner/effects.js'
import type { Task } from '#lib/core/owner/task.js'
import { Wants } from '#lib/core/owner/wants.js'
import { limits } from '#lib/options.js'
import type { Control, WorkerId } from '#lib/wire/messages.js'
import { CPU, classOf, FakeOwner, NODE } from '../../fakes/owner.js'

const B = 'bbbbbbbbbb0000dddddddddd'
const C = 'cccccccccc0000dddddddddd'
const workerOf = (daemon: WorkerId, slot: number): WorkerId => `${daemon.slice(0, 10)}${String(slot).padStart(4, '0')}eeeeeeeeee`

/** An owner with so many tasks, whose node was asked. */
function wanting(tasks: number): FakeOwner {
  const fake = new FakeOwner()
  for (let i = 0; i < tasks; i++) fake.submit({ retries: 1 })
  fake.flush()
  return fake
}

const asked = (fake: FakeOwner, daemon: WorkerId) => fake.sent('want', daemon).map(each => each.count)
const spill = (fake: FakeOwner, to: WorkerId[], counts: number[]) => fake.from(NODE, { is: 'spill', classKey: 'cpu', to, counts })
const grant = (fake: FakeOwner, daemon: WorkerId, slot: number) =>
  fake.from(daemon, { is: 'grant', classKey: 'cpu', leaseId: 7, workerId: workerOf(daemon, slot), gpuIds: [], nodeId: daemon.slice(0, 10) })

suite('workers wanted of several nodes', () => {
  test('the own node names others, which are asked; a lease goes back to the node that gave it', () => {
    const fake = wanting(3)
    assert.deepEqual(asked(fake, NODE), [3])
    spill(fake, [B, C], [1, 1])
    assert.deepEqual([asked(fake, B), asked(fake, C)], [[1], [1]])
    grant(fake, B, 1)
    const sent = fake.all('dispatch').map(each => each.task)
    assert.ok(sent.length > 0 && sent.every(task => task.lane?.daemon === B))
    for (let i = 0; i < fake.all('dispatch').length; i++) fake.reply(fake.all('dispatch')[i]?.task as Task)
    fake.from(B, { is: 'reclaim', classKey: 'cpu', count: 1, held: 0, must: 0 })
    assert.deepEqual(
      fake.sent('leaseReturn', B).map(each => each.leaseId),
      [7],
    )
    assert.deepEqual(fake.sent('leaseReturn', NODE), [])
  })

  test('what a node refuses the own node is asked for again', () => {
    const fake = wanting(5)
    spill(fake, [B], [4])
    fake.from(B, { is: 'wantRefused', classKey: 'cpu', count: 3 })
    assert.deepEqual(asked(fake, NODE), [5, 4])
    fake.from(B, { is: 'wantRefused', classKey: 'cpu', count: 3 })
    assert.deepEqual(asked(fake, NODE), [5, 4, 5], 'no more than it was asked for')
    spill(fake, [B], [2])
    assert.deepEqual(asked(fake, B), [4, 2])
  })

  test('of a node that died the own node is asked again; its leases are over', () => {
    const fake = wanting(5)
    spill(fake, [B, C], [2, 1])
    grant(fake, B, 1)
    fake.act({ is: 'nodeDied', nodeId: B.slice(0, 10), why: 'silence' })
    assert.deepEqual(asked(fake, NODE), [5, 3])
    assert.equal(fake.owner.leases.lanes.size, 0)
  })

  test('once nothing waits all that was asked for is withdrawn, everywhere; what comes all the same goes back', () => {
    const fake = wanting(2)
    spill(fake, [B], [1])
    for (const task of [...fake.owner.tasks.pending.values()])
      fake.act({ is: 'cancel', entry: entryOf(task), force: false, recursive: true })
    fake.flush()
    assert.deepEqual(
      [asked(fake, NODE), asked(fake, B)],
      [
        [2, 0],
        [1, 0],
      ],
    )
    grant(fake, B, 1)
    assert.equal(fake.sent('leaseReturn', B).length, 1)
    spill(fake, [B], [1])
    fake.from(B, { is: 'wantRefused', classKey: 'cpu', count: 1 })
    assert.deepEqual(
      [asked(fake, NODE), asked(fake, B)],
      [
        [2, 0],
        [1, 0],
      ],
      'nothing is left to name or to refuse',
    )
  })

  test('others that wait on one node get leases of that node only; the process itself gives back all', () => {
    const fake = wanting(2)
    spill(fake, [B], [1])
    const here = fake.grant(workerOf(NODE, 5))
    grant(fake, B, 1)
    for (const { task } of fake.all('dispatch')) if (task.lane !== null) fake.reply(task)
    fake.from(NODE, { is: 'reclaim', classKey: 'cpu', count: 2, held: 0, must: 0 })
    assert.deepEqual(
      fake.sent('leaseReturn', NODE).map(each => each.leaseId),
      [here],
    )
    assert.deepEqual(fake.sent('leaseReturn', B), [])
    fake.act({ is: 'leaving' })
    assert.equal(fake.sent('leaseReturn', B).length, 1)
  })

  test('a node that granted some and keeps others waiting is asked for as many again, while so many are wanted', () => {
    const fake = wanting(600)
    assert.deepEqual(asked(fake, NODE), [limits.wantMax])
    spill(fake, [B, C], [3, 1])
    grant(fake, B, 1)
    grant(fake, C, 1)
    fake.flush()
    // What it could use beyond what it asked for is more than twice as many.
    const counts = asked(fake, B)
    assert.equal(counts.at(-1), 3)
    assert.ok(counts.length > 1)
    assert.equal(asked(fake, C).at(-1), 1, 'it has served all: the own node says who is asked next')
  })

  test('nodes hear how many leases an owner has, of all classes, when that has changed much; nothing while it has none of this', () => {
    const fake = new FakeOwner()
    const other = classOf('other')
    for (let i = 0; i < 40; i++) fake.submit()
    fake.submit({ class: other })
    fake.submit({ class: other })
    fake.flush()
    for (let slot = 1; slot <= 9; slot++) {
      fake.grant(workerOf(NODE, slot))
      fake.flush()
    }
    const held = (key: string) =>
      fake
        .sent('want', NODE)
        .filter(each => each.class.key === key)
        .map(each => each.held)
    assert.deepEqual(held('cpu'), [0, 1, 3, 5, 7, 9])
    assert.deepEqual(held('other'), [0])
    fake.grant(workerOf(NODE, 20), 'other')
    fake.flush()
    assert.deepEqual(held('other'), [0, 10])
  })

  test('a worker of another node is ended by its own daemon', () => {
    const fake = wanting(1)
    spill(fake, [B], [1])
    grant(fake, B, 1)
    const task = fake.all('dispatch')[0]?.task as Task
    fake.act({ is: 'cancel', entry: entryOf(task), force: true, recursive: true })
    assert.deepEqual([fake.sent('killWorker', NODE).length, fake.sent('killWorker', B).length], [0, 1])
  })

  test('SPREAD sends a worker one task at a time: the others go to the next', () => {
    const fake = new FakeOwner()
    const spread = classOf('spread', { where: { strategy: { is: 'spread' }, labels: {} } })
    for (let i = 0; i < 3; i++) fake.submit({ class: spread })
    fake.flush()
    fake.grant(workerOf(NODE, 5), 'spread')
    assert.equal(fake.all('dispatch').length, 1)
    fake.grant(workerOf(NODE, 6), 'spread')
    assert.equal(fake.all('dispatch').length, 2)
  })
})

function entryOf(task: { entries: unknown[] }): never {
  return task.entries[0] as never
}

suite('workers wanted of several nodes, by chance', () => {
  const daemons = [NODE, B, C]
  const step = fc.record({
    is: fc.constantFrom('set', 'holds', 'again', 'grant', 'spill', 'refuse', 'die'),
    which: fc.nat(2),
    count: fc.nat(5),
  })

  test('property: what the owner believes to have asked is what each node was last told, less what it gave', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        const out: Effect[] = []
        const wants = new Wants(CPU, NODE)
        const told = new Map(daemons.map(daemon => [daemon, 0]))
        const hear = () => {
          for (const effect of out.splice(0)) {
            const { to, message } = effect as { to: WorkerId; message: Control }
            if (message.is === 'want') told.set(to, message.count)
          }
          wants.invariants()
          assert.equal(
            [...told.values()].reduce((sum, each) => sum + each, 0),
            wants.total,
          )
        }
        for (const { is, which, count } of steps) {
          const daemon = daemons[which] as WorkerId
          const there = told.get(daemon) as number
          if (is === 'set' && (count === 0 || count > wants.total)) wants.set(count, 1, 'f', out)
          if (is === 'holds') wants.holds(count, 'f', out)
          if (is === 'again') wants.again(wants.total + count, 'f', out)
          if (is === 'grant' && there > 0) {
            told.set(daemon, there - 1)
            wants.granted(daemon)
          }
          const own = Math.min(count, told.get(NODE) as number)
          if (is === 'spill' && daemon !== NODE && own > 0) {
            told.set(NODE, (told.get(NODE) as number) - own)
            wants.spilled([daemon], [own], 'f', out)
          }
          const back = Math.min(count, there)
          if (is === 'refuse' && daemon !== NODE && back > 0) {
            told.set(daemon, there - back)
            wants.refused(daemon, back, 'f', out)
          }
          if (is === 'die' && daemon !== NODE) {
            told.set(daemon, 0)
            wants.nodeDied(daemon.slice(0, 10), 'f', out)
          }
          hear()
        }
      }),
      { numRuns: 1000 },
    )
  })
})
