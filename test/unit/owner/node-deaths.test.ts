// SPDX-License-Identifier: Apache-2.0
// A node dies: for its processes that is their death, and nobody has to tell of each.

import assert from 'node:assert/strict'
import { STATE } from '#lib/core/owner/entry.js'
import { TASK } from '#lib/core/owner/task.js'
import { NodeDiedError, OwnerDiedError, TaskCancelledError } from '#lib/errors.js'
import { limits } from '#lib/options.js'
import { remoteWorker, workerIdOf } from '../../fakes/cluster.js'
import { FakeOwner } from '../../fakes/owner.js'

const FAR = remoteWorker(20)
const ALSO_FAR = remoteWorker(21)
const ELSEWHERE = remoteWorker(22, 'cccccccccc')
const NEAR = workerIdOf(10)
const dies = (fake: FakeOwner, nodeId = 'bbbbbbbbbb') => fake.act({ is: 'nodeDied', nodeId, why: 'no sign of life for 10 s' })

suite('deaths of nodes', () => {
  test('what ran there runs again elsewhere, or fails with NodeDiedError that says where, why and how often', () => {
    const fake = new FakeOwner()
    const once = fake.submit({ name: 'once', retries: 0 })
    fake.grant(FAR)
    const again = fake.submit({ retries: 1 })
    fake.grant(ALSO_FAR)
    const cancelled = fake.submit({ retries: 1 })
    fake.grant(ELSEWHERE)
    const safe = fake.submit({ retries: 0 })
    fake.act({ is: 'cancel', entry: cancelled.entries[0]!, force: true, recursive: false })
    assert.equal(safe.lane?.workerId, ELSEWHERE)
    dies(fake)
    const error = once.entries[0]?.error
    assert.ok(error instanceof NodeDiedError)
    assert.equal(error.nodeId, 'bbbbbbbbbb')
    assert.match(error.message, new RegExp(`node bbbbbbbbbb died \\(no sign of life for 10 s\\).* ${FAR} that ran once; attempts: 1`))
    assert.deepEqual([again.attempt, again.retriesLeft], [1, 0])
    assert.ok(cancelled.entries[0]?.error instanceof TaskCancelledError)
    assert.equal(safe.state, TASK.sent)
    assert.deepEqual([...fake.owner.leases.lanes.keys()], [ELSEWHERE])
  })

  test('its owners are dead, also those met later, and what its borrowers held is free', () => {
    const fake = new FakeOwner()
    const lent = fake.put()
    fake.from(FAR, { is: 'borrow', ack: 1, seqs: [lent.seq] })
    fake.unref(lent)
    const [theirs, others] = [fake.meet(FAR, 1), fake.meet(ELSEWHERE, 1)]
    dies(fake)
    assert.ok(lent.dropped)
    fake.adopted()
    assert.ok(theirs.error instanceof OwnerDiedError)
    assert.match(theirs.error.message, /node bbbbbbbbbb, which died: no sign of life/)
    assert.equal(others.state, STATE.unknown)
    assert.equal(fake.meet(NEAR, 7).state, STATE.unknown)
    const late = fake.meet(ALSO_FAR, 7)
    fake.adopted()
    assert.ok(late.error instanceof OwnerDiedError)
    assert.deepEqual(fake.sent('borrow', FAR), [])
    assert.deepEqual(fake.sent('unborrow', FAR), [])
    assert.equal(fake.sent('borrow', ELSEWHERE).length, 1)
  })

  test('a task that waits for a worker is not sent with an argument that went with its owner', () => {
    const fake = new FakeOwner()
    const argument = fake.meet(FAR, 1)
    fake.flush()
    fake.act({ is: 'value', from: FAR, seq: 1, outcome: { form: 'stored', sizeBytes: 9 } })
    const task = fake.submit({ args: [argument] })
    dies(fake)
    fake.adopted()
    assert.equal(argument.state, STATE.failed)
    fake.grant(NEAR)
    assert.deepEqual(fake.all('dispatch'), [])
    assert.match(String(task.entries[0]?.error), /did not run: its argument 1 failed/)
  })

  test('refs in a result of a task there, and answers that it owes, are waited for no more', () => {
    const fake = new FakeOwner()
    const inner = fake.put()
    fake.owner.references.holdForCaller(FAR, 5, [inner])
    fake.unref(inner)
    fake.meet(FAR, 1)
    fake.flush()
    assert.ok(fake.owner.references.unsettledBorrows(null))
    dies(fake)
    fake.adopted()
    assert.ok(!fake.owner.references.unsettledBorrows(null))
    assert.ok(inner.dropped)
  })

  test('a bounded number of deaths is remembered', () => {
    const fake = new FakeOwner()
    for (let i = 0; i <= limits.deadNodesKept; i++) dies(fake, i.toString(16).padStart(10, '0'))
    assert.ok(fake.owner.references.isDead(remoteWorker(1, '0000000001')))
    assert.ok(!fake.owner.references.isDead(remoteWorker(1, '0000000000')))
  })
})
