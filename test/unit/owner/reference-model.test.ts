// SPDX-License-Identifier: Apache-2.0
// Reference counting against the plainest model of it: an object is there exactly while somebody has a reason to want it.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Entry } from '#lib/core/owner/entry.js'
import type { Task } from '#lib/core/owner/task.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { FakeOwner, SELF } from '../../fakes/owner.js'

const PEERS = [20, 21, 22].map(workerIdOf)

interface Modelled {
  entry: Entry
  locals: number
  borrowers: Set<string>
  inside: Modelled[]
  pending: boolean
}

const kinds = [
  'put',
  'wrap',
  'ref',
  'ref',
  'unref',
  'unref',
  'unref',
  'lend',
  'return',
  'return',
  'task',
  'finish',
  'finish',
  'promise',
  'keep',
  'keep',
  'die',
] as const
const step = fc.record({ is: fc.constantFrom(...kinds), a: fc.nat(30), b: fc.nat(30) })

/** The objects, and all that is inside of them. */
function contents(...objects: Modelled[]): Set<Modelled> {
  const found = new Set<Modelled>()
  const visit = (object: Modelled): void => {
    if (found.has(object)) return
    found.add(object)
    object.inside.forEach(visit)
  }
  objects.forEach(visit)
  return found
}

class Model {
  readonly fake = new FakeOwner()
  readonly objects: Modelled[] = []
  readonly tasks: { task: Task; holds: Modelled[] }[] = []
  promises: { to: string; task: number; object: Modelled }[] = []
  readonly deaths = new Set<string>()
  #next = 0

  /** What somebody outside still wants, and all that is inside of that. */
  reachable(): Set<Modelled> {
    const wanted = this.objects.filter(object => object.locals > 0 || object.borrowers.size > 0 || object.pending)
    return contents(...wanted, ...this.tasks.flatMap(({ holds }) => holds), ...this.promises.map(({ object }) => object))
  }

  run(is: (typeof kinds)[number], a: number, b: number): void {
    const { fake } = this
    const alive = [...this.reachable()].filter(each => is !== 'unref' || each.locals > 0)
    const object = alive[a % Math.max(1, alive.length)]
    const peer = PEERS[b % PEERS.length] as string
    if (is === 'put') this.add(fake.put(), [])
    else if (is === 'finish') this.finish(a, alive[b % Math.max(1, alive.length)])
    else if (is === 'keep') {
      const [promise] = this.promises.splice(a % Math.max(1, this.promises.length), 1)
      if (promise === undefined) return
      this.promises = this.promises.filter(each => each.task !== promise.task)
      fake.from(promise.to, { is: 'returnsHeld', tasks: [promise.task] })
    } else if (is === 'die') {
      for (const each of this.objects) each.borrowers.delete(peer)
      this.promises = this.promises.filter(each => each.to !== peer)
      fake.die(peer)
    } else if (object !== undefined) this.on(is, object, alive[b % alive.length] as Modelled, peer)
  }

