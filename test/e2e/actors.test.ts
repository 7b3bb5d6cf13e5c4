// SPDX-License-Identifier: Apache-2.0
// Actors that live: calls and their order, concurrency, handles that travel, names, pools and queues.

import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import {
  ActorDiedError,
  type ActorHandle,
  ActorNameTakenError,
  exitActor,
  get,
  getActor,
  kill,
  type ObjectRef,
  PendingCallsLimitError,
  put,
  ready,
  remote,
  TaskError,
  wait,
} from 'eagleray'
import { collect, passed } from './programs/by-reference.js'
import { begin, end, gate, processGone, waitFor } from './support.js'

class Counter {
  n: number
  readonly log: unknown[] = []

  constructor(start = 0) {
    this.n = start
  }

  add(by = 1): number {
    return (this.n += by)
  }

  note(what: unknown): number {
    return this.log.push(what)
  }

  notes(): unknown[] {
    return this.log
  }

  pair(): [number, number] {
    return [this.n, -this.n]
  }

  fail(): never {
    throw new RangeError('as asked')
  }

  pid(): number {
    return process.pid
  }
}

class Async {
  running = 0
  most = 0

  async pass(path: string, value: number): Promise<number> {
    this.most = Math.max(this.most, ++this.running)
    await passed(path, null)
    this.running--
    return value
  }

  async count(): Promise<number> {
    return this.running
  }

  peak(): number {
    return this.most
  }
}

const RemoteCounter = remote(Counter)
const RemoteAsync = remote(Async)
const held = remote(passed<number>, { numCpus: 0 })

