// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { STATE } from '#lib/core/owner/entry.js'
import { ObjectFreedError } from '#lib/errors.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { FakeOwner } from '../../fakes/owner.js'

const A = workerIdOf(10)
const B = workerIdOf(11)

suite('values', () => {
  test('the first outcome stays, of whatever form', () => {
    const outcomes = [
      { form: 'plain', value: 4 },
      { form: 'inline', envelope: new Uint8Array(3) },
      { form: 'stored', sizeBytes: 9 },
      { form: 'failed', error: new Error('no') },
    ] as const
    const states = [STATE.inline, STATE.inline, STATE.stored, STATE.failed]
    outcomes.forEach((outcome, i) => {
      const fake = new FakeOwner()
      const entry = fake.meet(A, 1)
      fake.act({ is: 'value', from: A, seq: 1, outcome })
      assert.equal(entry.state, states[i])
      fake.act({ is: 'value', from: A, seq: 1, outcome: outcomes[(i + 1) % 4] as (typeof outcomes)[number] })
      assert.equal(entry.state, states[i])
      assert.equal(fake.all('settled').length, 1)
    })
  })

  test('a borrower who asks gets the value now, or when it is there', () => {
    const fake = new FakeOwner()
    const stored = fake.put()
    const task = fake.submit()
    fake.from(A, { is: 'fetch', seqs: [stored.seq, task.seq] })
    assert.deepEqual(fake.all('value'), [{ is: 'value', to: A, entry: stored }])
    fake.from(B, { is: 'fetch', seqs: [task.seq] })
    fake.grant(A)
    fake.reply(task)
    const entry = task.entries[0]
    assert.deepEqual(fake.all('value').slice(1), [
      { is: 'value', to: A, entry },
      { is: 'value', to: B, entry },
    ])
  })

  test('a borrower who asks for an object that is gone is told so, and nothing is left of the question', () => {
    const fake = new FakeOwner()
    fake.from(A, { is: 'fetch', seqs: [55] })
    const [answer] = fake.all('value')
    assert.equal(answer?.to, A)
    assert.ok(answer?.entry.error instanceof ObjectFreedError)
    assert.ok(fake.owner.atRest)
  })

  test('an owner is asked once, for all of a turn', () => {
    const fake = new FakeOwner()
    const [one, two, other] = [fake.meet(A, 1), fake.meet(A, 2), fake.meet(B, 1)]
    for (const entry of [one, two, other, one]) fake.owner.values.need(entry)
    fake.flush()
    fake.owner.values.need(one)
    fake.flush()
    assert.deepEqual(fake.sent('fetch', A), [{ is: 'fetch', seqs: [1, 2] }])
    assert.deepEqual(fake.sent('fetch', B), [{ is: 'fetch', seqs: [1] }])
  })

  test('the value of a ref that was dropped meanwhile is ignored', () => {
    const fake = new FakeOwner()
    const entry = fake.meet(A, 1)
    fake.unref(entry)
    fake.act({ is: 'value', from: A, seq: 1, outcome: { form: 'plain', value: 1 } })
    assert.equal(entry.settled, false)
  })

  test('what waits for a borrowed value goes on when it comes, whoever asked', () => {
    const fake = new FakeOwner()
    const entry = fake.meet(A, 1)
    const task = fake.submit({ args: [entry] })
    fake.grant(B)
    assert.deepEqual(fake.all('dispatch'), [])
    fake.flush()
    assert.equal(fake.sent('fetch', A).length, 1)
    fake.act({ is: 'value', from: A, seq: 1, outcome: { form: 'stored', sizeBytes: 0 } })
    fake.grant(B)
    assert.deepEqual(
      fake.all('dispatch').map(each => each.task),
      [task],
    )
  })
})
