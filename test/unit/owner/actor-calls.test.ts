// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import type { Actor, ActorCall } from '#lib/core/owner/actor-calls.js'
import { ActorDiedError, ActorUnavailableError, PendingCallsLimitError, TaskCancelledError, TaskError } from '#lib/errors.js'
import { objectId } from '#lib/ids.js'
import type { ActorView } from '#lib/wire/messages.js'
import { remoteWorker, workerIdOf } from '../../fakes/cluster.js'
import { FakeOwner, NODE, viewOf } from '../../fakes/owner.js'

const W = workerIdOf(50)
const W2 = workerIdOf(51)
const OTHER = workerIdOf(10)
const AWAY = remoteWorker(5)

function tell(fake: FakeOwner, actor: Actor, more: Partial<ActorView> = {}): void {
  fake.from(NODE, { is: 'actorState', actorId: actor.actorId, view: viewOf(actor, more) })
}

function alive(): { fake: FakeOwner; actor: Actor } {
  const fake = new FakeOwner()
  const actor = fake.actor(1000)
  tell(fake, actor)
  return { fake, actor }
}

const errorOf = (call: ActorCall) => call.entries[0]?.error
const sentTo = (fake: FakeOwner, worker = W) =>
  fake
    .all('call')
    .filter(each => each.to === worker)
    .map(each => each.call)
const restarting = { phase: 'restarting', workerId: null } as const
const dead = { phase: 'dead', workerId: null } as const
const again = { incarnation: 1, workerId: W2 } as const