  on(is: (typeof kinds)[number], object: Modelled, other: Modelled, peer: string): void {
    const { fake } = this
    const { seq } = object.entry
    if (is === 'wrap')
      this.add(fake.put([object, other].map(each => ({ owner: SELF, seq: each.entry.seq, isActor: false }))), [object, other])
    else if (is === 'ref') {
      assert.equal(fake.meet(SELF, seq), object.entry)
      object.locals++
    } else if (is === 'unref' && object.locals > 0) {
      object.locals--
      fake.unref(object.entry)
    } else if (is === 'lend' && !this.dead(peer)) {
      object.borrowers.add(peer)
      fake.from(peer, { is: 'borrow', ack: this.#next++, seqs: [seq] })
      assert.deepEqual(fake.sent('borrowed').at(-1)?.missing, [])
    } else if (is === 'return') {
      object.borrowers.delete(peer)
      fake.from(peer, { is: 'unborrow', seqs: [seq] })
    } else if (is === 'task') {
      const task = fake.submit({ args: [object.entry], nested: [other.entry] })
      this.tasks.push({ task, holds: [object, other] })
      this.objects.push({ entry: task.entries[0]!, locals: 1, borrowers: new Set(), inside: [], pending: true })
    } else if (is === 'promise' && !this.dead(peer)) {
      const task = 1_000_000 + this.#next++
      fake.owner.references.holdForCaller(peer, task, [object.entry])
      this.promises.push({ to: peer, task, object })
    }
  }

  /** A task that is ready answers with a value that contains `inner`. */
  finish(which: number, inner: Modelled | undefined): void {
    const ready = this.tasks.filter(({ task }) => task.unresolved === 0)
    const done = ready[which % Math.max(1, ready.length)]
    if (done === undefined) return
    if (done.task.lane === null) this.fake.grant(workerIdOf(40 + this.#next++))
    if (done.task.lane === null) return
    const result = this.objects.find(each => each.entry === done.task.entries[0]) as Modelled
    // A value that contains itself would live for ever; a task that ends cannot have the ref of such a container.
    const inside = inner === undefined || contents(inner).has(result) ? [] : [inner]
    this.fake.reply(done.task, { contained: [inside.map(each => ({ owner: SELF, seq: each.entry.seq, isActor: false }))] })
    result.pending = false
    result.inside = inside
    this.tasks.splice(this.tasks.indexOf(done), 1)
  }

  add(entry: Entry, inside: Modelled[]): void {
    this.objects.push({ entry, locals: 1, borrowers: new Set(), inside, pending: false })
  }

  dead(peer: string): boolean {
    return this.deaths.has(peer)
  }

  check(): void {
    const expected = new Set([...this.reachable()].map(each => each.entry.seq))
    assert.deepEqual(new Set(this.fake.owner.references.owned.keys()), expected)
    const dropped = this.fake.all('drop').map(each => each.entry)
    assert.equal(new Set(dropped).size, dropped.length, 'dropped twice')
  }
}

suite('reference counting against a model', () => {
  test('property: an object is there exactly while somebody wants it', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 150, size: 'max' }), steps => {
        const model = new Model()
        for (const { is, a, b } of steps) {
          if (is === 'die') model.deaths.add(PEERS[b % PEERS.length] as string)
          model.run(is, a, b)
          model.check()
        }
      }),
      { numRuns: 150 },
    )
  })

  test('property: what is borrowed is given back exactly once after the last ref is gone, however often refs come and go', () => {
    const event = fc.oneof(fc.constantFrom('meet', 'meet', 'drop', 'drop', 'flush', 'answer'), fc.constant('finish'))
    fc.assert(
      fc.property(fc.array(fc.record({ is: event, seq: fc.integer({ min: 1, max: 3 }), owner: fc.nat(1) }), { maxLength: 60 }), events => {
        const fake = new FakeOwner()
        const refs: Entry[] = []
        const answer = () => {
          for (const { to, message } of fake.news('send'))
            if (message.is === 'borrow') fake.from(to, { is: 'borrowed', ack: message.ack, missing: [] })
        }
        for (const { is, seq, owner } of events) {
          if (is === 'meet') refs.push(fake.meet(PEERS[owner] as string, seq))
          else if (is === 'drop') fake.unref(...refs.splice(0, 1))
          else if (is === 'flush') fake.flush()
          else answer()
          balanced(fake)
        }
        fake.unref(...refs)
        for (let i = 0; i < 2; i++) {
          fake.flush()
          answer()
        }
        fake.flush()
        balanced(fake)
        assert.ok(fake.owner.atRest)
      }),
      { numRuns: 200 },
    )
  })
})

/** At each owner, borrows and their ends alternate; every entry at rest is given back. */
function balanced(fake: FakeOwner): void {
  const lent = new Set<string>()
  for (const { to, message } of fake.all('send')) {
    if (message.is !== 'borrow' && message.is !== 'unborrow') continue
    for (const seq of message.seqs) {
      assert.equal(lent.has(`${to} ${seq}`), message.is === 'unborrow', `${message.is} of ${seq}`)
      if (message.is === 'borrow') lent.add(`${to} ${seq}`)
      else lent.delete(`${to} ${seq}`)
    }
  }
  if (fake.owner.atRest) assert.equal(lent.size, 0)
}
