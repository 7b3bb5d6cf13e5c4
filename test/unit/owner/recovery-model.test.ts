// SPDX-License-Identifier: Apache-2.0
// Random graphs of tasks, of which objects are lost at random moments: what comes out is what a run straight through gives.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Effect } from '#lib/core/owner/effects.js'
import { type Entry, STATE } from '#lib/core/owner/entry.js'
import type { Outcome } from '#lib/core/owner/outcome.js'
import { TASK, type Task } from '#lib/core/owner/task.js'
import { ObjectLostError, ReconstructionFailedError, TaskCancelledError, TaskError } from '#lib/errors.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { FakeOwner } from '../../fakes/owner.js'

const WORKER = workerIdOf(10)
const ROUNDS_MAX = 10_000
const kinds = ['put', 'submit', 'submit', 'submit', 'run', 'run', 'run', 'drop', 'lose', 'lose', 'vanish', 'cancel', 'die'] as const
/** How often what the tests are about has come about. */
let [remade, released] = [0, 0]
const step = fc.record({ is: fc.constantFrom(...kinds), a: fc.nat(50), b: fc.nat(50), c: fc.nat(50) })
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface Made {
  entry: Entry
  /** What a run straight through gives. */
  expected: number
  isPut: boolean
}

interface Options {
  /** Values that were put are neither lost nor let go of, and nothing is cancelled: then nothing may fail. */
  safe: boolean
  retries: number
}

class Model {
  readonly fake = new FakeOwner()
  readonly store = new Map<number, number>()
  readonly made: Made[] = []
  readonly dispatched: Task[] = []
  /** What a body computes, by its task: from the values of its arguments, top-level first. */
  readonly bodies = new Map<Task, { nested: Entry[] }>()

  constructor(readonly options: Options) {
    this.fake.onEffect = effect => this.#effect(effect)
  }

