// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { STATE } from '#lib/core/owner/entry.js'
import { ObjectFreedError, OwnerDiedError } from '#lib/errors.js'
import { limits } from '#lib/options.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { FakeOwner, NODE, SELF } from '../../fakes/owner.js'

const A = workerIdOf(10)
const B = workerIdOf(11)

suite('references', () => {
  test('an object is dropped with its last ref, and not before', () => {
    const fake = new FakeOwner()
    const entry = fake.put()
    entry.local++
    fake.unref(entry)
    assert.deepEqual(fake.all('drop'), [])
    fake.unref(entry)
    assert.deepEqual(fake.all('drop'), [{ is: 'drop', entry, nodes: [] }])
    assert.ok(fake.owner.atRest)
  })

  test('a death that is told again changes nothing of what the daemon was told of the dead', () => {
    const fake = new FakeOwner()
    const [kept, dropped] = [fake.meet(A, 1), fake.meet(A, 2)]
    fake.flush()
    fake.die(A)
    fake.flush()
    fake.die(A)
    fake.adopted([kept, dropped])
    assert.deepEqual([kept.state, dropped.state], [STATE.stored, STATE.stored])
    fake.unref(dropped)
    fake.die(A)
    fake.flush()
    assert.equal(fake.sent('adopt', NODE).length, 1)
    assert.deepEqual(fake.sent('disown', NODE), [{ is: 'disown', owner: A, seqs: [2] }])
  })

  test('a lent object lives until its borrower has given it back, or died', () => {
    for (const end of ['unborrow', 'death'] as const) {
      const fake = new FakeOwner()
      const entry = fake.put()
      fake.from(A, { is: 'borrow', ack: 7, seqs: [entry.seq, 99] })
      assert.deepEqual(fake.sent('borrowed', A), [{ is: 'borrowed', ack: 7, missing: [99] }])
      fake.unref(entry)
      assert.deepEqual(fake.all('drop'), [])
      // Nobody else can end that borrow.
      fake.from(B, { is: 'unborrow', seqs: [entry.seq] })
      fake.die(B)
      assert.deepEqual(fake.all('drop'), [])
      if (end === 'unborrow') fake.from(A, { is: 'unborrow', seqs: [entry.seq] })
      else fake.die(A)
      assert.equal(fake.all('drop').length, 1)
      assert.ok(fake.owner.atRest)
    }
  })

  test('a process whose end was told borrows nothing any more', () => {
    const fake = new FakeOwner()
    const entry = fake.put()
    fake.die(A)
    fake.from(A, { is: 'borrow', ack: 7, seqs: [entry.seq] })
    assert.deepEqual(fake.sent('borrowed', A), [{ is: 'borrowed', ack: 7, missing: [entry.seq] }])
    fake.unref(entry)
    assert.ok(fake.owner.atRest)
  })

  test('the refs inside a value live as long as it does', () => {
    const fake = new FakeOwner()
    const inner = fake.put()
    const outer = fake.put([{ owner: SELF, seq: inner.seq, isActor: false }])
    fake.unref(inner)
    assert.deepEqual(fake.all('drop'), [])
    fake.unref(outer)
    assert.deepEqual(
      fake.all('drop').map(each => each.entry),
      [outer, inner],
    )
  })

  test('a ref of another process is borrowed once, and given back once', () => {
    const fake = new FakeOwner()
    const entry = fake.meet(A, 5)
    assert.equal(fake.meet(A, 5), entry)
    fake.flush()
    fake.flush()
    assert.deepEqual(fake.sent('borrow', A), [{ is: 'borrow', ack: 1, seqs: [5] }])
    fake.unref(entry)
    fake.flush()
    assert.deepEqual(fake.sent('unborrow'), [])
    fake.unref(entry)
    fake.flush()
    fake.flush()
    assert.deepEqual(fake.sent('unborrow', A), [{ is: 'unborrow', seqs: [5] }])
  })

  test('a ref met again before it was given back is neither given back nor borrowed twice', () => {
    const fake = new FakeOwner()
    fake.unref(fake.meet(A, 5))
    const again = fake.meet(A, 5)
    fake.flush()
    assert.deepEqual(fake.sent('borrow'), [{ is: 'borrow', ack: 1, seqs: [5] }])
    assert.deepEqual(fake.sent('unborrow'), [])
    fake.unref(again)
    fake.flush()
    assert.deepEqual(fake.sent('unborrow'), [{ is: 'unborrow', seqs: [5] }])
  })

  test('what may hold a borrowed ref is given back only after the owner of that ref has heard of us', () => {
    const fake = new FakeOwner()
    const outer = fake.meet(A, 1)
    fake.flush()
    fake.from(A, { is: 'borrowed', ack: 1, missing: [] })
    // Decoded out of `outer`.
    fake.meet(B, 2)
    fake.unref(outer)
    fake.flush()
    assert.deepEqual(fake.sent('unborrow'), [])
    fake.from(B, { is: 'borrowed', ack: 2, missing: [] })
    fake.flush()
    assert.deepEqual(fake.sent('unborrow', A), [{ is: 'unborrow', seqs: [1] }])
  })

  test('a borrow at the same owner needs no answer: messages keep their order', () => {
    const fake = new FakeOwner()
    const outer = fake.meet(A, 1)
    fake.meet(A, 2)
    fake.unref(outer)
    fake.flush()
    const order = fake.all('send').map(each => each.message.is)
    assert.deepEqual(order, ['borrow', 'unborrow'])
  })

  test('a result’s refs are held for the caller until it says that it holds them, or dies', () => {
    for (const end of ['returnsHeld', 'death'] as const) {
      const fake = new FakeOwner()
      const entry = fake.put()
      fake.owner.references.holdForCaller(A, 33, [entry])
      fake.unref(entry)
      fake.from(B, { is: 'returnsHeld', tasks: [33] })
      fake.from(A, { is: 'returnsHeld', tasks: [34] })
      assert.deepEqual(fake.all('drop'), [])
      if (end === 'death') fake.die(A)
      else fake.from(A, { is: 'returnsHeld', tasks: [33] })
      assert.equal(fake.all('drop').length, 1)
      fake.from(A, { is: 'returnsHeld', tasks: [33] })
    }
  })

  test('nothing is held for a caller that is dead already', () => {
    const fake = new FakeOwner()
    fake.die(A)
    const entry = fake.put()
    fake.owner.references.holdForCaller(A, 33, [entry])
    fake.unref(entry)
    assert.ok(fake.owner.atRest)
  })

  test('the refs in a result are confirmed to its executor once their owners have heard of us', () => {
    const fake = new FakeOwner()
    const task = fake.submit()
    fake.grant(A)
    fake.reply(task, { contained: [[{ owner: B, seq: 8, isActor: false }]] })
    fake.flush()
    assert.deepEqual(fake.sent('borrow', B), [{ is: 'borrow', ack: 1, seqs: [8] }])
    assert.deepEqual(fake.sent('returnsHeld'), [])
    fake.from(B, { is: 'borrowed', ack: 1, missing: [] })
    fake.flush()
    assert.deepEqual(fake.sent('returnsHeld', A), [{ is: 'returnsHeld', tasks: [task.seq] }])
    fake.unref(...task.entries)
    fake.flush()
    assert.deepEqual(fake.sent('unborrow', B), [{ is: 'unborrow', seqs: [8] }])
  })

  test('objects of a dead process that no store has fail, also those met later; nothing more is sent to it', () => {
    const fake = new FakeOwner()
    const before = fake.meet(A, 1)
    fake.flush()
    fake.die(A)
    const after = fake.meet(A, 2)
    fake.adopted()
    for (const entry of [before, after]) {
      assert.equal(entry.state, STATE.failed)
      assert.ok(entry.error instanceof OwnerDiedError)
      assert.match(entry.error.message, /is lost, and no store has a copy: the process \w+ that owned it died \(signal SIGKILL\)/)
    }
    const toIt = () => fake.all('send').filter(each => each.to === A).length
    const sent = toIt()
    fake.unref(before, after)
    fake.flush()
    assert.equal(toIt(), sent)
    assert.ok(fake.owner.atRest)
  })

  test('what lies in a store outlives its owner: it is borrowed of the daemon, and given back to it', () => {
    const fake = new FakeOwner()
    const [stored, unknown, waiting] = [fake.meet(A, 1), fake.meet(A, 2), fake.meet(A, 3)]
    fake.act({ is: 'value', from: A, seq: 1, outcome: { form: 'stored', sizeBytes: 9 } })
    const task = fake.submit({ args: [waiting] })
    fake.die(A)
    // The news is answered only after what is borrowed was said.
    assert.deepEqual(
      fake
        .all('send')
        .filter(each => each.to === NODE && ['adopt', 'mourned'].includes(each.message.is))
        .map(each => each.message),
      [
        { is: 'adopt', ack: 1, owner: A, seqs: [1, 2, 3] },
        { is: 'mourned', id: A },
      ],
    )
    assert.ok(fake.owner.references.mustWait(B), 'who lent it here must not let go yet')
    fake.adopted([stored, unknown])
    assert.ok(!fake.owner.references.mustWait(B))
    assert.deepEqual([stored.state, unknown.state, waiting.state], [STATE.stored, STATE.stored, STATE.failed])
    assert.match(String(task.entries[0]?.error), /did not run/)
    const late = fake.meet(A, 4)
    fake.adopted([late])
    assert.equal(late.state, STATE.stored)
    fake.unref(stored, unknown, waiting, late, ...task.entries)
    fake.flush()
    assert.deepEqual(fake.sent('disown', NODE), [{ is: 'disown', owner: A, seqs: [1, 2, 3, 4] }])
    assert.deepEqual(fake.sent('fetch'), [], 'the dead are asked for nothing')
    assert.ok(fake.owner.atRest)
  })

  test('a value that is inline already survives its owner', () => {
    const fake = new FakeOwner()
    const entry = fake.meet(A, 1)
    fake.act({ is: 'value', from: A, seq: 1, outcome: { form: 'plain', value: 3 } })
    fake.die(A)
    assert.equal(entry.plain, 3)
    assert.equal(entry.error, null)
  })

  test('a ref that is met again just after the last was dropped hears what has become of an object of the dead', () => {
    const fake = new FakeOwner()
    const [inline, stored] = [fake.meet(A, 1), fake.meet(A, 2)]
    fake.act({ is: 'value', from: A, seq: 1, outcome: { form: 'plain', value: 3 } })
    fake.act({ is: 'value', from: A, seq: 2, outcome: { form: 'stored', sizeBytes: 9 } })
    fake.die(A)
    fake.adopted([stored])
    fake.unref(inline, stored)
    const [lost, kept] = [fake.meet(A, 1), fake.meet(A, 2)]
    fake.adopted([kept])
    assert.ok(lost.error instanceof OwnerDiedError)
    assert.equal(kept.state, STATE.stored)
    assert.deepEqual(fake.sent('disown'), [])
  })

  test('the death of an owner ends the wait for its answers', () => {
    const fake = new FakeOwner()
    const outer = fake.meet(B, 1)
    fake.flush()
    fake.from(B, { is: 'borrowed', ack: 1, missing: [] })
    fake.meet(A, 2)
    fake.unref(outer)
    fake.flush()
    assert.deepEqual(fake.sent('unborrow'), [])
    fake.die(A)
    fake.adopted()
    fake.flush()
    assert.deepEqual(fake.sent('unborrow', B), [{ is: 'unborrow', seqs: [1] }])
    assert.ok(!fake.owner.references.unsettledBorrows(null))
  })

  test('a borrow that came too late fails the ref, and only an answer of that owner counts', () => {
    const fake = new FakeOwner()
    const entry = fake.meet(A, 1)
    fake.flush()
    fake.from(B, { is: 'borrowed', ack: 1, missing: [1] })
    assert.equal(entry.settled, false)
    fake.from(A, { is: 'borrowed', ack: 1, missing: [1] })
    assert.ok(entry.error instanceof ObjectFreedError)
  })

  test('a ref to an object of ours that is gone fails, and leaves nothing behind', () => {
    const fake = new FakeOwner()
    const entry = fake.meet(SELF, 77)
    assert.ok(entry.error instanceof ObjectFreedError)
    fake.unref(entry)
    assert.ok(fake.owner.atRest)
  })

  test('counts below zero are bugs', () => {
    const fake = new FakeOwner()
    const entry = fake.put()
    fake.unref(entry)
    assert.throws(() => fake.owner.unref(entry, []), /below zero/)
    assert.throws(() => fake.owner.references.unhold(entry, []), /below zero/)
  })

  test('a bounded number of deaths is remembered; one that is forgotten is met as a process that does not answer, and dies again', () => {
    const fake = new FakeOwner()
    fake.die(A)
    for (let i = 0; i < limits.deadOwnersKept; i++) fake.die(workerIdOf(100 + i))
    const { references } = fake.owner
    assert.ok(references.isDead(workerIdOf(100)) && !references.isDead(A))
    const entry = fake.meet(A, 5)
    assert.equal(entry.state, STATE.unknown)
    fake.flush()
    assert.equal(fake.sent('borrow', A).length, 1)
    // The shell finds nobody to send it to.
    fake.die(A)
    fake.adopted()
    assert.ok(entry.error instanceof OwnerDiedError)
    fake.unref(entry)
    fake.flush()
    assert.ok(fake.owner.atRest)
  })
})
