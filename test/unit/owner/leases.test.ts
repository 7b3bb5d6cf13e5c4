// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import type { Effect } from '#lib/core/owner/effects.js'
import type { Lane } from '#lib/core/owner/lane.js'
import { TASK, type Task } from '#lib/core/owner/task.js'
import { limits } from '#lib/options.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { classOf, FakeOwner, NODE, type SentOf, type TaskOptions } from '../../fakes/owner.js'

const A = workerIdOf(10)
const B = workerIdOf(11)

const many = (fake: FakeOwner, count: number, options: TaskOptions = {}): Task[] =>
  Array.from({ length: count }, () => fake.submit(options))
const on = (tasks: Task[], worker: string): Task[] => tasks.filter(task => task.lane?.workerId === worker)
const reclaim = (count: number, more: Partial<SentOf<'reclaim'>> = {}): SentOf<'reclaim'> => ({
  ...{ is: 'reclaim', classKey: 'cpu', count, held: 0, must: 0 },
  ...more,
})
const lanesOf = (fake: FakeOwner): Map<string, Lane> => fake.owner.leases.lanes

suite('leases', () => {
  test('the node is told what could be used: once, again when it doubles, and when it is nothing', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 3)
    fake.flush()
    tasks.push(...many(fake, 2))
    fake.flush()
    assert.deepEqual(
      fake.sent('want', NODE).map(each => each.count),
      [3],
    )
    tasks.push(...many(fake, 1))
    fake.flush()
    fake.flush()
    assert.deepEqual(
      fake.sent('want', NODE).map(each => each.count),
      [3, 6],
    )
    for (const task of tasks) fake.act({ is: 'cancel', entry: task.entries[0]!, force: false, recursive: false })
    fake.flush()
    assert.deepEqual(
      fake.sent('want', NODE).map(each => each.count),
      [3, 6, 0],
    )
  })

  test('as many as may be wanted are, and what runs alone on its worker wants nothing', () => {
    const fake = new FakeOwner()
    many(fake, limits.wantMax + 50)
    fake.flush()
    assert.equal(fake.sent('want')[0]?.count, limits.wantMax)
    const other = new FakeOwner()
    const [task] = many(other, 1)
    other.grant(A)
    other.flush()
    assert.deepEqual(other.sent('want'), [])
    other.reply(task!)
    other.flush()
    assert.deepEqual(other.sent('want'), [])
  })

  test('of SPREAD each worker runs one task and goes back, while as many are asked for as tasks wait; of more it takes what is next', () => {
    const spread = classOf('spread', { where: { strategy: { is: 'spread' }, labels: {} } })
    const fake = new FakeOwner()
    const tasks = many(fake, limits.wantMax + 3, { class: spread })
    fake.flush()
    const lease = fake.grant(A, 'spread')
    assert.equal(on(tasks, A).length, 1)
    for (let n = 1; n < 3; n++) {
      fake.reply(on(tasks, A)[0]!)
      assert.deepEqual(on(tasks, A), [tasks[n]])
    }
    assert.deepEqual(fake.sent('leaseReturn'), [])
    fake.reply(on(tasks, A)[0]!)
    assert.deepEqual(on(tasks, A), [])
    assert.deepEqual(fake.sent('leaseReturn'), [{ is: 'leaseReturn', leaseId: lease, retire: false }])
    fake.flush()
    assert.equal(fake.sent('want').length, 1, 'told again of what it holds, the node would grant again what it has just granted')
  })

  test('a grant nobody needs goes back at once', () => {
    const fake = new FakeOwner()
    const leases = [fake.grant(A, 'never wanted')]
    const [task] = many(fake, 1)
    fake.grant(A)
    leases.push(fake.grant(B))
    assert.deepEqual(
      fake.sent('leaseReturn').map(each => each.leaseId),
      leases,
    )
    assert.equal(task?.lane?.workerId, A)
  })

  test('tasks spread over the workers, the least loaded first, no deeper than the pipeline', () => {
    const fake = new FakeOwner()
    fake.submit()
    fake.submit()
    fake.grant(A)
    fake.grant(B)
    assert.deepEqual([lanesOf(fake).get(A)?.outstanding, lanesOf(fake).get(B)?.outstanding], [1, 1])
    many(fake, 2 * limits.pipelineDepthMax)
    assert.deepEqual(
      [lanesOf(fake).get(A)?.outstanding, lanesOf(fake).get(B)?.outstanding],
      [limits.pipelineDepthMax, limits.pipelineDepthMax],
    )
    assert.equal(fake.owner.leases.classes.get('cpu')?.length, 2)
  })

  test('a new worker takes over the newer half of what the longest lane has not begun', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 9)
    fake.grant(A)
    fake.begun.add(tasks[0]!)
    fake.grant(B)
    assert.deepEqual(on(tasks, A), tasks.slice(0, 5))
    assert.deepEqual(on(tasks, B), tasks.slice(5))
    assert.deepEqual(
      fake
        .news('dispatch')
        .slice(-4)
        .map(each => each.task),
      tasks.slice(5),
    )
  })

  test('a worker that has nothing left takes work from the longest lane; what has begun there stays', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 4)
    fake.grant(A)
    fake.grant(B)
    for (const task of on(tasks, A)) fake.begun.add(task)
    for (const task of on(tasks, B)) fake.reply(task)
    assert.equal(on(tasks, A).length, 2)
    assert.equal(lanesOf(fake).get(B)?.outstanding, 0)
    fake.begun.delete(tasks[1]!)
    const more = many(fake, 2)
    for (const task of on([...tasks, ...more], B)) fake.reply(task)
    assert.equal(tasks[1]?.lane?.workerId, B)
  })

  test('the word of a task taken back is in use until its worker has passed over it', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 3)
    fake.grant(A)
    fake.begun.add(tasks[0]!)
    const claim = tasks[2]!.claim
    fake.grant(B)
    assert.equal(tasks[2]?.lane?.workerId, B)
    many(fake, 300)
    assert.ok(
      fake
        .all('dispatch')
        .slice(4)
        .every(each => each.lane.workerId !== A || each.task.claim !== claim || each.task.state !== TASK.sent),
    )
    // The first answer for the word is the passing over, even if a task of that number is answered elsewhere.
    fake.passOver(A, claim, tasks[2]!.seq)
    assert.equal(tasks[2]?.state, TASK.sent)
    fake.reply(tasks[2]!)
    assert.equal(tasks[2]?.state, TASK.done)
  })

  test('a worker whose task waits gets nothing more, and gives back what it has not begun', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 3)
    const lease = fake.grant(A)
    fake.begun.add(tasks[0]!)
    fake.from(A, { is: 'leaseBlocked', leaseId: lease + 1 })
    assert.equal(on(tasks, A).length, 3)
    fake.from(A, { is: 'leaseBlocked', leaseId: lease })
    assert.deepEqual(on(tasks, A), [tasks[0]])
    fake.flush()
    assert.equal(fake.sent('want').at(-1)?.count, 2)
    fake.grant(B)
    assert.deepEqual(on(tasks, B), [tasks[1], tasks[2]])
    fake.reply(tasks[0]!)
    assert.deepEqual(on(tasks, A).length, 1, 'steals once it has nothing to wait for')
  })

  test('others wait: idle leases go back at once, busy ones after their turn, when what has begun ends', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 3)
    const [a, b] = [fake.grant(A), fake.grant(B)]
    fake.begun.add(tasks[0]!)
    for (const task of on(tasks, B)) fake.reply(task)
    for (const task of on(tasks, B)) fake.reply(task)
    assert.equal(lanesOf(fake).get(B)?.outstanding, 0)
    fake.from(NODE, reclaim(1))
    assert.deepEqual(
      fake.sent('leaseReturn').map(each => each.leaseId),
      [b],
    )
    const behind = fake.submit()
    fake.now = limits.leaseQuantumMs
    fake.from(NODE, reclaim(1))
    fake.from(NODE, reclaim(1))
    assert.equal(behind.state, TASK.queued)
    assert.equal(fake.sent('leaseReturn').length, 1)
    fake.reply(tasks[0]!)
    assert.deepEqual(
      fake.sent('leaseReturn').map(each => each.leaseId),
      [b, a],
    )
    assert.equal(behind.state, TASK.queued)
    fake.flush()
    assert.equal(fake.sent('want').at(-1)?.count, 1)
  })

  test('a lease on which nothing had begun when others waited goes back at once', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 2)
    const lease = fake.grant(A)
    fake.now = limits.leaseQuantumMs
    fake.from(NODE, reclaim(1))
    assert.deepEqual(fake.sent('leaseReturn'), [{ is: 'leaseReturn', leaseId: lease, retire: false }])
    assert.deepEqual(
      tasks.map(task => task.state),
      [TASK.queued, TASK.queued],
    )
  })

  suite('others wait', () => {
    /** So many leases, granted one quantum ago, each with a task that has begun and another behind it. */
    function busy(leases: number): { fake: FakeOwner; workers: string[]; end: (worker: string) => void } {
      const fake = new FakeOwner()
      const workers = Array.from({ length: leases }, (_, i) => workerIdOf(10 + i))
      for (const worker of workers) fake.grant(worker)
      const tasks = many(fake, 2 * leases)
      for (const worker of workers) fake.grant(worker)
      for (const worker of workers) fake.begun.add(on(tasks, worker)[0]!)
      fake.now += limits.leaseQuantumMs
      const end = (worker: string): void => {
        const [running] = on(tasks, worker)
        fake.reply(running!)
        const next = on(tasks, worker)[0]
        if (next !== undefined) fake.begun.add(next)
      }
      return { fake, workers, end }
    }
    const returned = (fake: FakeOwner): number => fake.sent('leaseReturn').length

    test('as many go back as lack, of those that end first; the others go on with what is next', () => {
      const { fake, workers, end } = busy(4)
      const before = returned(fake)
      fake.from(NODE, reclaim(1))
      assert.deepEqual(fake.sent('yields'), [{ is: 'yields', classKey: 'cpu', count: 1, held: 3 }])
      end(workers[2]!)
      assert.equal(returned(fake) - before, 1)
      assert.equal(lanesOf(fake).get(workers[2]!)?.leaseId, 0)
      for (const worker of [workers[0]!, workers[1]!, workers[3]!]) {
        assert.ok((lanesOf(fake).get(worker)?.outstanding ?? 0) > 1, 'it has its next task before it ends this one')
        end(worker)
      }
      assert.equal(returned(fake) - before, 1)
    })

    test('none to somebody with about as many, half of the difference to somebody with less', () => {
      const { fake } = busy(8)
      fake.from(NODE, reclaim(5, { held: 7 }))
      fake.from(NODE, reclaim(5, { held: 4 }))
      assert.deepEqual(
        fake.sent('yields').map(({ count, held }) => [count, held]),
        [
          [0, 8],
          [2, 6],
        ],
      )
    })

    test('no more than half of all within a quantum, whoever asks; but what somebody must have in any case', () => {
      const { fake } = busy(8)
      fake.from(NODE, reclaim(3))
      fake.from(NODE, reclaim(8))
      assert.deepEqual(
        fake.sent('yields').map(({ count }) => count),
        [3, 4],
      )
      fake.from(NODE, reclaim(8, { held: 1 }))
      assert.equal(fake.sent('yields').length, 2, 'not before the next')
      fake.from(NODE, reclaim(8, { must: 1 }))
      assert.equal(fake.sent('yields').at(-1)?.count, 5, 'that one and no more')
      fake.from(NODE, reclaim(8, { must: 3, held: 9 }))
      assert.equal(fake.sent('yields').at(-1)?.count, 8)
    })

    test('a lease whose turn was over only after it was promised goes back too, if what it runs ends first', () => {
      const { fake } = busy(1)
      const late = many(fake, 2)
      const other = workerIdOf(40)
      fake.grant(other)
      const [running] = on(late, other)
      if (running !== undefined) fake.begun.add(running)
      const before = returned(fake)
      fake.from(NODE, reclaim(1))
      assert.equal(fake.sent('yields').at(-1)?.count, 1)
      assert.equal(lanesOf(fake).get(other)?.returning, false)
      fake.now += limits.leaseQuantumMs
      fake.from(NODE, reclaim(1))
      assert.equal(lanesOf(fake).get(other)?.returning, true)
      assert.equal(fake.sent('yields').length, 1, 'it has said so')
      assert.equal(returned(fake), before)
    })

    test('a lease whose task waits in get, its CPU lent, is not promised', () => {
      const { fake, workers } = busy(2)
      const lanes = lanesOf(fake)
      const out: Effect[] = []
      for (const worker of workers) fake.owner.leases.laneBlocked(worker, lanes.get(worker)?.leaseId ?? 0, out)
      fake.from(NODE, reclaim(1, { must: 1 }))
      assert.deepEqual(fake.sent('yields'), [])
      assert.ok(workers.every(worker => lanes.get(worker)?.returning === false))
    })

    test('who needs nothing any more is owed nothing', () => {
      const { fake, workers, end } = busy(2)
      const before = returned(fake)
      fake.from(NODE, reclaim(1))
      fake.from(NODE, reclaim(0))
      for (const worker of workers) end(worker)
      assert.equal(returned(fake) - before, 0)
      assert.ok(workers.every(worker => lanesOf(fake).get(worker)?.outstanding === 1))
    })

    test('a lease that goes with its worker counts as given back', () => {
      const { fake, workers, end } = busy(3)
      const before = returned(fake)
      fake.from(NODE, reclaim(1))
      fake.die(workers[0]!)
      end(workers[1]!)
      assert.equal(returned(fake) - before, 0)
    })
  })

  test('an idle lease is kept for a while, and the deadline says for how long', () => {
    const fake = new FakeOwner()
    const [task] = many(fake, 1)
    const lease = fake.grant(A)
    assert.equal(fake.owner.deadline(), null)
    fake.now = 50
    fake.reply(task!)
    assert.equal(fake.owner.deadline(), 50 + limits.leaseIdleMs)
    fake.now = 49 + limits.leaseIdleMs
    fake.act({ is: 'tick' })
    assert.deepEqual(fake.sent('leaseReturn'), [])
    fake.now++
    fake.act({ is: 'tick' })
    assert.deepEqual(
      fake.sent('leaseReturn').map(each => each.leaseId),
      [lease],
    )
    assert.equal(fake.owner.deadline(), null)
  })

  test('of a class that nothing is wanted of any more nothing is kept, and a late grant of it goes back', () => {
    const fake = new FakeOwner()
    const tasks = Array.from({ length: 50 }, (_, i) => fake.submit({ class: classOf(`group ${i}`) }))
    fake.flush()
    assert.equal(fake.owner.leases.classes.size, 50)
    for (const task of tasks) fake.act({ is: 'cancel', entry: task.entries[0]!, force: false, recursive: false })
    fake.flush()
    assert.equal(fake.owner.leases.classes.size, 50, 'nodes are still to hear of it')
    fake.flush()
    assert.equal(fake.owner.leases.classes.size, 0)
    const lease = fake.grant(A, 'group 7')
    assert.deepEqual(
      fake.sent('leaseReturn').map(each => each.leaseId),
      [lease],
    )
  })

  test('a lane that lost its last task to another starts its idle time then', () => {
    const fake = new FakeOwner()
    const [task] = many(fake, 1)
    fake.grant(A)
    fake.now = 10 * limits.leaseIdleMs
    fake.act({ is: 'cancel', entry: task!.entries[0]!, force: false, recursive: false })
    fake.act({ is: 'tick' })
    assert.deepEqual(fake.sent('leaseReturn'), [])
    assert.equal(fake.owner.deadline(), 11 * limits.leaseIdleMs)
  })

  test('a worker leased again is told of its new lease; words still in use stay so', () => {
    const fake = new FakeOwner()
    const [task] = many(fake, 1)
    fake.grant(A)
    const lane = task!.lane as Lane
    lane.announced = true
    fake.reply(task!)
    fake.from(NODE, reclaim(1))
    const [next] = many(fake, 1)
    const lease = fake.grant(A)
    assert.equal(next?.lane, lane)
    assert.deepEqual([lane.announced, lane.leaseId], [false, lease])
  })

  test('workers for one task, or for a number of them, go back worn out', () => {
    for (const [more, runs] of [
      [{ freshWorker: true }, 1],
      [{ maxCalls: 2 }, 2],
    ] as const) {
      const fake = new FakeOwner()
      const tasks = many(fake, 3, { class: classOf('worn', more) })
      fake.grant(A, 'worn')
      for (let i = 0; i < runs; i++) {
        assert.equal(on(tasks, A).length, 1, 'one at a time')
        fake.reply(on(tasks, A)[0]!)
      }
      assert.deepEqual(
        fake.sent('leaseReturn').map(each => each.retire),
        [true],
      )
      assert.equal(tasks.filter(task => task.state === TASK.queued).length, 3 - runs)
    }
  })

  test('a dead worker is forgotten: its lane, its lease and its words', () => {
    const fake = new FakeOwner()
    const tasks = many(fake, 2)
    fake.grant(A)
    fake.die(A)
    assert.equal(lanesOf(fake).size, 0)
    assert.deepEqual(
      tasks.map(task => task.state),
      [TASK.queued, TASK.queued],
    )
    fake.flush()
    assert.equal(fake.sent('want').at(-1)?.count, 2)
    assert.equal(fake.owner.deadline(), null)
  })

  test('where every lane is full, a task more or an answer does not look at all of them', () => {
    const fake = new FakeOwner()
    const workers = Array.from({ length: 5 }, (_, i) => workerIdOf(10 + i))
    const tasks = many(fake, 6 * limits.pipelineDepthMax)
    for (const worker of workers) fake.grant(worker)
    // They look at all of it.
    fake.owner.invariants = () => {}
    let looked = 0
    for (const lane of lanesOf(fake).values()) {
      const { room } = lane
      lane.room = (depth, now) => {
        looked++
        return room.call(lane, depth, now)
      }
    }
    fake.submit()
    assert.equal(looked, 0)
    fake.reply(on(tasks, A)[0]!)
    assert.equal(looked, 2)
  })
})
