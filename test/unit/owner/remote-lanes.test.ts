// SPDX-License-Identifier: Apache-2.0
// Workers of other nodes: asked for what they have not begun, and answering late.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Effect } from '#lib/core/owner/effects.js'
import type { Lane } from '#lib/core/owner/lane.js'
import { type CodeRef, TASK, type Task } from '#lib/core/owner/task.js'
import { TaskCancelledError, WorkerCrashedError } from '#lib/errors.js'
import { limits } from '#lib/options.js'
import { remoteWorker, workerIdOf } from '../../fakes/cluster.js'
import { codeOf, DEATH, FakeOwner, NODE } from '../../fakes/owner.js'

const NEAR = workerIdOf(10)
const FAR = remoteWorker(20)
const laneOf = (fake: FakeOwner, worker: string): Lane => fake.owner.leases.lanes.get(worker) as Lane
const claimsAsked = (fake: FakeOwner): number[] => fake.sent('takeBack', FAR).flatMap(each => each.claims)
const cancel = (fake: FakeOwner, task: Task, force = false) => fake.act({ is: 'cancel', entry: task.entries[0]!, force, recursive: false })
const errorOf = (task: Task) => task.entries[0]?.error
const onLane = (fake: FakeOwner): Task[] => laneOf(fake, FAR).newestFirst().reverse()
const many = (fake: FakeOwner, count: number, retries = 3): Task[] => Array.from({ length: count }, () => fake.submit({ retries }))