  #effect(effect: Effect): void {
    if (effect.is === 'dispatch') {
      for (const argument of effect.task.args as Entry[]) assert.ok(argument.settled && argument.error === null, 'sent without an argument')
      this.dispatched.push(effect.task)
    }
    if (effect.is === 'drop') this.store.delete(effect.entry.seq)
    else if (effect.is === 'discard') this.store.delete(effect.seq)
    else if (effect.is === 'revoke') this.dispatched.splice(this.dispatched.indexOf(effect.task), 1)
  }

  step({ is, a, b, c }: Step): void {
    const { fake, options } = this
    const known = this.made[a % Math.max(1, this.made.length)]
    if (is === 'put') this.put(a)
    else if (is === 'submit') this.submit(a, b, c)
    else if (is === 'run') for (let i = 0; i < 1 + (b % 4); i++) this.run(a, c + i)
    else if (is === 'die') this.die()
    else if (known === undefined) return
    else if (is === 'drop') this.drop(known)
    else if (is === 'cancel' && !options.safe) fake.act({ is: 'cancel', entry: known.entry, force: false, recursive: false })
    else if (is === 'lose' || is === 'vanish') this.lose(a, is === 'lose')
  }

  put(n: number): void {
    const entry = this.fake.put()
    this.store.set(entry.seq, n)
    this.made.push({ entry, expected: n, isPut: true })
  }

  submit(a: number, b: number, c: number): void {
    const pick = (n: number) => this.made[n % Math.max(1, this.made.length)]
    const top = [pick(a), pick(b)].filter((each, i) => each !== undefined && (c & (1 << i)) !== 0) as Made[]
    const inner = [pick(a + b)].filter(each => each !== undefined && (c & 4) !== 0) as Made[]
    const nested = inner.map(each => each.entry)
    const returns = 1 + (c % 2)
    const task = this.fake.submit({ args: top.map(each => each.entry), nested, returns, retries: this.options.retries })
    this.bodies.set(task, { nested })
    const inputs = [...top, ...inner].map(each => each.expected)
    for (const entry of task.entries) this.made.push({ entry, expected: compute(entry.seq, inputs), isPut: false })
  }

  /** What it had been sent had not begun; what comes next finds no worker. */
  die(): void {
    this.fake.die(WORKER)
    this.dispatched.length = 0
  }

  drop(made: Made): void {
    if (this.options.safe && made.isPut) return
    this.made.splice(this.made.indexOf(made), 1)
    this.fake.unref(made.entry)
  }

  /** Something of the store goes; `told`: the owner hears of it at once, not only when somebody looks for it. */
  lose(n: number, told: boolean): void {
    const seqs = [...this.store.keys()]
    const seq = seqs[n % Math.max(1, seqs.length)]
    if (seq === undefined) return
    const entry = this.fake.owner.references.owned.get(seq)
    if (this.options.safe && entry?.made === null && entry.unmade === null) return
    this.store.delete(seq)
    if (told && entry !== undefined) this.fake.act({ is: 'lost', entry, why: 'its node died' })
  }

  /** The value of an argument as its worker reads it: null when it has to wait. */
  read(entry: Entry, owner: FakeOwner): number | Error | null {
    if (entry.state === STATE.inline) return entry.plain as number
    if (entry.state === STATE.failed) return entry.error as Error
    const value = this.store.get(entry.seq)
    if (entry.state === STATE.stored && value !== undefined) return value
    if (entry.state === STATE.stored) owner.act({ is: 'lost', entry, why: 'no copy was found' })
    if (entry.state === STATE.released) {
      released++
      owner.from(WORKER, { is: 'fetch', seqs: [entry.seq] })
    }
    return null
  }

  run(n: number, c: number): void {
    if (this.fake.owner.leases.lanes.size === 0) this.fake.grant(WORKER)
    const task = this.dispatched[n % Math.max(1, this.dispatched.length)]
    if (task === undefined) return
    const entries = [...(task.args as Entry[]), ...this.bodies.get(task)!.nested]
    const inputs: (number | Error)[] = []
    for (const entry of entries) {
      const value = this.read(entry, this.fake)
      if (value === null) return
      inputs.push(value)
    }
    this.dispatched.splice(this.dispatched.indexOf(task), 1)
    if (task.remaking !== null) remade++
    const failed = inputs.find(each => each instanceof Error)
    const { remaking } = task
    const results = task.entries.map(({ seq }): Outcome => {
      const value = compute(seq, inputs as number[])
      if ((seq + c) % 3 === 0 && remaking === null) return { form: 'plain', value }
      if (failed === undefined) this.store.set(seq, value)
      return { form: 'stored', sizeBytes: 200_000 }
    })
    if (failed === undefined) this.fake.reply(task, { results, lane: this.fake.owner.leases.lanes.get(WORKER)! })
    else
      this.fake.reply(task, {
        status: 'error',
        results: [{ form: 'failed', error: failed as Error }],
        lane: this.fake.owner.leases.lanes.get(WORKER)!,
      })
  }

  /** Gets everything there is a ref of, then lets it go. */
  finish(): void {
    for (const { entry, expected } of this.made) {
      for (let round = 0; ; round++) {
        assert.ok(round < ROUNDS_MAX, `object ${entry.seq} never comes`)
        const value = this.read(entry, this.fake)
        if (value instanceof Error) {
          assert.ok(!this.options.safe, `object ${entry.seq} failed: ${value.message}`)
          assert.ok(
            [ObjectLostError, ReconstructionFailedError, TaskCancelledError, TaskError].some(each => value instanceof each),
            String(value),
          )
          break
        }
        if (value === null) {
          this.run(round, round)
          continue
        }
        assert.equal(value, expected)
        break
      }
    }
    for (let round = 0; this.fake.owner.tasks.pending.size > 0; round++) {
      assert.ok(round < ROUNDS_MAX, 'a task never ends')
      this.run(round, round)
    }
    for (const made of this.made.splice(0)) this.fake.unref(made.entry)
    // A cancelled one that ran on.
    while (this.dispatched.length > 0) this.run(0, 0)
    assert.deepEqual([...this.store.keys()], [], 'left in the store')
    assert.equal(this.fake.owner.lineage.size, 0)
    assert.ok(this.fake.owner.atRest)
  }
}

function compute(seq: number, inputs: number[]): number {
  return inputs.reduce((sum, each) => (Math.imul(sum, 31) + each) | 0, seq)
}

function check(options: Options): void {
  fc.assert(
    fc.property(fc.array(step, { minLength: 30, maxLength: 150, size: 'max' }), steps => {
      const model = new Model(options)
      for (const each of steps) model.step(each)
      model.finish()
      for (const task of model.bodies.keys()) assert.equal(task.state, TASK.done)
    }),
    { numRuns: 300 },
  )
  assert.ok(remade > 200 && released > 0, `only ${remade} tasks were run again, and ${released} values wanted that had been let go of`)
}

suite('recovery against a run straight through', () => {
  test('property: whatever is lost that tasks had made is made again, and comes out the same', () => check({ safe: true, retries: -1 }))
  test('property: what cannot be made again fails, and nothing else does or is left', () => check({ safe: false, retries: 1 }))
})
