// SPDX-License-Identifier: Apache-2.0
// Lost objects: what is run again, what is not, and what whoever waits is told.

import assert from 'node:assert/strict'
import { type Entry, STATE } from '#lib/core/owner/entry.js'
import { Lineage } from '#lib/core/owner/lineage.js'
import { References } from '#lib/core/owner/references.js'
import { TASK, type Task } from '#lib/core/owner/task.js'
import { ObjectLostError, ReconstructionFailedError, TaskCancelledError } from '#lib/errors.js'
import { remoteWorker, workerIdOf } from '../../fakes/cluster.js'
import { FakeOwner, NODE, SELF, type TaskOptions, viewOf } from '../../fakes/owner.js'

const A = workerIdOf(10)
const PEER = remoteWorker(20)
const STORED = { form: 'stored', sizeBytes: 200_000 } as const
const lose = (fake: FakeOwner, entry: Entry) => fake.act({ is: 'lost', entry, why: 'the node bbbbbbbbbb died' })
const stateOf = (task: Task) => task.entries.map(entry => entry.state)

/** A task whose results are in the store. */
function made(fake: FakeOwner, options: TaskOptions = {}): Task {
  const task = fake.submit({ retries: 3, ...options })
  if (fake.owner.leases.lanes.size === 0) fake.grant(A)
  fake.reply(task, { results: task.entries.map(() => STORED) })
  return task
}