suite('remote lanes', () => {
  test('the pipeline to another node is as deep as hides the way there', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 1000)
    fake.grant(FAR)
    const lane = laneOf(fake, FAR)
    assert.equal(lane.outstanding, limits.remoteDepthFirst)
    fake.now += 1
    fake.reply(tasks[0]!)
    assert.equal(lane.outstanding, 1 + limits.remoteAheadMs)
    for (let i = 1; i < 100; i++) fake.reply(tasks[i]!)
    assert.equal(lane.outstanding, limits.pipelineDepthMax, 'tasks that take no time')
    for (let i = 100; i < 200; i++) {
      fake.now += 1_000
      fake.reply(tasks[i]!)
    }
    const sent = fake.all('dispatch').length
    while (lane.outstanding > 1) fake.reply(tasks[fake.all('dispatch').length - lane.outstanding]!, { lane })
    assert.ok(fake.all('dispatch').length > sent, 'never idle')
  })

  test('what is stolen from another node is asked for once, and is on its lane until that answers', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 4)
    fake.grant(FAR)
    fake.grant(NEAR)
    assert.deepEqual(claimsAsked(fake), [tasks[2]!.claim, tasks[3]!.claim], 'the newer half, the oldest of it first')
    assert.deepEqual(fake.all('revoke'), [])
    const far = laneOf(fake, FAR)
    assert.deepEqual([far.outstanding, far.asking], [4, 2])
    const claims = tasks.map(task => task.claim)
    fake.passOver(FAR, claims[2]!, tasks[2]!.seq)
    assert.equal(tasks[2]!.lane?.workerId, NEAR)
    assert.equal(far.outstanding, 3)
    // It had begun the other: what comes is its result.
    fake.reply(tasks[3]!)
    assert.equal(tasks[3]!.entries[0]?.plain, tasks[3]!.seq)
    assert.deepEqual([far.outstanding, far.asking], [2, 0])
    assert.deepEqual([tasks[2]!.attempt, tasks[2]!.retriesLeft], [0, 3])
  })

  test('a worker whose lease is reclaimed, and that waits, is asked for everything once', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 3)
    const leaseId = fake.grant(FAR)
    const far = laneOf(fake, FAR)
    fake.now += limits.leaseQuantumMs
    fake.from(NODE, { is: 'reclaim', classKey: 'cpu', count: 1, held: 0, must: 1 })
    assert.deepEqual(new Set(claimsAsked(fake)), new Set(tasks.map(task => task.claim)))
    fake.from(FAR, { is: 'leaseBlocked', leaseId })
    assert.equal(claimsAsked(fake).length, 3)
    for (const task of tasks.slice(1)) fake.passOver(FAR, task.claim, task.seq)
    assert.deepEqual(
      tasks.map(task => task.state),
      [TASK.sent, TASK.queued, TASK.queued],
    )
    fake.reply(tasks[0]!)
    assert.equal(far.leaseId, 0)
    assert.equal(fake.sent('leaseReturn').length, 1)
  })

  test('a task that may run only once is sent to an idle worker alone', () => {
    const fake = new FakeOwner()
    const [first, once, after] = [fake.submit({ retries: 3 }), fake.submit({ retries: 0 }), fake.submit({ retries: 3 })]
    fake.grant(FAR)
    assert.deepEqual([first.state, once.state, after.state], [TASK.sent, TASK.queued, TASK.queued])
    fake.reply(first)
    assert.deepEqual([once.state, after.state], [TASK.sent, TASK.sent])
  })

  test('nothing is sent there behind a task of which nobody knows how long it takes, nor behind a slow one', () => {
    const fake = new FakeOwner()
    const [quick, slow] = [codeOf(), codeOf()]
    const submit = (code: CodeRef): Task => fake.submit({ code, retries: 3 })
    const first = submit(quick)
    fake.grant(FAR)
    const second = submit(quick)
    assert.deepEqual([first.state, second.state], [TASK.sent, TASK.queued])
    fake.flush()
    assert.equal(fake.sent('want').at(-1)?.count, 1)
    fake.reply(first, { bodyMs: 1 })
    for (let i = 0; i < 4; i++) {
      assert.equal(submit(quick).state, TASK.queued, 'few bodies say nothing')
      fake.reply(onLane(fake)[0]!, { bodyMs: 1 })
    }
    fake.reply(onLane(fake)[0]!, { bodyMs: 1 })
    const [third, fourth] = [submit(quick), submit(quick)]
    assert.deepEqual([third.state, fourth.state], [TASK.sent, TASK.sent])
    // Behind quick ones, and nothing behind it.
    const long = submit(slow)
    const behind = submit(quick)
    assert.deepEqual([long.state, behind.state], [TASK.sent, TASK.queued])
    for (const task of [third, fourth]) fake.reply(task, { bodyMs: 1 })
    assert.equal(behind.state, TASK.queued)
    fake.grant(remoteWorker(21))
    assert.equal(behind.lane?.workerId, remoteWorker(21))
    fake.reply(long, { bodyMs: 8 * limits.remoteQuickMs })
    fake.reply(behind, { bodyMs: 1, status: 'error' })
    const [again, after] = [submit(slow), submit(slow)]
    assert.notEqual(again.lane, after.lane, 'as slow as it was')
    assert.equal(submit(quick).state, TASK.queued)
  })

  test('nothing is sent there behind a task that is late; another worker is wanted for what comes', () => {
    const fake = new FakeOwner()
    const late = fake.submit({ retries: 3 })
    fake.grant(FAR)
    fake.now += limits.remoteQuickMs
    const next = fake.submit({ retries: 3 })
    assert.equal(next.state, TASK.queued)
    fake.flush()
    assert.equal(fake.sent('want').at(-1)?.count, 1)
    fake.reply(late)
    assert.equal(next.lane?.workerId, FAR)
    fake.now += limits.remoteQuickMs - 1
    assert.equal(fake.submit({ retries: 3 }).state, TASK.sent)
  })

  test('a worker that has not answered for a cancelled task is not free', () => {
    const fake = new FakeOwner()
    const loop = fake.submit({ code: codeOf(), retries: 3 })
    fake.grant(FAR)
    cancel(fake, loop)
    assert.ok(errorOf(loop) instanceof TaskCancelledError)
    const next = fake.submit({ retries: 3 })
    assert.equal(next.state, TASK.queued)
    fake.flush()
    assert.equal(fake.sent('want').at(-1)?.count, 1)
    fake.grant(remoteWorker(21))
    assert.equal(next.lane?.workerId, remoteWorker(21))
    const after = fake.submit({ code: codeOf(), retries: 3 })
    fake.reply(loop, { status: 'cancelled', lane: laneOf(fake, FAR) })
    assert.equal(after.state, TASK.sent)
  })

  test('when a worker of another node dies, all it was sent counts as begun', () => {
    const fake = new FakeOwner()
    const [one, two] = [fake.submit({ retries: 1 }), fake.submit({ retries: 1 })]
    fake.grant(FAR)
    fake.die(FAR)
    assert.deepEqual([one.attempt, two.attempt, two.retriesLeft], [1, 1, 0])
    fake.grant(remoteWorker(21))
    fake.die(remoteWorker(21), { ...DEATH, reason: 'gone' })
    const failed = [one, two].filter(task => task.state === TASK.done)
    assert.equal(failed.length, 1, 'the other was not sent behind it')
    assert.ok(errorOf(failed[0]!) instanceof WorkerCrashedError)
  })

  test('a cancelled task that had not begun there lets go of its arguments when it is given back', () => {
    const fake = new FakeOwner()
    const argument = fake.put()
    const [running, behind] = [fake.submit({ retries: 1 }), fake.submit({ retries: 1, nested: [argument] })]
    fake.unref(argument)
    fake.grant(FAR)
    const claim = behind.claim
    cancel(fake, behind)
    assert.ok(errorOf(behind) instanceof TaskCancelledError)
    assert.ok(!argument.dropped)
    fake.passOver(FAR, claim, behind.seq)
    assert.ok(argument.dropped)
    fake.reply(running)
    assert.equal(laneOf(fake, FAR).outstanding, 0)
  })

  test('a forced cancel ends the worker only when the task is what it must be running', () => {
    const fake = new FakeOwner()
    const [first, second, third] = many(fake, 3) as [Task, Task, Task]
    fake.grant(FAR)
    const claim = third.claim
    cancel(fake, second, true)
    cancel(fake, third, true)
    assert.deepEqual(fake.sent('killWorker'), [])
    fake.passOver(FAR, claim, third.seq)
    assert.ok(errorOf(third) instanceof TaskCancelledError)
    fake.reply(first)
    assert.deepEqual(
      fake.sent('killWorker').map(each => each.workerId),
      [FAR],
    )
    assert.equal(errorOf(second), null)
    fake.die(FAR)
    assert.ok(errorOf(second) instanceof TaskCancelledError)
    const alone = fake.submit()
    fake.grant(remoteWorker(22))
    cancel(fake, alone)
    cancel(fake, alone, true)
    assert.equal(fake.sent('killWorker').length, 2)
  })

  test('property: whatever is asked for, answered late or lost with its worker, each task ends, and runs only as often as allowed', () => {
    const step = fc.record({ is: fc.constantFrom(...KINDS), a: fc.nat(20), b: fc.nat(20) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), steps => {
        const model = new Model()
        for (const { is, a, b } of steps) model.step(is, a, b)
        model.finish()
      }),
      { numRuns: 300 },
    )
  })
})