suite('actor calls', () => {
  test('calls wait for the actor, the head is asked once to tell of it, and then all go in order', () => {
    const fake = new FakeOwner()
    const actor = fake.actor(1000)
    const calls = [fake.call(actor), fake.call(actor)]
    tell(fake, actor, { phase: 'starting', workerId: null })
    assert.deepEqual(fake.all('call'), [])
    tell(fake, actor)
    calls.push(fake.call(actor))
    assert.deepEqual(sentTo(fake), calls)
    assert.deepEqual(fake.sent('actorWatch', NODE), [{ is: 'actorWatch', actorId: actor.actorId }])
    assert.equal(fake.all('actorChanged').length, 2)
  })

  test('a second handle, got by the name, hears first that the actor lives: calls of the first still go first', () => {
    const fake = new FakeOwner()
    const [actor, byName] = [fake.actor(1000), fake.actor(1001)]
    const calls = [fake.call(actor), fake.call(byName)]
    fake.from(NODE, { is: 'actorState', actorId: byName.actorId, view: viewOf(actor, { name: 'n' }) })
    tell(fake, actor)
    assert.deepEqual(sentTo(fake), calls)
  })

  test('an answer settles the results and lets go of the arguments and the actor', () => {
    const { fake, actor } = alive()
    actor.entry!.local++
    const argument = fake.put()
    const call = fake.call(actor, { args: [argument], returns: 2 })
    fake.unref(argument, actor.entry!)
    assert.deepEqual(fake.all('drop'), [])
    fake.answer(call, W, {
      results: [
        { form: 'plain', value: 1 },
        { form: 'plain', value: 2 },
      ],
    })
    assert.deepEqual(
      call.entries.map(each => each.plain),
      [1, 2],
    )
    assert.deepEqual(
      fake.all('drop').map(each => each.entry),
      [argument, actor.entry],
    )
    fake.unref(...call.entries)
    assert.ok(fake.owner.atRest)
  })

  test('a call whose argument is late holds up those behind it, unless the actor keeps no order', () => {
    for (const ordered of [true, false]) {
      const fake = new FakeOwner()
      const actor = fake.actor(1000, ordered)
      tell(fake, actor)
      const late = fake.submit()
      const [first, second] = [fake.call(actor, { args: [late.entries[0]!] }), fake.call(actor)]
      assert.deepEqual(sentTo(fake), ordered ? [] : [second])
      fake.grant(OTHER)
      fake.reply(late)
      assert.deepEqual(sentTo(fake), ordered ? [first, second] : [second, first])
    }
  })

  test('a failed argument fails its call alone, before and after the call was made', () => {
    const { fake, actor } = alive()
    const bad = fake.submit()
    const [first, second] = [fake.call(actor, { args: [bad.entries[0]!, bad.entries[0]!] }), fake.call(actor)]
    fake.grant(OTHER)
    fake.reply(bad, { status: 'error' })
    const third = fake.call(actor, { args: [bad.entries[0]!] })
    assert.ok(errorOf(first) instanceof TaskError)
    assert.ok(errorOf(third) instanceof TaskError)
    assert.deepEqual(sentTo(fake), [second])
    fake.answer(second, W)
    fake.unref(...bad.entries, ...first.entries, ...second.entries, ...third.entries)
    assert.ok(fake.owner.atRest)
  })

  test('what was under way when the process ended is made again where allowed, before what came later', () => {
    const { fake, actor } = alive()
    const [first, second] = [fake.call(actor, { retries: 1 }), fake.call(actor, { retries: 1 })]
    tell(fake, actor, restarting)
    const third = fake.call(actor, { retries: 1 })
    tell(fake, actor, again)
    assert.deepEqual(sentTo(fake, W2), [first, second, third])
    assert.deepEqual([first.attempt, first.retriesLeft, third.attempt, third.retriesLeft], [1, 0, 0, 1])
  })

  test('a restart that is heard of only when it is over interrupts all the same', () => {
    const { fake, actor } = alive()
    const [retried, not] = [fake.call(actor, { retries: -1 }), fake.call(actor)]
    tell(fake, actor, again)
    assert.deepEqual(sentTo(fake, W2), [retried])
    assert.ok(errorOf(not) instanceof ActorUnavailableError)
  })

  test('without retries, what was under way may have run, and what comes meanwhile does not', () => {
    const { fake, actor } = alive()
    const first = fake.call(actor)
    tell(fake, actor, restarting)
    const second = fake.call(actor)
    assert.ok(errorOf(first) instanceof ActorUnavailableError && errorOf(second) instanceof ActorUnavailableError)
    assert.match(String(errorOf(first)), /may or may not have run/)
    assert.match(String(errorOf(second)), /was not run/)
    tell(fake, actor, again)
    assert.deepEqual(sentTo(fake, W2), [])
  })

  test('calls on a dead actor fail with why it died', () => {
    const { fake, actor } = alive()
    const under = fake.call(actor, { retries: 5 })
    const cause = new Uint8Array([1, 2])
    tell(fake, actor, { ...dead, deathCause: cause })
    const later = fake.call(actor)
    assert.equal(errorOf(under), cause)
    assert.equal(errorOf(later), cause)
    tell(fake, actor, dead)
    assert.ok(errorOf(fake.call(actor)) instanceof ActorDiedError)
    assert.equal(fake.owner.calls.pendingCount, 0)
  })

  test('an exception is retried as often as allowed, ahead of what waits', () => {
    const { fake, actor } = alive()
    const call = fake.call(actor, { retries: 1 })
    fake.answer(call, W, { status: 'error', retry: true })
    assert.deepEqual(sentTo(fake), [call, call])
    fake.answer(call, W, { status: 'error', retry: true })
    assert.match(String(errorOf(call)), /body/)
  })

  test('a caller may have only so many pending calls; one too many changes nothing', () => {
    const { fake, actor } = alive()
    const calls = [fake.call(actor, { pendingMax: 2 }), fake.call(actor, { pendingMax: 2 })]
    assert.throws(() => fake.call(actor, { pendingMax: 2 }), PendingCallsLimitError)
    assert.equal(fake.owner.calls.pendingCount, 2)
    fake.answer(calls[0]!, W)
    calls.push(fake.call(actor, { pendingMax: 2 }))
    assert.deepEqual(sentTo(fake), calls)
  })

  test('a call is cancelled where it is: in the queue at once, at the actor by asking', () => {
    const fake = new FakeOwner()
    const actor = fake.actor(1000)
    const cancel = (call: ActorCall) => fake.act({ is: 'cancel', entry: call.entries[0]!, force: false, recursive: false })
    const [queued, sent] = [fake.call(actor), fake.call(actor)]
    cancel(queued)
    assert.ok(errorOf(queued) instanceof TaskCancelledError)
    tell(fake, actor)
    assert.deepEqual(sentTo(fake), [sent])
    cancel(sent)
    cancel(sent)
    assert.deepEqual(fake.sent('cancelTask', W), [{ is: 'cancelTask', task: sent.seq, force: false, recursive: false }])
    assert.equal(errorOf(sent), null)
    fake.answer(sent, W, { status: 'cancelled', results: [] })
    assert.ok(errorOf(sent) instanceof TaskCancelledError)
  })

  test('a call behind another at a busy actor fails at once when it is cancelled, and has its arguments until the actor answers', () => {
    const { fake, actor } = alive()
    const cancel = (call: ActorCall) => fake.act({ is: 'cancel', entry: call.entries[0]!, force: false, recursive: false })
    const argument = fake.put()
    const [first, second, third] = [fake.call(actor), fake.call(actor, { args: [argument] }), fake.call(actor)]
    fake.unref(argument)
    cancel(second)
    assert.ok(errorOf(second) instanceof TaskCancelledError)
    assert.equal(fake.sent('cancelTask', W)[0]?.task, second.seq)
    assert.ok(!argument.dropped)
    fake.answer(first, W)
    // For all that is known here it runs.
    cancel(third)
    assert.equal(errorOf(third), null)
    fake.answer(second, W)
    assert.ok(argument.dropped)
    assert.ok(
      fake.all('discard').some(each => each.seq === second.seq),
      'what it made all the same',
    )
    fake.answer(third, W, { status: 'cancelled', results: [] })
    fake.unref(...first.entries, ...second.entries, ...third.entries)
    assert.equal(actor.outstanding.size, 0)
  })

  test('a call that failed so lets go of its arguments with the process, whatever becomes of the actor', () => {
    for (const end of [restarting, dead]) {
      const { fake, actor } = alive()
      const argument = fake.put()
      const [first, second] = [fake.call(actor), fake.call(actor, { args: [argument], retries: 5 })]
      fake.unref(argument)
      fake.act({ is: 'cancel', entry: second.entries[0]!, force: false, recursive: false })
      tell(fake, actor, end)
      assert.ok(argument.dropped)
      assert.ok(errorOf(first) instanceof Error)
      assert.ok(errorOf(second) instanceof TaskCancelledError)
    }
  })

  test('of an actor that keeps no order nobody knows here what it has begun', () => {
    const fake = new FakeOwner()
    const actor = fake.actor(1000, false)
    tell(fake, actor)
    fake.call(actor)
    const second = fake.call(actor)
    fake.act({ is: 'cancel', entry: second.entries[0]!, force: false, recursive: false })
    assert.equal(errorOf(second), null)
  })

  test('a cancelled call is not made again after a restart', () => {
    const { fake, actor } = alive()
    const call = fake.call(actor, { retries: 5 })
    fake.act({ is: 'cancel', entry: call.entries[0]!, force: false, recursive: false })
    tell(fake, actor, restarting)
    tell(fake, actor, again)
    assert.ok(errorOf(call) instanceof Error)
    assert.deepEqual(sentTo(fake, W2), [])
  })

  test('refs in an answer are registered and confirmed, also when nobody waits for the answer any more', () => {
    const { fake, actor } = alive()
    const call = fake.call(actor)
    fake.answer(call, W, { contained: [[{ owner: OTHER, seq: 3, isActor: false }]] })
    fake.flush()
    assert.deepEqual(fake.sent('borrow', OTHER), [{ is: 'borrow', ack: 1, seqs: [3] }])
    assert.deepEqual(fake.sent('returnsHeld'), [])
    fake.from(OTHER, { is: 'borrowed', ack: 1, missing: [] })
    fake.answer(call, W, { contained: [[{ owner: OTHER, seq: 4, isActor: false }]] })
    fake.flush()
    assert.deepEqual(
      fake.sent('returnsHeld', W).flatMap(each => each.tasks),
      [call.seq, call.seq],
    )
    assert.equal(fake.sent('borrow').length, 1)
  })

  test('an answer of an earlier process of the actor does not end the call that was made again', () => {
    const { fake, actor } = alive()
    const call = fake.call(actor, { retries: 1 })
    tell(fake, actor, restarting)
    fake.answer(call, W)
    assert.equal(errorOf(call), null)
    assert.equal(call.done, false)
    tell(fake, actor, again)
    fake.answer(call, W)
    assert.equal(call.done, false)
    fake.answer(call, W2)
    assert.equal(call.done, true)
    assert.deepEqual(actor.queue, [])
  })

  test('an actor found by name is called like any other, also when a counted handle comes later', () => {
    const fake = new FakeOwner()
    const actorId = objectId(OTHER, 1000)
    const named = fake.owner.actor(actorId, false, 'Counter', true)
    assert.equal(named.entry, null)
    tell(fake, named)
    const call = fake.call(named)
    const counted = fake.owner.actor(actorId, true, 'Counter', true)
    counted.entry!.local++
    assert.equal(fake.owner.actor(actorId, true, 'Counter', true), counted)
    const other = fake.call(counted)
    tell(fake, counted, dead)
    assert.ok(errorOf(call) instanceof ActorDiedError, 'the call of the first handle hears of the end')
    assert.ok(errorOf(other) instanceof ActorDiedError)
    fake.unref(counted.entry!)
    assert.equal(fake.owner.calls.pendingCount, 0)
  })

  test('a call that was sent to another node once may have stored there, wherever it ends', () => {
    const { fake, actor } = alive()
    const call = fake.call(actor, { retries: 2 })
    tell(fake, actor, restarting)
    tell(fake, actor, { incarnation: 1, workerId: AWAY })
    const away = fake.call(actor, { retries: 1 })
    tell(fake, actor, restarting)
    tell(fake, actor, { incarnation: 2, workerId: W2 })
    for (const each of [away, call]) fake.answer(each, W2)
    assert.deepEqual(
      fake.news('discard').map(({ seq, elsewhere }) => [seq, elsewhere]),
      [
        [away.seq, true],
        [call.seq, true],
      ],
    )
  })

  test('what a call stored that came to nothing is removed', () => {
    const { fake, actor } = alive()
    const stored = { form: 'stored', sizeBytes: 200_000 } as const
    const discarded = () => fake.news('discard').map(each => each.seq)
    // The process ended before its answer was read, or the answer comes when the call has failed already.
    const call = fake.call(actor, { returns: 2 })
    tell(fake, actor, restarting)
    assert.deepEqual(discarded(), [call.seq, call.seq + 1])
    fake.answer(call, W, { results: [stored] })
    assert.deepEqual(discarded(), [call.seq])
    tell(fake, actor, again)
    const kept = fake.call(actor)
    fake.answer(kept, W2, { results: [stored] })
    // An answer for what this process has put is a lie, and costs nothing.
    fake.answer({ ...call, seq: kept.seq } as ActorCall, W2, { results: [stored] })
    assert.deepEqual(discarded(), [])
  })
})
