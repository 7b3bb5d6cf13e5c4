// SPDX-License-Identifier: Apache-2.0
// The borrowing rule, exhaustively: a few ways in which a ref travels between three processes, under every order in which
// messages can arrive and refs can be dropped. Wherever a ref is, its owner has the object; at the end nobody has anything.

import assert from 'node:assert/strict'
import { Entry } from '#lib/core/owner/entry.js'
import type { References } from '#lib/core/owner/references.js'
import type { Control } from '#lib/wire/messages.js'
import { workerIdOf } from '../fakes/cluster.js'
import { FakeOwner } from '../fakes/owner.js'

const [A, B, C] = [1, 2, 3].map(workerIdOf) as [string, string, string]

type Message = { control: Control } | { label: string; does: () => void }
interface Action {
  label: string
  /** Whether it can happen now. */
  when: () => boolean
  go: () => void
}

/** Three owners, what they have sent each other, and what else they will do. */
class Trio {
  readonly owners = new Map([A, B, C].map(id => [id, new FakeOwner(id)]))
  readonly channels = new Map<string, Message[]>()
  readonly actions: Action[] = []
  readonly refs: { at: string; entry: Entry }[] = []
  readonly #seen = new Map<string, number>()

  at(id: string): FakeOwner {
    return this.owners.get(id) as FakeOwner
  }

  /** The ref that process has; it drops it at some time after `when`. */
  hold(at: string, entry: Entry, when: () => boolean = () => true): void {
    const ref = { at, entry }
    this.refs.push(ref)
    const go = () => {
      this.refs.splice(this.refs.indexOf(ref), 1)
      this.at(at).unref(entry)
    }
    this.actions.push({ label: `${at} drops ${entry.owner} ${entry.seq}`, when, go })
  }

  /** A message of the application, behind what was sent before. */
  tell(from: string, to: string, label: string, does: () => void): void {
    this.#gather(from)
    this.#push(from, to, { label, does })
  }

  /** An action of `at`, once every borrow with others than `except` is known. */
  onceKnown(at: string, except: string, label: string, go: () => void): void {
    this.actions.push({ label, when: () => !this.at(at).owner.references.unsettledBorrows(except), go })
  }

  possible(): (() => void)[] {
    const all: (() => void)[] = []
    for (const [key, messages] of this.channels) if (messages.length > 0) all.push(() => this.#deliver(key, messages.shift() as Message))
    for (const action of this.actions) {
      if (!action.when()) continue
      all.push(() => {
        this.actions.splice(this.actions.indexOf(action), 1)
        action.go()
      })
    }
    return all
  }

  /** What every process does at the end of a turn. */
  flush(): void {
    for (const [id, fake] of this.owners) {
      fake.flush()
      this.#gather(id)
    }
  }

  /** All that the future depends on, as text. */
  get state(): string {
    const plain = (_: string, value: unknown): unknown => {
      if (value instanceof Entry) return [value.owner, value.seq, value.local, value.holds, value.borrowers, value.contained]
      if (value instanceof Map) return [...value].sort()
      return value instanceof Set ? [...value] : value
    }
    const machines = [...this.owners.values()].map(fake => privateParts(fake.owner.references))
    return JSON.stringify([machines, this.channels, this.actions.map(each => each.label).sort()], plain)
  }

  check(): void {
    for (const { at, entry } of this.refs) {
      const owner = entry.owner ?? at
      assert.ok(this.at(owner).owner.references.owned.has(entry.seq), `${at} has a ref, and ${owner} has freed the object`)
    }
  }

  #deliver(key: string, message: Message): void {
    const to = key.slice(24)
    if ('does' in message) message.does()
    else this.at(to).from(key.slice(0, 24), message.control)
  }

  #gather(id: string): void {
    const { effects } = this.at(id)
    for (let i = this.#seen.get(id) ?? 0; i < effects.length; i++) {
      const effect = effects[i]
      if (effect?.is === 'send') this.#push(id, effect.to, { control: effect.message })
    }
    this.#seen.set(id, effects.length)
  }

  #push(from: string, to: string, message: Message): void {
    const messages = this.channels.get(from + to)
    if (messages === undefined) this.channels.set(from + to, [message])
    else messages.push(message)
  }
}

/** The tables of the machine, which no test may use but to tell states apart. */
function privateParts(references: References): unknown[] {
  const all = references as unknown as Record<string, unknown>
  return Object.keys(all)
    .filter(name => name !== 'self')
    .map(name => all[name])
}