suite('actors', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('state between calls, constructor arguments, defaults, several returns', async () => {
    const counter = RemoteCounter.remote(10)
    assert.deepEqual(await get([counter.add.remote(), counter.add.remote(5), counter.add.remote(-1)]), [11, 16, 15])
    const [plus, minus] = counter.pair.options({ numReturns: 2 }).remote() as unknown as [ObjectRef<number>, ObjectRef<number>]
    assert.deepEqual(await get([plus, minus]), [15, -15])
    const other = RemoteCounter.remote(put(100))
    assert.equal(await get(other.add.remote(plus)), 115, 'refs are arguments of constructors and methods')
    assert.equal(await get(counter.add.remote(0)), 15, 'two actors share nothing')
    assert.notEqual(await get(other.pid.remote()), await get(counter.pid.remote()))
    await ready(counter)
  })

  test('inherited methods, statics, getters and private fields work', async () => {
    class Base {
      static scale = 3
      protected base = 1
      twice(n: number) {
        return 2 * n
      }
    }
    class Derived extends Base {
      #hidden = 5
      get secret() {
        return this.#hidden
      }
      all(n: number) {
        return [this.twice(n), this.secret, this.base, Derived.scale]
      }
    }
    const derived = remote(Derived).remote()
    assert.deepEqual(await get(derived.all.remote(4)), [8, 5, 1, 3])
    assert.equal(await get(derived.twice.remote(4)), 8)
  })

  test('a method that throws fails its call and no other', async () => {
    const counter = RemoteCounter.remote()
    await assert.rejects(get(counter.fail.remote()), (error: TaskError) => error instanceof TaskError && error.cause instanceof RangeError)
    assert.equal(await get(counter.add.remote()), 1)
    assert.throws(() => (counter as unknown as Record<string, { remote(): void }>).nothing!.remote(), TypeError)
    assert.throws(() => (counter.add as unknown as () => void)(), TypeError)
    assert.throws(() => (RemoteCounter as unknown as () => void)(), TypeError)
    assert.throws(() => (counter.pid.remote as (...args: unknown[]) => unknown)(1), TypeError)
  })

  test('calls of one caller run in the order they were made, also behind a late argument', async () => {
    const door = gate()
    const counter = RemoteCounter.remote()
    const late = held.remote(door.path, 1)
    const calls = [counter.note.remote(0), counter.note.remote(late), counter.note.remote(2)]
    const [first] = calls as [ObjectRef<number>]
    await get(first)
    assert.deepEqual(await wait(calls.slice(1), { timeoutMs: 50 }), [[], calls.slice(1)], 'the third waits for the second')
    // Another caller is not held up by this one.
    const fromTask = remote((handle: ActorHandle<Counter>) => get(handle.note.remote('task')))
    assert.equal(await get(fromTask.remote(counter)), 2)
    door.open()
    await get(calls)
    assert.deepEqual(await get(counter.notes.remote()), [0, 'task', 1, 2])

    const many = Array.from({ length: 500 }, (_, i) => counter.note.remote(i % 7 === 0 ? put(i) : i))
    await get(many)
    assert.deepEqual(
      (await get(counter.notes.remote())).slice(4),
      Array.from({ length: 500 }, (_, i) => i),
    )
  })

  test('a class without async methods runs one call at a time, even where a method returns a promise', async () => {
    class Sync {
      running = 0
      step(): Promise<number> {
        this.running++
        const seen = this.running
        return new Promise(resolve =>
          setImmediate(() => {
            this.running--
            resolve(seen)
          }),
        )
      }
    }
    const sync = remote(Sync).remote()
    assert.deepEqual(await get(Array.from({ length: 20 }, () => sync.step.remote())), Array(20).fill(1))
  })

  test('async methods run at once, up to maxConcurrency', async () => {
    const door = gate()
    const actor = RemoteAsync.remote()
    const calls = Array.from({ length: 50 }, (_, i) => actor.pass.remote(door.path, i))
    await waitFor(async () => (await get(actor.count.remote())) === 50, 'all fifty running')
    door.open()
    assert.deepEqual(
      await get(calls),
      Array.from({ length: 50 }, (_, i) => i),
    )

    const next = gate()
    const limited = RemoteAsync.options({ maxConcurrency: 3 }).remote()
    const more = Array.from({ length: 8 }, (_, i) => limited.pass.remote(next.path, i))
    next.open()
    await get(more)
    const peak = await get(limited.peak.remote())
    assert.ok(peak >= 1 && peak <= 3, `${peak} at once`)
  })

  test('allowOutOfOrderExecution: a late argument holds nobody up', async () => {
    const door = gate()
    const counter = RemoteCounter.options({ allowOutOfOrderExecution: true }).remote()
    const late = counter.note.remote(held.remote(door.path, 1))
    await get(counter.note.remote(2))
    door.open()
    await get(late)
    assert.deepEqual(await get(counter.notes.remote()), [2, 1])
  })

  test('concurrency groups have each their own limit', async () => {
    class Grouped {
      async slow(path: string) {
        return passed(path, 'slow')
      }
      async quick() {
        return 'quick'
      }
    }
    const door = gate()
    const actor = remote(Grouped, {
      maxConcurrency: 1,
      concurrencyGroups: { io: 2 },
      methods: { slow: { concurrencyGroup: 'io' } },
    }).remote()
    const slow = [actor.slow.remote(door.path), actor.slow.remote(door.path), actor.slow.remote(door.path)]
    assert.equal(await get(actor.quick.remote()), 'quick', 'the default group is free')
    assert.deepEqual((await wait(slow, { numReturns: 3, timeoutMs: 0 }))[0], [])
    door.open()
    assert.deepEqual(await get(slow), ['slow', 'slow', 'slow'])
    assert.throws(() => remote(Grouped, { methods: { slow: { concurrencyGroup: 'nope' } } }).remote(), /nope/)
  })

  test('handles travel: to tasks, to other actors, into objects, by capture', async () => {
    const counter = RemoteCounter.remote()
    const byArgument = remote((handle: ActorHandle<Counter>, n: number) => get(handle.add.remote(n)))
    assert.equal(await get(byArgument.remote(counter, 1)), 1)
    const byCapture = remote(() => get(counter.add.remote(1)))
    assert.equal(await get(byCapture.remote()), 2)
    const inside = remote(async (box: { list: ActorHandle<Counter>[] }) => get(box.list[0]!.add.remote(1)))
    assert.equal(await get(inside.remote(put({ list: [counter] }))), 3)
    class Friend {
      readonly other: ActorHandle<Counter>
      constructor(other: ActorHandle<Counter>) {
        this.other = other
      }
      poke(): Promise<number> {
        return get(this.other.add.remote(1))
      }
      give() {
        return this.other
      }
    }
    const friend = remote(Friend).remote(counter)
    assert.equal(await get(friend.poke.remote()), 4)
    const returned = (await get(friend.give.remote())) as unknown as ActorHandle<Counter>
    assert.equal(await get(returned.add.remote(1)), 5)
  })

  test('ready resolves once alive and rejects with the reason it never will be', async () => {
    class Broken {
      constructor(why: string) {
        throw new RangeError(why)
      }
      run() {
        return 1
      }
    }
    const broken = remote(Broken).remote('no good')
    const call = broken.run.remote()
    for (const promise of [ready(broken), get(call), get(broken.run.remote())])
      await assert.rejects(promise, (error: ActorDiedError) => {
        assert.ok(error instanceof ActorDiedError)
        assert.match(error.message, /no good/)
        assert.ok(error.cause instanceof RangeError || (error.cause as Error)?.cause instanceof RangeError)
        return true
      })
    const door = gate()
    class Waits {
      readonly given: number
      constructor(given: number) {
        this.given = given
      }
      run() {
        return 'ran'
      }
    }
    const waits = remote(Waits).remote(held.remote(door.path, 1))
    assert.equal(await Promise.race([ready(waits).then(() => 'ready'), get(put('first'))]), 'first')
    door.open()
    await ready(waits)
    assert.equal(await get(waits.run.remote()), 'ran')
    const failed = remote(Waits).remote(remote(() => Promise.reject(new Error('upstream'))).remote() as ObjectRef<never>)
    await assert.rejects(ready(failed), /upstream/)
  })

  test('names: found by getActor, taken once, free again after death', async () => {
    const named = RemoteCounter.options({ name: 'the counter' }).remote(7)
    await ready(named)
    const found = (await getActor('the counter')) as ActorHandle<Counter>
    assert.equal(await get(found.add.remote()), 8)
    const fromTask = remote(async () => get(((await getActor('the counter')) as ActorHandle<Counter>).add.remote()))
    assert.equal(await get(fromTask.remote()), 9)

    const second = RemoteCounter.options({ name: 'the counter' }).remote()
    await assert.rejects(ready(second), ActorNameTakenError)
    await assert.rejects(get(second.add.remote()), ActorNameTakenError)

    const same = RemoteCounter.options({ name: 'the counter', getIfExists: true }).remote(1000)
    assert.equal(await get(same.add.remote()), 10)
    const elsewhere = RemoteCounter.options({ name: 'the counter', namespace: 'elsewhere' }).remote(50)
    assert.equal(await get(elsewhere.add.remote()), 51)
    assert.equal(await get(((await getActor('the counter', { namespace: 'elsewhere' })) as ActorHandle<Counter>).add.remote()), 52)

    await assert.rejects(getActor('nobody'))
    await assert.rejects(getActor(''), error => error instanceof TypeError || error instanceof RangeError)
    await assert.rejects(getActor('the counter', { namespace: 'nowhere' }))
    for (const options of [{ name: '' }, { name: 5 }, { getIfExists: true }, { maxRestarts: -2 }, { lifetime: 'short' }, { nope: 1 }])
      assert.throws(
        () => RemoteCounter.options(options as never).remote(),
        error => error instanceof TypeError || error instanceof RangeError,
      )

    const pid = await get(named.pid.remote())
    kill(named)
    await processGone(pid)
    await waitFor(
      () =>
        get(found.add.remote()).then(
          () => false,
          error => error instanceof ActorDiedError,
        ),
      'the found handle is of a dead actor',
    )
    const fresh = RemoteCounter.options({ name: 'the counter' }).remote(1)
    assert.equal(await get(fresh.add.remote()), 2)
  })

  test('many creators with getIfExists make one actor', async () => {
    const create = remote(async () => {
      const handle = RemoteCounter.options({ name: 'one of many', getIfExists: true }).remote()
      return get(handle.pid.remote())
    })
    const keep = RemoteCounter.options({ name: 'one of many', getIfExists: true }).remote()
    const pids = new Set([await get(keep.pid.remote()), ...(await get(Array.from({ length: 6 }, () => create.remote())))])
    assert.equal(pids.size, 1)
  })

  test('maxPendingCalls refuses the call at once', async () => {
    const door = gate()
    const actor = RemoteAsync.options({ maxPendingCalls: 2 }).remote()
    const calls = [actor.pass.remote(door.path, 1), actor.pass.remote(door.path, 2)]
    assert.throws(() => actor.pass.remote(door.path, 3), PendingCallsLimitError)
    door.open()
    assert.deepEqual(await get(calls), [1, 2])
    assert.equal(await get(actor.pass.remote(door.path, 4)), 4)
  })

  test('exitActor leaves after what was submitted before', async () => {
    class Leaver {
      n = 0
      add() {
        return ++this.n
      }
      pid() {
        return process.pid
      }
      leave(): never {
        exitActor()
      }
    }
    const leaver = remote(Leaver, { maxRestarts: 5 }).remote()
    const pid = await get(leaver.pid.remote())
    const before = [leaver.add.remote(), leaver.add.remote()]
    const leaving = leaver.leave.remote()
    assert.deepEqual(await get(before), [1, 2])
    await assert.rejects(get(leaving), ActorDiedError)
    await processGone(pid)
    await assert.rejects(get(leaver.add.remote()), ActorDiedError)
    assert.throws(() => exitActor(), 'not inside an actor')
  })

  test('exitActor of an async actor waits for calls that came before, and for none that came after', async () => {
    class Leaver {
      pass(path: string) {
        return passed(path, 'passed')
      }
      async leave() {
        await null
        exitActor()
      }
      pid() {
        return process.pid
      }
    }
    const leaver = remote(Leaver).remote()
    const pid = await get(leaver.pid.remote())
    const [early, late] = [gate(), gate()]
    const before = leaver.pass.remote(early.path)
    const leaving = leaver.leave.remote()
    const after = leaver.pass.remote(late.path)
    early.open()
    assert.equal(await get(before), 'passed')
    await assert.rejects(get(leaving), ActorDiedError)
    await assert.rejects(get(after), ActorDiedError)
    await processGone(pid)
  })

  test('methods may have any name, also those of handles', async () => {
    class Odd {
      toString() {
        return 'odd'
      }
      dispose() {
        return 'later'
      }
      'a,b'() {
        return 'both'
      }
    }
    const odd = remote(Odd).remote()
    const handle = odd as unknown as Record<string, { remote(): ObjectRef<string> }>
    assert.deepEqual(await get(['toString', 'dispose', 'a,b'].map(name => handle[name]!.remote())), ['odd', 'later', 'both'])
    assert.match(inspect(odd), /^ActorHandle\(Odd, [0-9a-f]{40}\)$/)
    odd[Symbol.dispose]()
    assert.throws(() => handle.dispose!.remote(), /ActorHandle\(Odd, .*\) was disposed/)
  })

  test('options of a method are checked at once', () => {
    const { note } = RemoteCounter.remote()
    for (const options of [
      { numReturns: -1 },
      { numReturns: 'x' },
      { maxTaskRetries: -2 },
      { name: '' },
      { concurrencyGroup: 'none' },
      { unknown: 1 },
      null,
    ])
      assert.throws(
        () => note.options(options as never),
        error => error instanceof TypeError || error instanceof RangeError,
      )
  })

  test('a detached actor lives without handles until it is killed', async () => {
    const start = async () => {
      const detached = RemoteCounter.options({ name: 'detached', lifetime: 'detached' }).remote(5)
      return get(detached.pid.remote())
    }
    const pid = await start()
    await collect()
    await collect()
    const found = (await getActor('detached')) as ActorHandle<Counter>
    assert.deepEqual(await get([found.pid.remote(), found.add.remote()]), [pid, 6])
    kill(found)
    await processGone(pid)
    await waitFor(
      () =>
        getActor('detached').then(
          () => false,
          () => true,
        ),
      'the name free',
    )
  })

  test('methods may return several refs by option; an async actor that waits holds nobody up, not even itself', async () => {
    class Pairs {
      pair(n: number): [number, number] {
        return [n, n + 1]
      }
      async viaSelf(self: ActorHandle<Pairs>, n: number): Promise<number> {
        return get(self.plus.remote(n, 1))
      }
      async plus(a: number, b: number): Promise<number> {
        return a + b
      }
    }
    const pairs = remote(Pairs, { methods: { pair: { numReturns: 2 } } }).remote()
    const refs = pairs.pair.remote(4) as unknown as ObjectRef<number>[]
    assert.deepEqual(await get(refs), [4, 5])
    assert.equal(await get(pairs.viaSelf.remote(pairs, 6)), 7)
  })
})
