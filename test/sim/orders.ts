// SPDX-License-Identifier: Apache-2.0
// Every order in which the messages between three owners can arrive, and in which they can do what else they will do: all
// of them gone through, as far as they lead to new states. Wherever a ref is, its owner has the object; at the end nobody
// has anything. With the death of one of them: then whoever has a ref to what is gone has been told.

import assert from 'node:assert/strict'
import { Entry, STATE } from '#lib/core/owner/entry.js'
import type { References } from '#lib/core/owner/references.js'
import { nodeOf } from '#lib/ids.js'
import type { Control } from '#lib/wire/messages.js'
import { FakeOwner, NODE } from '../fakes/owner.js'

/** Who tells of deaths. */
const HEAD = '0'.repeat(24)

type Message = { control: Control } | { label: string; does: () => void }
interface Action {
  at: string
  label: string
  /** Whether it can happen now. */
  when: () => boolean
  go: () => void
}

/** Three owners, what they have sent each other, and what else they will do. */
export class Trio {
  readonly owners: Map<string, FakeOwner>
  readonly channels = new Map<string, Message[]>()
  readonly actions: Action[] = []
  readonly refs: { at: string; entry: Entry }[] = []
  readonly dead = new Set<string>()
  readonly #arguments: { at: string; to: string; entry: Entry }[] = []
  readonly #seen = new Map<string, number>()

  constructor(ids: readonly string[]) {
    this.owners = new Map(ids.map(id => [id, new FakeOwner(id)]))
  }

  /** At some time the node of that process dies, and everyone else hears of it some time later; it may have sent the last of its messages, or not. */
  dies(id: string): void {
    const go = () => {
      this.dead.add(id)
      this.owners.delete(id)
      for (const at of [NODE, ...this.owners.keys()]) this.channels.delete(at + id)
      for (const action of this.actions.filter(each => each.at === id)) this.actions.splice(this.actions.indexOf(action), 1)
      for (const ref of this.refs.filter(each => each.at === id)) this.refs.splice(this.refs.indexOf(ref), 1)
      for (const at of this.owners.keys()) this.#push(HEAD, at, { label: `${id} died`, does: () => this.#hear(at, id) })
    }
    this.actions.push({ at: '', label: `${id} dies`, when: () => true, go })
  }

  #hear(at: string, id: string): void {
    this.channels.delete(id + at)
    this.at(at).act({ is: 'nodeDied', nodeId: nodeOf(id), why: 'silence' })
    for (const argument of this.#arguments.filter(each => each.at === at && each.to === id)) this.#done(argument)
  }

  /** `at` holds the object for a task that it gives to `to`, until that has answered or is dead. Gives what to do at the answer. */
  give(at: string, to: string, entry: Entry): () => void {
    // To one that is known to be dead nothing is given.
    if (this.at(at).owner.references.isDead(to)) return () => {}
    entry.holds++
    const argument = { at, to, entry }
    this.#arguments.push(argument)
    return () => this.#done(argument)
  }

  #done(argument: { at: string; to: string; entry: Entry }): void {
    const i = this.#arguments.indexOf(argument)
    if (i < 0) return
    this.#arguments.splice(i, 1)
    this.at(argument.at).owner.references.unhold(argument.entry, [])
  }

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
    this.actions.push({ at, label: `${at} drops ${entry.owner} ${entry.seq}`, when, go })
  }

  /** A message of the application, behind what was sent before. */
  tell(from: string, to: string, label: string, does: () => void): void {
    this.#gather(from)
    this.#push(from, to, { label, does })
  }

  /** An action of `at`, once every borrow with others than `except` is known. */
  onceKnown(at: string, except: string, label: string, go: () => void): void {
    this.actions.push({ at, label, when: () => !this.at(at).owner.references.unsettledBorrows(except), go })
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
      if (this.owners.get(owner)?.owner.references.owned.has(entry.seq)) continue
      const told = entry.state === STATE.failed || this.#mayBeTold(at, owner)
      assert.ok(this.dead.size > 0 && told, `${at} has a ref, and ${owner} has freed the object`)
    }
  }

  /** Something is on its way that tells it, or leads to what does. */
  #mayBeTold(at: string, owner: string): boolean {
    return [at + owner, owner + at, HEAD + at, at + NODE, NODE + at].some(key => (this.channels.get(key)?.length ?? 0) > 0)
  }

  #deliver(key: string, message: Message): void {
    const to = key.slice(24)
    if ('does' in message) message.does()
    else if (to === NODE) this.#daemon(key.slice(0, 24), message.control)
    else this.at(to).from(key.slice(0, 24), message.control)
  }

  /** Its own daemon finds what a dead owner had in no store. */
  #daemon(from: string, message: Control): void {
    if (message.is === 'adopt') this.#push(NODE, from, { control: { is: 'adopted', ack: message.ack, missing: message.seqs } })
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
    if (this.dead.has(to)) return
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
export function everyOrder(ids: readonly string[], scenario: (trio: Trio) => void): number {
  const seen = new Set<string>()
  // The choice made at each step, and how many there were; the last that has another left is the next to change.
  let choices: { made: number; of: number }[] = []
  for (;;) {
    const replayed = choices.length
    let known = false
    const trio = new Trio(ids)
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
export function passArgument(trio: Trio, from: string, to: string, entry: Entry): void {
  const owner = entry.owner ?? from
  const done = trio.give(from, to, entry)
  trio.tell(from, to, 'argument', () => {
    trio.hold(to, trio.at(to).meet(owner, entry.seq))
    trio.onceKnown(to, from, `${to} answers`, () => trio.tell(to, from, 'answer', done))
  })
}

/** `from` answers `to` with a value that contains the ref. */
export function answerWith(trio: Trio, from: string, to: string, entry: Entry): void {
  const owner = entry.owner ?? from
  trio.at(from).owner.references.holdForCaller(to, 99, [entry])
  trio.tell(from, to, 'result', () => {
    trio.hold(to, trio.at(to).meet(owner, entry.seq))
    trio.at(to).owner.references.confirm(from, 99)
  })
}