/** Runs the scenario under every order, as far as states are new; gives how many states there are. */
function everyOrder(scenario: (trio: Trio) => void): number {
  const seen = new Set<string>()
  // The choice made at each step, and how many there were; the last that has another left is the next to change.
  let choices: { made: number; of: number }[] = []
  for (;;) {
    const replayed = choices.length
    let known = false
    const trio = new Trio()
    scenario(trio)
    trio.flush()
    for (let step = 0; ; step++) {
      const possible = trio.possible()
      if (possible.length === 0) break
      choices[step] ??= { made: 0, of: possible.length }
      possible[choices[step]!.made]?.()
      trio.flush()
      trio.check()
      // Choices beyond those replayed lead somewhere new, or where we have been.
      const { state } = trio
      known = step >= replayed - 1 && seen.has(state)
      seen.add(state)
      if (known) {
        choices.length = step + 1
        break
      }
    }
    if (!known) {
      assert.equal(trio.actions.length, 0, 'something never happens')
      for (const [id, { owner }] of trio.owners) assert.ok(owner.atRest, `${id} is not at rest`)
    }
    while (choices.length > 0 && choices[choices.length - 1]?.made === (choices[choices.length - 1]?.of ?? 0) - 1)
      choices = choices.slice(0, -1)
    const last = choices.at(-1)
    if (last === undefined) return seen.size
    last.made++
  }
}

/** `from` passes a ref inside an argument to `to`, which answers once it may, and keeps the ref a while. */
function passArgument(trio: Trio, from: string, to: string, entry: Entry): void {
  const owner = entry.owner ?? from
  entry.holds++
  trio.tell(from, to, 'argument', () => {
    trio.hold(to, trio.at(to).meet(owner, entry.seq))
    trio.onceKnown(to, from, `${to} answers`, () => trio.tell(to, from, 'answer', () => trio.at(from).owner.references.unhold(entry, [])))
  })
}

/** `from` answers `to` with a value that contains the ref. */
function answerWith(trio: Trio, from: string, to: string, entry: Entry): void {
  const owner = entry.owner ?? from
  trio.at(from).owner.references.holdForCaller(to, 99, [entry])
  trio.tell(from, to, 'result', () => {
    trio.hold(to, trio.at(to).meet(owner, entry.seq))
    trio.at(to).owner.references.confirm(from, 99)
  })
}

suite('borrowing, in every order', () => {
  test('an owner passes a ref on', () => {
    const states = everyOrder(trio => {
      const entry = trio.at(A).put()
      trio.hold(A, entry)
      passArgument(trio, A, B, entry)
    })
    assert.ok(states > 10, `${states} states`)
  })

  test('a borrower passes it on to a third', () => {
    const states = everyOrder(trio => {
      const entry = trio.at(A).put()
      entry.holds++
      trio.hold(A, entry)
      trio.tell(A, B, 'first', () => {
        const borrowed = trio.at(B).meet(A, entry.seq)
        trio.hold(B, borrowed)
        passArgument(trio, B, C, borrowed)
        trio.onceKnown(B, A, 'B is done', () => trio.tell(B, A, 'done', () => trio.at(A).owner.references.unhold(entry, [])))
      })
    })
    assert.ok(states > 100, `${states} states`)
  })

  test('a borrower gives it back as a result to a third', () => {
    const states = everyOrder(trio => {
      const entry = trio.at(A).put()
      entry.holds++
      trio.hold(A, entry)
      trio.tell(A, B, 'first', () => {
        const borrowed = trio.at(B).meet(A, entry.seq)
        let given = false
        trio.hold(B, borrowed, () => given)
        trio.onceKnown(B, C, 'B gives', () => {
          given = true
          answerWith(trio, B, C, borrowed)
        })
        trio.onceKnown(B, A, 'B is done', () => trio.tell(B, A, 'done', () => trio.at(A).owner.references.unhold(entry, [])))
      })
    })
    assert.ok(states > 100, `${states} states`)
  })

  test('it is taken out of a container of another owner', () => {
    const states = everyOrder(trio => {
      const inner = trio.at(A).put()
      entryToContainer(trio, inner)
      trio.at(A).unref(inner)
    })
    assert.ok(states > 100, `${states} states`)
  })
})

/** B has a container with A's object in it; C gets the container, takes the ref out, and drops the container. */
function entryToContainer(trio: Trio, inner: Entry): void {
  inner.holds++
  trio.tell(A, B, 'first', () => {
    const container = trio.at(B).put([{ owner: A, seq: inner.seq, isActor: false }])
    trio.hold(B, container)
    container.holds++
    trio.onceKnown(B, A, 'B is done', () => trio.tell(B, A, 'done', () => trio.at(A).owner.references.unhold(inner, [])))
    trio.tell(B, C, 'container', () => {
      const outer = trio.at(C).meet(B, container.seq)
      trio.onceKnown(C, B, 'C is done', () => trio.tell(C, B, 'done', () => trio.at(B).owner.references.unhold(container, [])))
      // Only later is the value got, and the ref in it met.
      let got = false
      trio.hold(C, outer, () => got)
      trio.onceKnown(C, C, 'C gets', () => {
        got = true
        trio.hold(C, trio.at(C).meet(A, inner.seq))
      })
    })
  })
}
