// SPDX-License-Identifier: Apache-2.0
// Pulls under everything at once: many objects and processes, sources that lack them, break and come back, room that comes and
// goes, answers in any order. Whatever happens, everybody who waits is answered, and nothing is left.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { PullEffect, PullEvent } from '#lib/core/node/pulls.js'
import { limits } from '#lib/options.js'
import type { NodeId, PullWhy, WorkerId } from '#lib/wire/messages.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { A, B, C, FakePulls, idOf } from '../../fakes/pulls.js'

const MB = 1 << 20
const BUDGET = 40 * MB
const SEQS = [1, 2, 3, 4, 5]
const sizeOf = (seq: number): number => [0, 1, 9, 30, 50][seq - 1]! * MB
const PROCESSES = [1, 2, 3].map(workerIdOf)

interface Step {
  what: 'want' | 'unwant' | 'die' | 'answer' | 'badly' | 'pass'
  seq: number
  who: number
  why: PullWhy
  /** Which of the open questions is answered. */
  which: number
}

const steps = fc.array(
  fc.record<Step>({
    what: fc.constantFrom('want', 'want', 'unwant', 'die', 'answer', 'answer', 'answer', 'answer', 'answer', 'badly', 'pass'),
    seq: fc.constantFrom(...SEQS),
    who: fc.nat(2),
    why: fc.constantFrom<PullWhy>('get', 'wait', 'argument'),
    which: fc.nat(1000),
  }),
  { maxLength: 120 },
)

class World extends FakePulls {
  /** Effects that want an answer. */
  readonly open: PullEffect[] = []
  readonly waiting = new Map<string, Set<WorkerId>>()
  /** Objects that take memory here: being written, or sealed. */
  readonly stored = new Map<string, 'made' | 'sealed'>()
  readonly pins = new Set<string>()

  constructor() {
    super(BUDGET)
    this.sealsAtOnce = false
  }

  override act(event: PullEvent): PullEffect[] {
    const out = super.act(event)
    for (const effect of out) this.carryOut(effect)
    return out
  }

  private carryOut(effect: PullEffect): void {
    switch (effect.is) {
      case 'make':
      case 'fetch':
        this.open.push(effect)
        return
      case 'seal':
        assert.equal(this.stored.get(effect.id), 'made')
        this.open.push(effect)
        return
      case 'abort':
        assert.equal(this.stored.get(effect.id), 'made')
        assert.ok(!this.open.some(each => each.is === 'fetch' && each.id === effect.id), 'memory is given up that bytes are under way to')
        this.stored.delete(effect.id)
        return
      case 'pin':
        assert.equal(this.stored.get(effect.id), 'sealed')
        this.pins.add(effect.id)
        return
      case 'unpin':
        assert.ok(this.pins.delete(effect.id))
        // Nobody pins it: sooner or later it is evicted.
        this.stored.delete(effect.id)
        return
      case 'fail':
        assert.ok(this.waiting.get(effect.id)?.delete(effect.to), 'somebody hears of a failure who does not wait')
        return
      case 'send':
        if (effect.message.is === 'pulled') {
          assert.equal(this.stored.get(effect.message.id), 'sealed')
          this.waiting.get(effect.message.id)?.delete(effect.to)
        } else if (effect.message.is === 'locate' || effect.message.is === 'copyMissing') this.open.push(effect)
    }
  }

  step({ what, seq, who, why, which }: Step): void {
    const id = idOf(seq)
    const from = PROCESSES[who] as WorkerId
    switch (what) {
      case 'want': {
        const waiting = this.waiting.get(id) ?? new Set()
        this.waiting.set(id, waiting.add(from))
        return void this.act({ is: 'want', from, id, why, here: this.stored.get(id) === 'sealed' })
      }
      case 'unwant':
        this.waiting.get(id)?.delete(from)
        return this.unwant(seq, from)
      case 'die':
        for (const waiting of this.waiting.values()) waiting.delete(from)
        return void this.act({ is: 'died', workerId: from })
      case 'pass':
        return this.pass(which * 10)
      default:
        if (this.open.length > 0) this.answer(which % this.open.length, what === 'badly', which)
    }
  }

  answer(index: number, badly: boolean, dice: number): void {
    const [effect] = this.open.splice(index, 1) as [PullEffect]
    if (effect.is === 'fetch') {
      const { id, source, piece } = effect
      if (badly) this.act({ is: 'failed', id, source, piece, missing: dice % 2 === 0, unwritten: dice % 3 === 0, why: 'broken' })
      else this.act({ is: 'arrived', id, source, piece })
    } else if (effect.is === 'seal') {
      this.stored.set(effect.id, 'sealed')
      this.act({ is: 'sealed', id: effect.id })
    } else if (effect.is === 'make') {
      const { id } = effect
      if (this.stored.get(id) === 'sealed') this.act({ is: 'exists', id, here: true })
      else if (badly) this.act(dice % 3 === 0 ? { is: 'exists', id, here: false } : { is: 'noRoom', id, error: null })
      else {
        this.stored.set(id, 'made')
        this.act({ is: 'made', id })
      }
    } else if (effect.is === 'send' && (effect.message.is === 'locate' || effect.message.is === 'copyMissing')) {
      const seq = effect.message.is === 'locate' ? (effect.message.seqs[0] as number) : effect.message.seq
      const nodes = [A, B, C].filter((_, i) => (dice >> i) % 2 === 0) as NodeId[]
      this.located(seq, sizeOf(seq), badly ? nodes : [...nodes, C].slice(0, 3), {}, this.stored.get(idOf(seq)) === 'sealed')
    }
  }
}

suite('pulls, all at once', () => {
  test('property: everybody is answered, memory is within the budget, and nothing is left', () => {
    fc.assert(
      fc.property(steps, all => {
        const world = new World()
        for (const step of all) world.step(step)
        // From now on everything goes well.
        for (let i = 0; world.open.length > 0 || [...world.waiting.values()].some(waiting => waiting.size > 0); i++) {
          assert.ok(i < 10_000, 'somebody waits for ever')
          if (world.open.length > 0) world.answer(0, false, 0)
          else world.pass(limits.locateAgainMs)
        }
        for (const seq of SEQS) for (const from of PROCESSES) world.unwant(seq, from)
        while (world.open.length > 0) world.answer(0, false, 0)
        world.pass(limits.pullHoldMs)
        assert.deepEqual([...world.pins], [])
        assert.ok(![...world.stored.values()].includes('made'))
        for (const seq of SEQS) assert.equal(world.pulls.get(idOf(seq)), undefined)
        assert.equal(world.pulls.deadline(), null)
      }),
      { numRuns: 500 },
    )
  })
})