suite('recovery', () => {
  test('what was lost is pending again, its task runs once more and counts a retry; who waits and who asks get the new value', () => {
    const fake = new FakeOwner()
    const task = made(fake, { name: 'make' })
    const [entry] = task.entries as [Entry]
    lose(fake, entry)
    lose(fake, entry)
    assert.deepEqual([entry.state, task.state, task.retriesLeft, task.attempt], [STATE.pending, TASK.sent, 2, 1])
    assert.equal(fake.all('dispatch').length, 2)
    const waiting = fake.submit({ name: 'use', args: [entry] })
    fake.from(PEER, { is: 'fetch', seqs: [entry.seq] })
    assert.equal(waiting.state, TASK.waiting)
    fake.reply(task, { results: [STORED] })
    assert.equal(entry.state, STATE.stored)
    assert.equal(waiting.state, TASK.sent)
    assert.deepEqual(
      fake.all('value').map(each => [each.to, each.entry]),
      [[PEER, entry]],
    )
  })

  test('arguments that were let go of are made again first, all the way down, and let go of again', () => {
    const fake = new FakeOwner()
    const first = made(fake)
    const second = made(fake, { args: [first.entries[0]!] })
    const third = made(fake, { args: [second.entries[0]!] })
    fake.unref(...first.entries, ...second.entries)
    assert.equal(fake.all('drop').length, 2, 'lineage keeps no values')
    lose(fake, third.entries[0]!)
    assert.deepEqual(
      [first, second, third].map(task => task.state),
      [TASK.sent, TASK.waiting, TASK.waiting],
    )
    for (const task of [first, second, third]) fake.reply(task, { results: [STORED] })
    assert.deepEqual([stateOf(first), stateOf(second), stateOf(third)], [[STATE.released], [STATE.released], [STATE.stored]])
    assert.equal(fake.all('drop').length, 4)
    fake.unref(...third.entries)
    assert.ok(fake.owner.atRest)
    assert.equal(fake.owner.lineage.bytes, 0)
  })

  test('of several results only what is lost is pending; what is there stays', () => {
    const fake = new FakeOwner()
    const task = made(fake, { returns: 2 })
    lose(fake, task.entries[1]!)
    assert.deepEqual(stateOf(task), [STATE.stored, STATE.pending])
    lose(fake, task.entries[0]!)
    assert.deepEqual(stateOf(task), [STATE.pending, STATE.pending])
    assert.equal(fake.all('dispatch').length, 2, 'the run that is under way makes both')
    fake.reply(task, { results: [STORED, STORED] })
    assert.deepEqual(stateOf(task), [STATE.stored, STATE.stored])
  })

  test('a value that was put is lost', () => {
    const fake = new FakeOwner()
    const entry = fake.put()
    lose(fake, entry)
    assert.ok(entry.error instanceof ObjectLostError && !(entry.error instanceof ReconstructionFailedError))
    assert.match(entry.error.message, /is lost: the node bbbbbbbbbb died\. It was put, so nothing can make it again: put it again/)
  })

  test('what cannot be made again says why, and nothing is run for it', () => {
    const cases: [string, (fake: FakeOwner) => Entry, RegExp][] = [
      ['retries', fake => made(fake, { name: 'once', retries: 0 }).entries[0]!, /the retries of once are used up/],
      [
        'used up',
        fake => {
          const task = made(fake, { name: 'twice', retries: 1 })
          lose(fake, task.entries[0]!)
          fake.reply(task, { results: [STORED] })
          return task.entries[0]!
        },
        /the retries of twice are used up/,
      ],
      [
        'an argument that was put',
        fake => {
          const [safe, gone] = [made(fake), fake.put()]
          const task = made(fake, { args: [safe.entries[0]!, gone] })
          fake.unref(...safe.entries, gone)
          return task.entries[0]!
        },
        /it was made from \w+, which is gone: that was put, and nobody held its ref any more/,
      ],
      [
        'an actor',
        fake => {
          const actor = fake.actor(40)
          fake.from(workerIdOf(0), { is: 'actorState', actorId: actor.actorId, view: viewOf(actor) })
          const call = fake.call(actor, { retries: 0 })
          fake.answer(call, workerIdOf(50), { results: [STORED] })
          return call.entries[0]!
        },
        /Counter\.add is a call on an actor, with no maxTaskRetries left/,
      ],
    ]
    for (const [what, make, reason] of cases) {
      const fake = new FakeOwner()
      const entry = make(fake)
      const runs = fake.all('dispatch').length
      lose(fake, entry)
      assert.ok(entry.error instanceof ReconstructionFailedError, what)
      assert.match(entry.error.message, reason)
      assert.equal(fake.all('dispatch').length, runs, what)
    }
  })

  test('a call on an actor that lives is made again when maxTaskRetries allows it; one on a dead actor is not', () => {
    const fake = new FakeOwner()
    const actor = fake.actor(40)
    const tell = (phase: 'alive' | 'dead') =>
      fake.from(workerIdOf(0), { is: 'actorState', actorId: actor.actorId, view: viewOf(actor, { phase }) })
    ;(actor.entry as Entry).local++
    tell('alive')
    const call = fake.call(actor, { retries: 2 })
    fake.answer(call, workerIdOf(50), { results: [STORED] })
    lose(fake, call.entries[0]!)
    assert.deepEqual([call.entries[0]!.state, call.retriesLeft, fake.all('call').length], [STATE.pending, 1, 2])
    fake.answer(call, workerIdOf(50), { results: [STORED] })
    tell('dead')
    lose(fake, call.entries[0]!)
    assert.match(String(call.entries[0]!.error), /the actor of Counter\.add is gone/)
  })

  test('when running it again fails, that is the cause; a cancel meanwhile is a cancel', () => {
    const fake = new FakeOwner()
    const task = made(fake, { name: 'make' })
    lose(fake, task.entries[0]!)
    fake.reply(task, { status: 'error' })
    const error = task.entries[0]!.error
    assert.ok(error instanceof ReconstructionFailedError)
    assert.match(
      error.message,
      /an object was lost \(the node bbbbbbbbbb died\), and make, which made it, failed when it was run again: body/,
    )
    assert.match(String(error.cause), /body/)
    const other = made(fake)
    lose(fake, other.entries[0]!)
    fake.act({ is: 'cancel', entry: other.entries[0]!, force: false, recursive: false })
    assert.ok(other.entries[0]!.error instanceof TaskCancelledError)
  })

  test('an argument lost before its task is sent is waited for; one lost for good fails the task', () => {
    const fake = new FakeOwner()
    const argument = made(fake)
    fake.die(A)
    const put = fake.put()
    const [waits, fails] = [fake.submit({ args: [argument.entries[0]!] }), fake.submit({ args: [put] })]
    assert.deepEqual([waits.state, fails.state], [TASK.queued, TASK.queued])
    lose(fake, argument.entries[0]!)
    lose(fake, put)
    fake.grant(A)
    assert.equal(waits.state, TASK.waiting)
    assert.match(String(fails.entries[0]!.error), /did not run: its argument 1 failed: .* is lost/)
    fake.reply(argument, { results: [STORED] })
    assert.equal(waits.state, TASK.sent)
  })

  test('refs inside a lost value are let go of, and those of the new one held', () => {
    const fake = new FakeOwner()
    const task = fake.submit({ retries: 3 })
    fake.grant(A)
    const inside = (seq: number) => [[{ owner: PEER, seq, isActor: false }]]
    fake.reply(task, { results: [STORED], contained: inside(1) })
    lose(fake, task.entries[0]!)
    assert.equal(fake.owner.references.borrowed.has(PEER), false)
    fake.reply(task, { results: [STORED], contained: inside(2) })
    assert.deepEqual([...fake.owner.references.borrowed.get(PEER)!.keys()], [2])
    fake.unref(...task.entries)
    fake.flush()
    for (const { ack } of fake.sent('borrow', PEER)) fake.from(PEER, { is: 'borrowed', ack, missing: [] })
    fake.flush()
    assert.ok(fake.owner.atRest)
  })

  test('an argument of another process that was let go of is borrowed anew', () => {
    const fake = new FakeOwner()
    const theirs = fake.meet(PEER, 7)
    fake.act({ is: 'value', from: PEER, seq: 7, outcome: STORED })
    const task = made(fake, { args: [theirs] })
    fake.unref(theirs)
    assert.ok(theirs.dropped)
    lose(fake, task.entries[0]!)
    const again = fake.owner.references.borrowed.get(PEER)?.get(7)
    assert.ok(again !== undefined && again !== theirs && (task.args as Entry[])[0] === again)
    assert.equal(task.state, TASK.waiting)
    fake.act({ is: 'value', from: PEER, seq: 7, outcome: STORED })
    assert.equal(task.state, TASK.sent)
    fake.reply(task, { results: [STORED] })
    fake.unref(...task.entries)
    fake.flush()
    assert.ok(fake.owner.atRest)
  })

  test('lineage has an end: the oldest goes first, and says so; a chain of any length is forgotten link by link', () => {
    const references = new References(SELF, NODE)
    const fake = new FakeOwner()
    const tasks = Array.from({ length: 3 }, (_, i) => made(fake, { name: `t${i}` }))
    const lineage = new Lineage(references, 2_500)
    for (const task of tasks) lineage.keep(task, [])
    assert.equal(lineage.size, 2)
    assert.equal(tasks[0]!.entries[0]!.made, null)
    assert.match(String(tasks[0]!.entries[0]!.unmade), /how t0 made it was forgotten, since only 2500 bytes/)
    const long = new FakeOwner()
    // They look at everything, each time.
    long.owner.invariants = () => {}
    let last = made(long)
    for (let i = 0; i < 20_000; i++) {
      const next = made(long, { args: [last.entries[0]!] })
      long.unref(...last.entries)
      last = next
    }
    assert.equal(long.owner.lineage.size, 20_001)
    long.unref(...last.entries)
    assert.equal(long.owner.lineage.size, 0)
    assert.ok(long.owner.atRest)
  })
})
