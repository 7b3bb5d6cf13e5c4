// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type Presence, type ServeEffect, type ServeEvent, Serves } from '#lib/core/node/serves.js'
import { limits } from '#lib/options.js'
import { A, B, C, idOf } from '../../fakes/pulls.js'

class FakeServes {
  readonly serves = new Serves()
  readonly effects: ServeEffect[] = []
  #key = 0

  get nextKey(): number {
    return this.#key + 1
  }

  act(event: ServeEvent): void {
    this.serves.handle(event, 0, this.effects)
    this.serves.invariants()
  }

  ask(peer: string, presence: Presence, offset = 0, seq = 1): number {
    const key = ++this.#key
    this.act({ is: 'asked', wanted: { key, peer, id: idOf(seq), offset, length: 1 }, presence })
    return key
  }

  served(): number[] {
    return this.effects.flatMap(effect => (effect.is === 'serve' ? [effect.wanted.key] : []))
  }

  refused(): [number, string][] {
    return this.effects.flatMap(effect => (effect.is === 'refuse' ? [[effect.key, effect.why]] : []) as [number, string][])
  }
}

/** One of many. */
const peerOf = (n: number): string => `cccccc${n.toString(16).padStart(4, '0')}`
/** Enough that not all can have as much on the way as one may. */
const PEERS = Array.from({ length: 10 }, (_, i) => peerOf(i))

suite('serves', () => {
  test('what is here is served, what is not is refused', () => {
    const fake = new FakeServes()
    const [here, not] = [fake.ask(A, 'here'), fake.ask(A, 'no')]
    assert.deepEqual(fake.served(), [here])
    assert.deepEqual(fake.refused(), [[not, 'missing']])
  })

  test('a few at a time, in turns between those who ask', () => {
    const fake = new FakeServes()
    const { servesMax, servesPerPeerAtOnce } = limits
    const first = Array.from({ length: servesMax }, (_, i) => fake.ask(peerOf(Math.floor(i / servesPerPeerAtOnce)), 'here'))
    assert.deepEqual(fake.served(), first)
    const [b1, b2, c1, b3] = [fake.ask(B, 'here'), fake.ask(B, 'here'), fake.ask(C, 'here'), fake.ask(B, 'here')]
    assert.equal(fake.served().length, servesMax)
    for (const key of first.slice(0, 4)) fake.act({ is: 'served', key })
    assert.deepEqual(fake.served().slice(servesMax), [b1, c1, b2])
    fake.act({ is: 'served', key: c1 })
    assert.equal(fake.served().length, servesMax + 3, 'who has enough on the way waits')
    fake.act({ is: 'served', key: b2 })
    assert.deepEqual(fake.served().slice(servesMax), [b1, c1, b2, b3])
  })

  test('one that takes nothing holds up nobody else', () => {
    const fake = new FakeServes()
    const stalled = Array.from({ length: limits.servesPerPeerMax }, () => fake.ask(A, 'here'))
    assert.deepEqual(fake.served(), stalled.slice(0, limits.servesPerPeerAtOnce))
    for (let i = 0; i < 100; i++) {
      const key = fake.ask(B, 'here')
      assert.equal(fake.served().at(-1), key)
      fake.act({ is: 'served', key })
    }
  })

  test('what is on its way here is served when it comes', () => {
    const fake = new FakeServes()
    const keys = [fake.ask(A, 'coming', 0), fake.ask(B, 'coming', 5), fake.ask(A, 'coming', 0, 2)]
    assert.deepEqual(fake.served(), [])
    fake.act({ is: 'changed', id: idOf(1), presence: offset => (offset === 0 ? 'here' : 'coming') })
    assert.deepEqual(fake.served(), [keys[0]])
    fake.act({ is: 'changed', id: idOf(1), presence: () => 'no' })
    assert.deepEqual(fake.refused(), [[keys[1], 'missing']])
    fake.act({ is: 'changed', id: idOf(3), presence: () => 'here' })
    assert.equal(fake.served().length, 1)
  })

  test('one peer asks for only so much', () => {
    const fake = new FakeServes()
    for (let i = 0; i < limits.servesPerPeerMax; i++) fake.ask(A, 'coming')
    const beyond = fake.ask(A, 'here')
    assert.deepEqual(fake.refused(), [[beyond, 'busy']])
    assert.equal(fake.ask(B, 'here'), fake.served()[0])
  })

  test('who is gone is served no more', () => {
    const fake = new FakeServes()
    const leaving = Array.from({ length: limits.servesPerPeerAtOnce }, () => fake.ask(A, 'here'))
    fake.ask(A, 'here')
    fake.ask(A, 'coming')
    const b = fake.ask(B, 'coming')
    fake.act({ is: 'peerGone', peer: A })
    for (const key of leaving) fake.act({ is: 'served', key })
    fake.act({ is: 'served', key: 999 })
    fake.act({ is: 'changed', id: idOf(1), presence: () => 'here' })
    assert.deepEqual(fake.served().slice(limits.servesPerPeerAtOnce), [b])
  })

  test('property: everybody who stays and takes what leaves for it is answered once, whoever takes nothing', () => {
    const step = fc.oneof(
      fc.record({
        is: fc.constant('ask' as const),
        peer: fc.constantFrom(...PEERS),
        presence: fc.constantFrom<Presence>('here', 'coming', 'no'),
        seq: fc.integer({ min: 1, max: 3 }),
      }),
      fc.record({ is: fc.constant('served' as const), which: fc.nat(20) }),
      fc.record({
        is: fc.constant('changed' as const),
        seq: fc.integer({ min: 1, max: 3 }),
        presence: fc.constantFrom<Presence>('here', 'coming', 'no'),
      }),
      fc.record({ is: fc.constant('gone' as const), peer: fc.constantFrom(...PEERS) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.subarray(PEERS, { maxLength: 7 }), (steps, stalled) => {
        const fake = new FakeServes()
        const asked = new Map<number, string>()
        const peers = new Map<number, string>()
        const ended = new Set<number>()
        const serve = (all: boolean, which = 0): void => {
          const open = fake.served().filter(key => !ended.has(key) && !stalled.includes(peers.get(key) as string))
          for (const key of all ? open : open.slice(which % Math.max(1, open.length)).slice(0, 1)) {
            ended.add(key)
            fake.act({ is: 'served', key })
          }
        }
        for (const each of steps) {
          if (each.is === 'ask') {
            const key = fake.nextKey
            peers.set(key, each.peer)
            asked.set(key, each.peer)
            fake.ask(each.peer, each.presence, 0, each.seq)
          } else if (each.is === 'served') serve(false, each.which)
          else if (each.is === 'changed') fake.act({ is: 'changed', id: idOf(each.seq), presence: () => each.presence })
          else {
            const answered = new Set([...fake.served(), ...fake.refused().map(([key]) => key)])
            for (const [key, peer] of asked) if (peer === each.peer && !answered.has(key)) asked.delete(key)
            fake.act({ is: 'peerGone', peer: each.peer })
          }
        }
        for (const seq of [1, 2, 3]) fake.act({ is: 'changed', id: idOf(seq), presence: () => 'here' })
        for (let i = 0; i < 100; i++) serve(true)
        const answers = [...fake.served(), ...fake.refused().map(([key]) => key)]
        assert.equal(new Set(answers).size, answers.length)
        for (const [key, peer] of asked) assert.ok(stalled.includes(peer) || answers.includes(key), `${key} of ${peer} is not answered`)
        assert.ok(answers.every(key => peers.has(key)))
      }),
      { numRuns: 300 },
    )
  })
})
