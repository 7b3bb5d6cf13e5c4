// SPDX-License-Identifier: Apache-2.0
// Tasks: what goes in, what comes out, what is refused at the call, and what is run again.

import assert from 'node:assert/strict'
import { get, type ObjectRef, put, remote, TaskError, wait } from 'eagleray'
import { countRun, passed, Refused, refuse, runsIn } from './programs/by-reference.js'
import { begin, end, gate, scratchPath } from './support.js'

const isWrongArgument = (error: unknown) => error instanceof TypeError || error instanceof RangeError

const add = remote((a: number, b: number) => a + b)
const held = remote(passed<number>)

suite('tasks', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('arguments are values or refs; refs at the top are replaced by their values, refs inside stay refs', async () => {
    assert.equal(await get(add.remote(1, 2)), 3)
    const three = add.remote(1, 2)
    assert.equal(await get(add.remote(three, put(4))), 7)
    assert.equal(await get(add.remote(three, three)), 6, 'the same ref twice')

    const nested = remote(async (list: ObjectRef<number>[], named: { ref: ObjectRef<number> }) => {
      const inside = await get(list)
      return [list.length, typeof named.ref.id, ...inside, await get(named.ref)]
    })
    const five = put(5)
    assert.deepEqual(await get(nested.remote([three, five], { ref: five })), [2, 'string', 3, 5, 5])
    const ids = remote((refs: ObjectRef<number>[]) => refs.map(ref => ref.id))
    assert.deepEqual(await get(ids.remote([three, five])), [three.id, five.id], 'a ref keeps its id wherever it goes')
  })

  test('a task waits for its late arguments, others do not wait for it', async () => {
    const door = gate()
    const late = held.remote(door.path, 20)
    const sum = add.remote(late, 1)
    assert.equal(await get(add.remote(1, 1)), 2)
    assert.deepEqual(await wait([sum], { timeoutMs: 0 }), [[], [sum]])
    door.open()
    assert.equal(await get(sum), 21)
  })

  test('chains and trees of dependencies can be handed out at once', async () => {
    let level: ObjectRef<number>[] = Array.from({ length: 32 }, (_, i) => put(i))
    while (level.length > 1) level = Array.from({ length: level.length / 2 }, (_, i) => add.remote(level[2 * i]!, level[2 * i + 1]!))
    assert.equal(await get(level[0]!), 496)
    let chain = put(0)
    for (let i = 0; i < 200; i++) chain = add.remote(chain, 1)
    assert.equal(await get(chain), 200)
  })

  test('many small tasks give each its own answer', async () => {
    const refs = Array.from({ length: 2000 }, (_, i) => add.remote(i, 1))
    assert.deepEqual(
      await get(refs),
      Array.from({ length: 2000 }, (_, i) => i + 1),
    )
  })

  test('bodies may be plain, async, arrow, method shorthand, with defaults, rest and destructuring', async () => {
    assert.equal(await get(remote(async (n: number) => n * 2).remote(4)), 8)
    assert.equal(await get(remote((n: number, factor = 3) => n * factor).remote(4)), 12)
    assert.equal(await get(remote((...all: number[]) => all.length).remote(1, 2, 3, 4)), 4)
    assert.equal(await get(remote(({ a, b = 2 }: { a: number; b?: number }) => a + b).remote({ a: 1 })), 3)
    const shorthand = {
      twice(n: number) {
        return 2 * n
      },
    }
    assert.equal(await get(remote(shorthand.twice).remote(21)), 42)
    assert.equal(await get(remote(() => {}).remote()), undefined)
  })

  test('large arguments and results go through the store and are equal', async () => {
    const scale = remote((array: Float64Array, by: number) => array.map(each => each * by))
    const big = Float64Array.from({ length: 100_000 }, (_, i) => i)
    const result = await get(scale.remote(big, 2))
    assert.ok(result instanceof Float64Array)
    assert.equal(result.length, 100_000)
    assert.equal(result[99_999], 199_998)
    const text = 'ä'.repeat(300_000)
    assert.equal(await get(remote((s: string) => s + s.length).remote(text)), `${text}300000`)
  })

  test('several returns are several refs, none is undefined, and the wrong number fails them all', async () => {
    const divide = remote((a: number, b: number) => [Math.floor(a / b), a % b] as const, { numReturns: 2 })
    const refs = divide.remote(17, 5) as unknown as [ObjectRef<number>, ObjectRef<number>]
    assert.equal(refs.length, 2)
    assert.notEqual(refs[0].id, refs[1].id)
    assert.deepEqual(await get(refs), [3, 2])
    assert.equal(await get(add.remote(refs[0], refs[1])), 5)

    const path = scratchPath()
    const nothing = remote(countRun).options({ numReturns: 0 }).remote(path) as unknown
    assert.equal(nothing, undefined)
    await get(remote(passed).remote(path, null))
    assert.equal(runsIn(path), 1)

    const short = divide.options({ numReturns: 3 }).remote(17, 5) as unknown as ObjectRef<number>[]
    assert.equal(short.length, 3)
    for (const ref of short) await assert.rejects(get(ref), TaskError)
  })

  test('a task may return refs of tasks and objects it made', async () => {
    const outer = remote((n: number) => ({ sum: add.remote(n, 1), kept: put(n * 10) }))
    const { sum, kept } = await get(outer.remote(4))
    assert.deepEqual(await get([sum, kept]), [5, 40])
    const direct = remote((n: number) => add.remote(n, 2))
    const inner = (await get(direct.remote(1))) as unknown as ObjectRef<number>
    assert.equal(await get(inner), 3, 'a ref is not thenable, so it is returned as a ref')
  })

  test('the number of arguments is checked at the call', () => {
    assert.throws(() => (add.remote as (...args: unknown[]) => unknown)(1), TypeError)
    assert.throws(() => (add.remote as (...args: unknown[]) => unknown)(1, 2, 3), TypeError)
    assert.throws(() => (remote(() => 1).remote as (...args: unknown[]) => unknown)(1), /argument/)
    const withDefault = remote((a: number, b = 1) => a + b)
    assert.throws(() => (withDefault.remote as (...args: unknown[]) => unknown)(), TypeError)
    assert.throws(() => (withDefault.remote as (...args: unknown[]) => unknown)(1, 2, 3), TypeError)
  })

  test('a body that uses `arguments` takes any number', async () => {
    const count = remote(function count() {
      // biome-ignore lint/complexity/noArguments: what is tested
      return arguments.length
    })
    assert.equal(await get((count.remote as (...args: unknown[]) => ObjectRef<number>)(1, 2, 3)), 3)
  })

  test('options are checked, unknown ones are refused by name', () => {
    const refused: [string, Record<string, unknown>][] = [
      ['unknown', { nope: 1 }],
      ['unknown', { num_cpus: 1 }],
      ['negative', { numCpus: -1 }],
      ['not a number', { numCpus: '1' }],
      ['not finite', { numGpus: Number.NaN }],
      ['more than one GPU, not whole', { numGpus: 1.5 }],
      ['too fine', { numCpus: 0.00001 }],
      ['CPU by name', { resources: { CPU: 1 } }],
      ['GPU by name', { resources: { GPU: 1 } }],
      ['negative custom', { resources: { tokens: -1 } }],
      ['below -1', { maxRetries: -2 }],
      ['negative returns', { numReturns: -1 }],
      ['fraction of returns', { numReturns: 1.5 }],
      ['negative memory', { memoryBytes: -1 }],
      ['unknown strategy', { schedulingStrategy: 'NEAREST' }],
      ['no strategy', { schedulingStrategy: { nodeId: 'aaaaaaaaaa' } }],
      ['no id of a node', { schedulingStrategy: { kind: 'nodeAffinity', nodeId: 'here', soft: false } }],
      ['labels by number', { labelSelector: { zone: 1 } }],
      ['no label selector', { labelSelector: { zone: 'in(a' } }],
    ]
    for (const [why, options] of refused) {
      assert.throws(() => remote(() => 1, options as never).remote(), isWrongArgument, `remote(): ${why}`)
      assert.throws(
        () =>
          remote(() => 1)
            .options(options as never)
            .remote(),
        isWrongArgument,
        `options(): ${why}`,
      )
    }
    assert.throws(() => remote(() => 1, { nope: 1 } as never).remote(), /nope/)
    assert.throws(() => (remote as (fn: unknown) => unknown)(42), TypeError)
  })

  test('options() gives a new callable and leaves the old one alone', async () => {
    const one = remote(() => [1, 2])
    const two = one.options({ numReturns: 2 })
    assert.notEqual(one, two)
    const refs = two.remote() as unknown as ObjectRef<number>[]
    assert.deepEqual(await get(refs), [1, 2])
    assert.deepEqual(await get(one.remote()), [1, 2])
    assert.throws(() => (one as unknown as () => void)(), TypeError, 'a remote function is not called directly')
  })

  test('an error reaches every get, is the class of the user, and keeps cause, fields and stack', async () => {
    const before = Refused.constructed
    const failed = remote(refuse).remote(7)
    for (let i = 0; i < 2; i++) {
      const error = await get(failed).then(
        () => assert.fail('it must reject'),
        e => e,
      )
      assert.ok(error instanceof TaskError)
      assert.ok(error instanceof Refused, 'also of the class that was thrown')
      assert.equal(error.code, 'ERR_EAGLERAY_TASK')
      assert.match(error.message, /more than 7/)
      assert.ok(error.cause instanceof Refused)
      assert.equal((error.cause as Refused).limit, 7)
      assert.match(error.remoteStack, /by-reference/)
    }
    assert.equal(Refused.constructed, before, 'no constructor of the user ran here')

    class Local extends Error {
      detail = { answer: 42 }
    }
    const local = remote(() => {
      throw new Local('by value', { cause: new RangeError('the reason') })
    })
    await assert.rejects(get(local.remote()), (error: TaskError & Local) => {
      assert.ok(error instanceof TaskError)
      const cause = error.cause as Local
      assert.equal(cause.message, 'by value')
      assert.deepEqual(cause.detail, { answer: 42 })
      assert.ok(cause.cause instanceof RangeError)
      assert.ok(error instanceof Local)
      return true
    })
  })

  test('whatever is thrown arrives as the cause', async () => {
    const thrower = remote((what: unknown) => {
      throw what
    })
    for (const thrown of ['text', 42, null, undefined, { code: 7 }, [1, 2]])
      await assert.rejects(get(thrower.remote(thrown)), (error: TaskError) => {
        assert.ok(error instanceof TaskError)
        assert.deepEqual(error.cause, thrown)
        return true
      })
    const unsendable = remote(() => {
      throw Object.assign(new Error('with a symbol'), { odd: Symbol('x') })
    })
    await assert.rejects(get(unsendable.remote()), (error: TaskError) => error instanceof TaskError && /with a symbol/.test(error.message))
  })

  test('a failed argument fails the task without running it, and says which', async () => {
    const path = scratchPath()
    const counts = remote((_: unknown, at: string) => countRun(at))
    const chained = counts.remote(remote(refuse).remote(1), path)
    await assert.rejects(get(chained), (error: TaskError) => {
      assert.ok(error instanceof TaskError)
      assert.match(error.message, /argument/i)
      assert.ok(error.cause instanceof TaskError)
      return true
    })
    assert.equal(runsIn(path), 0)
    await assert.rejects(get(add.remote(chained as ObjectRef<number>, 1)), TaskError, 'and on down the chain')
    assert.equal(await get(add.remote(1, 1)), 2)
  })

  test('user errors are run again only when asked, and only the classes asked for', async () => {
    const failTwice = remote((path: string) => {
      if (countRun(path) < 3) throw new Refused(2)
      return 'done'
    })
    const [never, always, listed, others] = [scratchPath(), scratchPath(), scratchPath(), scratchPath()]
    await assert.rejects(get(failTwice.remote(never)), Refused)
    assert.equal(runsIn(never), 1)
    assert.equal(await get(failTwice.options({ retryExceptions: true }).remote(always)), 'done')
    assert.equal(runsIn(always), 3)
    assert.equal(await get(failTwice.options({ retryExceptions: [Refused] }).remote(listed)), 'done')
    await assert.rejects(get(failTwice.options({ retryExceptions: [SyntaxError] }).remote(others)), Refused)
    assert.equal(runsIn(others), 1)
    const short = scratchPath()
    await assert.rejects(get(failTwice.options({ retryExceptions: true, maxRetries: 1 }).remote(short)), Refused)
    assert.equal(runsIn(short), 2, 'one attempt and one retry')
  })

  test('tasks start tasks, at any depth', async () => {
    const fib: (n: number) => Promise<number> = async n => {
      if (n < 2) return n
      const recurse = remote(fib)
      const [a, b] = await get([recurse.remote(n - 1), recurse.remote(n - 2)])
      return a + b
    }
    assert.equal(await get(remote(fib).remote(6)), 8)
  })
})