const KINDS = [
  'submit',
  'submit',
  'once',
  'grant',
  'near',
  'deliver',
  'deliver',
  'run',
  'run',
  'answer',
  'answer',
  'block',
  'cancel',
  'force',
  'die',
] as const

interface Sent {
  task: Task
  claim: number
  seq: number
  /** A worker of this node finds the word revoked. */
  revoked: boolean
}

/** A worker of another node: what is on its way there, its queue, and what is on its way back. */
class Worker {
  readonly inbox: (Sent | number[])[] = []
  readonly queue: Sent[] = []
  running: Sent | null = null
  readonly outbox: { sent: Sent; status: 'ok' | 'revoked' }[] = []
  leaseId = 0
  constructor(readonly id: string) {}
}

class Model {
  readonly fake = new FakeOwner()
  readonly tasks: { task: Task; allowed: number; runs: number }[] = []
  readonly workers: Worker[] = []
  readonly doomed: string[] = []
  /** Of functions that are quick, slow, or not known yet. */
  readonly #codes = [codeOf(0), codeOf(limits.remoteQuickMs), codeOf()] as const
  #next = 30

  constructor() {
    this.fake.onEffect = effect => this.#effect(effect)
  }

  step(is: (typeof KINDS)[number], a: number, b: number): void {
    const { fake } = this
    const worker = this.workers[a % Math.max(1, this.workers.length)]
    const known = this.tasks[b % Math.max(1, this.tasks.length)]
    fake.now += b % 7 === 0 ? limits.remoteQuickMs : b % 3
    if (is === 'submit' || is === 'once') {
      const retries = is === 'once' ? 0 : 1 + (a % 3)
      this.tasks.push({ task: fake.submit({ retries, code: this.#codes[b % 3] as CodeRef }), allowed: retries + 1, runs: 0 })
    } else if (is === 'grant' || is === 'near') {
      const id = is === 'grant' ? remoteWorker(this.#next++) : workerIdOf(this.#next++)
      const worker = new Worker(id)
      this.workers.push(worker)
      worker.leaseId = fake.grant(id)
      if (laneOf(fake, id) === undefined) this.workers.pop()
    } else if (is === 'cancel' || is === 'force') {
      if (known !== undefined && b % 4 === 0) cancel(fake, known.task, is === 'force')
    } else if (worker !== undefined) this.work(worker, is)
    this.carry()
  }

  work(worker: Worker, is: (typeof KINDS)[number]): void {
    const { fake } = this
    if (is === 'deliver') this.deliver(worker)
    else if (is === 'run') this.run(worker)
    else if (is === 'answer') this.answer(worker)
    else if (is === 'block') fake.from(worker.id, { is: 'leaseBlocked', leaseId: worker.leaseId })
    else if (is === 'die') this.end(this.workers.indexOf(worker))
  }

  #effect(effect: Effect): void {
    const workerOf = (id: string) => this.workers.find(each => each.id === id)
    if (effect.is === 'dispatch') {
      const { task, lane } = effect
      workerOf(lane.workerId)?.inbox.push({ task, claim: task.claim, seq: task.seq, revoked: false })
    } else if (effect.is === 'revoke') {
      const worker = workerOf(effect.lane.workerId)
      const waiting = [...(worker?.queue ?? []), ...(worker?.inbox ?? [])].flatMap(each => (Array.isArray(each) ? [] : [each]))
      for (const sent of waiting) if (sent.task === effect.task) sent.revoked = true
    } else if (effect.is === 'send' && effect.message.is === 'takeBack') workerOf(effect.to)?.inbox.push(effect.message.claims)
    else if (effect.is === 'send' && effect.message.is === 'killWorker') this.doomed.push(effect.message.workerId)
  }

  /** The node ends the workers it was asked to. */
  carry(): void {
    for (let id = this.doomed.shift(); id !== undefined; id = this.doomed.shift()) {
      const at = this.workers.findIndex(each => each.id === id)
      if (at >= 0) this.end(at)
    }
  }

  end(at: number): void {
    const [dead] = this.workers.splice(at, 1) as [Worker]
    while (dead.outbox.length > 0) this.answer(dead)
    this.fake.die(dead.id)
  }

  deliver(worker: Worker): void {
    const next = worker.inbox.shift()
    if (next === undefined) return
    if (!Array.isArray(next)) worker.queue.push(next)
    else {
      const back = worker.queue.filter(each => next.includes(each.claim))
      for (const each of back) worker.queue.splice(worker.queue.indexOf(each), 1)
      worker.outbox.push(...back.map(sent => ({ sent, status: 'revoked' as const })))
    }
  }

  run(worker: Worker): void {
    if (worker.running === null) {
      const next = worker.queue.shift()
      if (next === undefined) return
      if (next.revoked) {
        worker.outbox.push({ sent: next, status: 'revoked' })
        return
      }
      worker.running = next
      const known = this.tasks.find(each => each.task === worker.running?.task)
      assert.ok(known !== undefined && ++known.runs <= known.allowed, 'a task ran more often than it may')
      this.fake.begun.add(worker.running.task)
    } else {
      worker.outbox.push({ sent: worker.running, status: 'ok' })
      worker.running = null
    }
  }

  answer(worker: Worker): void {
    const next = worker.outbox.shift()
    if (next === undefined) return
    const { sent, status } = next
    this.fake.begun.delete(sent.task)
    const results = status === 'ok' ? [{ form: 'plain', value: sent.seq } as const] : []
    this.fake.act({
      is: 'reply',
      from: worker.id,
      claim: sent.claim,
      task: sent.seq,
      status,
      results,
      contained: null,
      retry: false,
      bodyMs: sent.seq % 40,
    })
  }

  finish(): void {
    for (let i = 0; this.tasks.some(({ task }) => task.state !== TASK.done); i++) {
      assert.ok(i < 10_000, 'a task never ends')
      if (this.workers.length === 0 || i % 50 === 49) this.step('grant', 0, 0)
      for (const worker of [...this.workers])
        for (const is of ['deliver', 'run', 'answer'] as const) this.step(is, this.workers.indexOf(worker), 0)
    }
    for (const worker of this.workers.splice(0)) this.fake.die(worker.id)
    this.fake.unref(...this.tasks.flatMap(({ task }) => task.entries))
    assert.ok(this.fake.owner.atRest)
  }
}
