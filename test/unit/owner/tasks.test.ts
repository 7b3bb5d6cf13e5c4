// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { STATE } from '#lib/core/owner/entry.js'
import type { Lane } from '#lib/core/owner/lane.js'
import { TASK, type Task } from '#lib/core/owner/task.js'
import { describeDeath } from '#lib/core/owner/tasks.js'
import {
  OutOfMemoryError,
  RuntimeEnvError,
  TaskCancelledError,
  TaskError,
  TaskUnschedulableError,
  WireError,
  WorkerCrashedError,
} from '#lib/errors.js'
import { limits } from '#lib/options.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { DEATH, FakeOwner, NODE, viewOf } from '../../fakes/owner.js'

const A = workerIdOf(10)
const B = workerIdOf(11)
const OUT_OF_MEMORY = { ...DEATH, reason: 'it was too large', outOfMemory: true }
const errorOf = (task: Task, i = 0) => task.entries[i]?.error

function cancel(fake: FakeOwner, task: Task, force = false, recursive = false): void {
  fake.act({ is: 'cancel', entry: task.entries[0]!, force, recursive })
}

suite('tasks', () => {
  test('a task goes from queue to worker to results, one an entry', () => {
    const fake = new FakeOwner()
    const task = fake.submit({ returns: 2 })
    assert.equal(task.state, TASK.queued)
    fake.grant(A)
    assert.equal(task.state, TASK.sent)
    fake.reply(task, {
      results: [
        { form: 'plain', value: 1 },
        { form: 'stored', sizeBytes: 5 },
      ],
    })
    assert.deepEqual(
      task.entries.map(entry => entry.state),
      [STATE.inline, STATE.stored],
    )
    assert.equal(fake.owner.tasks.pending.size, 0)
    fake.unref(...task.entries)
    assert.ok(fake.owner.atRest)
  })

  test('a failure is that of all results', () => {
    const fake = new FakeOwner()
    const task = fake.submit({ returns: 2 })
    fake.grant(A)
    fake.reply(task, { status: 'error' })
    assert.match(String(errorOf(task, 0)), /body/)
    assert.equal(errorOf(task, 0), errorOf(task, 1))
  })

  test('results nobody wants any more go as they come', () => {
    const fake = new FakeOwner()
    const task = fake.submit()
    fake.unref(...task.entries)
    fake.grant(A)
    fake.reply(task, { results: [{ form: 'stored', sizeBytes: 5 }] })
    assert.deepEqual(
      fake.all('drop').map(each => each.entry),
      task.entries,
    )
    assert.ok(fake.owner.atRest)
  })

  test('a task waits for its arguments, also for the same one twice, and holds them until it ends', () => {
    const fake = new FakeOwner()
    const first = fake.submit()
    const entry = first.entries[0]!
    const nested = fake.put()
    const second = fake.submit({ args: [entry, new Uint8Array(3), entry], nested: [nested] })
    assert.equal(second.state, TASK.waiting)
    fake.unref(entry, nested)
    fake.grant(A)
    fake.reply(first)
    assert.equal(second.state, TASK.sent)
    assert.deepEqual(fake.all('drop'), [])
    fake.reply(second)
    assert.deepEqual(
      fake.all('drop').map(each => each.entry),
      [entry, nested],
    )
  })

  test('a failed argument fails the task, before and after it was submitted, and it never runs', () => {
    const fake = new FakeOwner()
    const bad = fake.submit({ name: 'bad' })
    const late = fake.submit({ name: 'late', args: [bad.entries[0]!, bad.entries[0]!] })
    fake.grant(A)
    fake.reply(bad, { status: 'error' })
    const soon = fake.submit({ name: 'soon', args: [new Uint8Array(1), bad.entries[0]!] })
    const after = fake.submit({ name: 'after', args: [soon.entries[0]!] })
    for (const [task, text] of [
      [late, /^late did not run: its argument 1 failed: body/],
      [soon, /^soon did not run: its argument 2/],
      [after, /^after/],
    ] as const) {
      assert.ok(errorOf(task) instanceof TaskError)
      assert.match((errorOf(task) as Error).message, text)
    }
    assert.equal(fake.all('dispatch').length, 1)
    fake.unref(...[bad, late, soon, after].flatMap(task => task.entries))
    assert.ok(fake.owner.atRest)
  })

  test('a task whose worker dies goes again without counting if it had not begun, and uses a retry if it had', () => {
    const fake = new FakeOwner()
    const [begun, queued] = [fake.submit({ retries: 1 }), fake.submit()]
    fake.grant(A)
    fake.begun.add(begun)
    fake.die(A)
    assert.deepEqual([begun.retriesLeft, begun.attempt, queued.attempt], [0, 1, 0])
    fake.begun.delete(begun)
    fake.grant(B)
    assert.deepEqual([begun.lane?.workerId, queued.lane?.workerId], [B, B])
    fake.begun.add(begun)
    fake.die(B, { ...DEATH, stderrTail: 'last words' })
    const error = errorOf(begun)
    assert.ok(error instanceof WorkerCrashedError)
    assert.match(error.message, /attempts: 2/)
    assert.equal(error.signal, 'SIGKILL')
    assert.equal(error.stderrTail, 'last words')
    assert.equal(queued.state, TASK.queued)
  })

  test('a task ended for lack of memory goes again after a pause that doubles, with a counter of its own', () => {
    const fake = new FakeOwner()
    const task = fake.submit({ name: 'crunch', retries: 1 })
    const [first] = limits.memoryRetryMs
    for (let i = 0; i < limits.memoryRetriesMax; i++) {
      fake.grant(workerIdOf(20 + i))
      fake.begun.add(task)
      fake.die(workerIdOf(20 + i), OUT_OF_MEMORY)
      fake.begun.delete(task)
      assert.deepEqual([task.state, task.retriesLeft, task.attempt], [TASK.waiting, 1, i + 1])
      assert.equal(fake.owner.deadline(), fake.now + first * 2 ** i)
      fake.now += first * 2 ** i - 1
      fake.act({ is: 'tick' })
      assert.equal(task.state, TASK.waiting)
      fake.now++
      fake.act({ is: 'tick' })
      assert.equal(task.state, TASK.queued)
    }
    fake.grant(A)
    fake.begun.add(task)
    fake.die(A, OUT_OF_MEMORY)
    const error = errorOf(task)
    assert.ok(error instanceof OutOfMemoryError)
    assert.match(
      error.message,
      new RegExp(`crunch was ended: it was too large; attempts: ${limits.memoryRetriesMax + 1}\\. Ask for memoryBytes`),
    )
    fake.unref(...task.entries)
    assert.ok(fake.owner.atRest)
    assert.equal(fake.owner.deadline(), null)
  })

  test('lack of memory: without retries it fails at once, with retries for ever it goes on, and what had not begun pays nothing', () => {
    const fake = new FakeOwner()
    const [never, behind] = [fake.submit({ retries: 0 }), fake.submit({ retries: 0 })]
    fake.grant(A)
    fake.begun.add(never)
    fake.die(A, OUT_OF_MEMORY)
    assert.ok(errorOf(never) instanceof OutOfMemoryError)
    assert.deepEqual([behind.state, behind.attempt], [TASK.queued, 0])
    fake.act({ is: 'cancel', entry: behind.entries[0]!, force: false, recursive: false })
    const ever = fake.submit({ retries: -1 })
    for (let i = 0; i < 20; i++) {
      fake.grant(workerIdOf(20 + i))
      fake.begun.add(ever)
      fake.die(workerIdOf(20 + i), OUT_OF_MEMORY)
      fake.begun.delete(ever)
      assert.ok((fake.owner.deadline() ?? 0) - fake.now <= limits.memoryRetryMs[1])
      fake.now = fake.owner.deadline() ?? 0
      fake.act({ is: 'tick' })
    }
    assert.deepEqual([ever.state, ever.attempt], [TASK.queued, 20])
  })

  test('a task cancelled in its pause is cancelled, and nothing runs it', () => {
    const fake = new FakeOwner()
    const task = fake.submit({ retries: 1 })
    fake.grant(A)
    fake.begun.add(task)
    fake.die(A, OUT_OF_MEMORY)
    fake.act({ is: 'cancel', entry: task.entries[0]!, force: true, recursive: true })
    assert.ok(errorOf(task) instanceof TaskCancelledError)
    assert.equal(fake.owner.deadline(), null)
    fake.now += limits.memoryRetryMs[1]
    fake.act({ is: 'tick' })
    assert.equal(task.state, TASK.done)
  })

  test('what a run stored that came to nothing is removed: late, dead before it answered, or followed by another', () => {
    const fake = new FakeOwner()
    const stored = { form: 'stored', sizeBytes: 200_000 } as const
    const discarded = () => fake.news('discard').map(each => each.seq)
    // Cancelled while it ran: its answer was under way.
    const [late, dead] = [fake.submit({ returns: 2 }), fake.submit()]
    fake.grant(A)
    for (const task of [late, dead]) fake.begun.add(task)
    const [lane, claim] = [late.lane as Lane, late.claim]
    cancel(fake, late)
    cancel(fake, dead)
    discarded()
    fake.act({
      is: 'reply',
      from: A,
      claim,
      task: late.seq,
      status: 'ok',
      results: [stored, stored],
      contained: null,
      retry: false,
      bodyMs: 0,
    })
    assert.deepEqual(discarded(), [late.seq, late.seq + 1])
    assert.equal(lane.outstanding, 1)
    fake.die(A)
    assert.deepEqual(discarded(), [dead.seq])
    // The first run may have stored what the second gives inline, or fails to.
    for (const status of ['ok', 'error'] as const) {
      const again = fake.submit({ retries: 1 })
      fake.grant(B)
      fake.begun.add(again)
      fake.die(B)
      fake.grant(B)
      fake.reply(again, { status })
      assert.deepEqual(discarded(), [again.seq], status)
      fake.die(B)
    }
    // What is the value stays.
    const kept = fake.submit({ retries: 1 })
    fake.grant(B)
    fake.begun.add(kept)
    fake.die(B)
    fake.grant(B)
    fake.reply(kept, { results: [stored] })
    assert.deepEqual(discarded(), [])
    assert.equal(kept.entries[0]?.state, STATE.stored)
  })

  test('a cancelled task that runs on has its arguments until its worker says that it is over, takes it back, or dies', () => {
    for (const end of ['answer', 'takenBack', 'death'] as const) {
      const fake = new FakeOwner()
      const argument = fake.put()
      const task = fake.submit({ nested: [argument] })
      fake.unref(argument)
      fake.grant(A)
      if (end !== 'takenBack') fake.begun.add(task)
      const [lane, claim] = [task.lane as Lane, task.claim]
      cancel(fake, task)
      assert.equal(task.state, TASK.done)
      assert.equal(argument.dropped, end === 'takenBack', end)
      if (end === 'answer')
        fake.act({
          is: 'reply',
          from: A,
          claim,
          task: task.seq,
          status: 'cancelled',
          results: [],
          contained: null,
          retry: false,
          bodyMs: 0,
        })
      if (end === 'death') fake.die(A)
      assert.ok(argument.dropped)
      assert.equal(lane.outstanding, 0)
      fake.unref(...task.entries)
      assert.ok(fake.owner.atRest)
    }
  })

  test('retries without end do not run out', () => {
    const fake = new FakeOwner()
    const task = fake.submit({ retries: -1 })
    for (let i = 0; i < 5; i++) {
      fake.grant(workerIdOf(20 + i))
      fake.begun.add(task)
      fake.die(workerIdOf(20 + i))
    }
    assert.deepEqual([task.state, task.retriesLeft, task.attempt], [TASK.queued, -1, 5])
  })

  test('an exception is retried as often as allowed, when the user asked for that', () => {
    const fake = new FakeOwner()
    const task = fake.submit({ retries: 2, retryExceptions: true })
    fake.grant(A)
    for (let i = 0; i < 3; i++) {
      assert.equal(errorOf(task), null)
      fake.reply(task, { status: 'error', retry: true })
    }
    assert.match(String(errorOf(task)), /body/)
    assert.equal(task.attempt, 2)
    assert.equal(fake.all('dispatch').length, 3)
  })

  test('a cancelled task fails at once while it waits for arguments or a worker, and never runs', () => {
    const fake = new FakeOwner()
    const first = fake.submit()
    const waiting = fake.submit({ args: [first.entries[0]!] })
    for (const task of [waiting, first]) {
      cancel(fake, task)
      assert.ok(errorOf(task) instanceof TaskCancelledError)
    }
    fake.grant(A)
    assert.deepEqual(fake.all('dispatch'), [])
    assert.equal(fake.sent('leaseReturn').length, 1)
    fake.unref(...waiting.entries, ...first.entries)
    assert.ok(fake.owner.atRest)
  })

  test('a cancelled task that was sent is taken back, or told to its worker, whose late answer changes nothing', () => {
    const fake = new FakeOwner()
    const [running, behind] = [fake.submit(), fake.submit()]
    fake.grant(A)
    fake.begun.add(running)
    const lane = running.lane as Lane
    for (const task of [running, behind]) cancel(fake, task, false, true)
    assert.ok(errorOf(running) instanceof TaskCancelledError && errorOf(behind) instanceof TaskCancelledError)
    assert.deepEqual(fake.sent('cancelTask', A)[0], { is: 'cancelTask', task: running.seq, force: false, recursive: true })
    assert.equal(lane.outstanding, 1)
    fake.reply(running, { lane, contained: [[{ owner: B, seq: 4, isActor: false }]] })
    fake.passOver(A, behind.claim, behind.seq)
    assert.equal(lane.outstanding, 0)
    // Its refs are not ours: the worker may let go of them at once.
    fake.flush()
    assert.deepEqual(fake.sent('returnsHeld', A), [{ is: 'returnsHeld', tasks: [running.seq] }])
    assert.deepEqual(fake.sent('borrow'), [])
  })

  test('a forced cancel ends the worker of a task that has begun; the task fails as cancelled when that is dead', () => {
    const fake = new FakeOwner()
    const [running, behind] = [fake.submit({ retries: 3 }), fake.submit()]
    fake.grant(A)
    fake.begun.add(running)
    cancel(fake, behind, true)
    assert.ok(errorOf(behind) instanceof TaskCancelledError)
    assert.deepEqual(fake.sent('killWorker'), [])
    cancel(fake, running, true)
    cancel(fake, running, true)
    assert.deepEqual(
      fake.sent('killWorker', NODE).map(each => each.workerId),
      [A],
    )
    assert.equal(errorOf(running), null)
    fake.die(A)
    assert.ok(errorOf(running) instanceof TaskCancelledError)
  })

  test('a body that does not heed its cancel holds nothing up behind it, and a forced cancel still ends its worker', () => {
    const fake = new FakeOwner()
    const [running, behind] = [fake.submit({ retries: 3 }), fake.submit()]
    fake.grant(A)
    fake.begun.add(running)
    cancel(fake, running)
    assert.equal(behind.lane?.workerId, A)
    fake.grant(B)
    assert.equal(behind.lane?.workerId, B, 'the worker is not free, so what waits behind goes to another')
    assert.deepEqual(fake.sent('killWorker'), [])
    cancel(fake, running, true)
    assert.deepEqual(
      fake.sent('killWorker', NODE).map(each => each.workerId),
      [A],
    )
    fake.die(A)
    cancel(fake, running, true)
    assert.equal(fake.sent('killWorker').length, 1)
    fake.reply(behind)
    assert.equal(behind.entries[0]?.plain, behind.seq)
  })

  test('a forced cancel that is overtaken by the answer leaves the answer', () => {
    const fake = new FakeOwner()
    const running = fake.submit()
    fake.grant(A)
    fake.begun.add(running)
    cancel(fake, running, true)
    fake.reply(running)
    assert.equal(running.entries[0]?.plain, running.seq)
    fake.die(A)
  })

  test('a body that ended because of a cancel fails as cancelled', () => {
    const fake = new FakeOwner()
    const task = fake.submit({ retries: 3, retryExceptions: true })
    fake.grant(A)
    fake.reply(task, { status: 'cancelled', results: [] })
    assert.ok(errorOf(task) instanceof TaskCancelledError)
  })

  test('a borrower’s cancel goes to the owner, and the owner’s to its task', () => {
    const fake = new FakeOwner()
    fake.act({ is: 'cancel', entry: fake.meet(B, 9), force: true, recursive: false })
    assert.deepEqual(fake.sent('cancelObject', B), [{ is: 'cancelObject', seq: 9, force: true, recursive: false }])
    const task = fake.submit()
    fake.from(B, { is: 'cancelObject', seq: task.seq, force: false, recursive: false })
    fake.from(B, { is: 'cancelObject', seq: 999, force: false, recursive: false })
    assert.ok(errorOf(task) instanceof TaskCancelledError)
    cancel(fake, task)
  })

  test('the children of a task are cancelled with it, and nobody else', () => {
    const fake = new FakeOwner()
    const parent = {}
    const [child, other] = [fake.submit({ parent }), fake.submit({ parent: {} })]
    const call = fake.call(fake.actor(100), { parent })
    fake.act({ is: 'cancelChildren', parent })
    assert.ok(errorOf(child) instanceof TaskCancelledError)
    assert.ok(call.entries[0]?.error instanceof TaskCancelledError)
    assert.equal(errorOf(other), null)
  })

  test('when the job is over what nobody else has a ref to ends, begun or not, if the body that submitted it has ended', () => {
    const fake = new FakeOwner()
    const running = {}
    const [begun, queued, lent, ofActor] = [fake.submit(), fake.submit(), fake.submit(), fake.submit()]
    const child = fake.submit({ parent: running })
    ofActor.outlivesJob = true
    fake.grant(A)
    fake.begun.add(begun)
    fake.from(B, { is: 'borrow', ack: 1, seqs: [lent.seq] })
    fake.act({ is: 'jobOver', running })
    assert.deepEqual(
      fake.sent('killWorker', NODE).map(each => each.workerId),
      [A],
    )
    assert.ok(errorOf(queued) instanceof TaskCancelledError)
    fake.die(A)
    assert.ok(errorOf(begun) instanceof TaskCancelledError)
    assert.deepEqual([...fake.owner.tasks.pending.values()], [lent, ofActor, child])
    fake.from(B, { is: 'unborrow', seqs: [lent.seq] })
    fake.act({ is: 'jobOver', running: null })
    assert.deepEqual([...fake.owner.tasks.pending.values()], [ofActor])
  })

  test('tasks of a class that can never be placed fail; those of others wait', () => {
    const fake = new FakeOwner()
    const task = fake.submit()
    fake.from(NODE, { is: 'unplaceable', classKey: 'other', message: 'needs 9 CPU', groupRemoved: false })
    assert.equal(errorOf(task), null)
    fake.from(NODE, { is: 'unplaceable', classKey: 'cpu', message: 'needs 9 CPU', groupRemoved: false })
    assert.ok(errorOf(task) instanceof TaskUnschedulableError)
    assert.match(String(errorOf(task)), /needs 9 CPU/)
  })

  test('tasks whose environment cannot be set up fail with the field and the reason; later ones are asked for anew', () => {
    const fake = new FakeOwner()
    const task = fake.submit()
    fake.from(NODE, { is: 'envBroken', classKey: 'other', field: 'runtimeEnv.npm', message: 'no such package' })
    assert.equal(errorOf(task), null)
    fake.act({ is: 'flush' })
    fake.from(NODE, { is: 'envBroken', classKey: 'cpu', field: 'runtimeEnv.npm', message: 'no such package' })
    assert.ok(errorOf(task) instanceof RuntimeEnvError)
    assert.match(String(errorOf(task)), new RegExp(`${task.name} cannot run.*runtimeEnv\\.npm: no such package`))
    const later = fake.submit()
    fake.act({ is: 'flush' })
    fake.grant(A)
    assert.equal(later.lane?.workerId, A)
  })

  test('an answer for a task that this owner never sent there changes nothing', () => {
    const fake = new FakeOwner()
    const task = fake.submit()
    fake.grant(A)
    const answer = {
      is: 'reply',
      from: A,
      claim: task.claim,
      task: task.seq,
      status: 'ok',
      results: [{ form: 'plain', value: 1 }],
      contained: null,
      retry: false,
      bodyMs: 0,
    } as const
    for (const wrong of [{ from: B }, { claim: task.claim + 1 }, { claim: 60_000 }, { task: task.seq + 1 }])
      fake.act({ ...answer, ...wrong, results: [...answer.results] })
    assert.equal(task.state, TASK.sent)
  })

  test('an answer with another number of results fails the task, or the call', () => {
    const fake = new FakeOwner()
    const task = fake.submit({ returns: 2 })
    fake.grant(A)
    fake.reply(task, { results: [{ form: 'plain', value: 1 }] })
    const call = fake.call(fake.actor(100), { returns: 2 })
    fake.from(NODE, { is: 'actorState', actorId: call.actor.actorId, view: viewOf(call.actor) })
    fake.answer(call, workerIdOf(50), { results: [] })
    assert.ok(errorOf(task, 1) instanceof WireError)
    assert.ok(call.entries[0]?.error instanceof WireError)
  })

  test('what ended is remembered, up to a limit', () => {
    const fake = new FakeOwner()
    for (let i = 0; i < 2 * limits.finishedTasksKept + 5; i++) {
      const task = fake.submit()
      cancel(fake, task)
      fake.unref(...task.entries)
    }
    const { finished } = fake.owner.tasks
    assert.ok(finished.length >= limits.finishedTasksKept && finished.length <= 2 * limits.finishedTasksKept)
    assert.match(String(finished.at(-1)?.error), /cancelled/i)
  })

  test('deaths are told in words', () => {
    assert.equal(describeDeath(DEATH), ' (signal SIGKILL)')
    assert.equal(describeDeath({ ...DEATH, signal: null, exitCode: 7, stderrTail: 'x' }), ' (exit code 7); its last output was:\nx')
    assert.equal(describeDeath({ ...DEATH, reason: 'killed with kill()' }), ' (killed with kill())')
  })
})
