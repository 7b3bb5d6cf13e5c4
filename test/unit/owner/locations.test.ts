// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Effect } from '#lib/core/owner/effects.js'
import { type Entry, STATE } from '#lib/core/owner/entry.js'
import { ObjectLostError } from '#lib/errors.js'
import { nodeOf } from '#lib/ids.js'
import { limits } from '#lib/options.js'
import type { CopyMissing } from '#lib/wire/messages.js'
import { remoteWorker } from '../../fakes/cluster.js'
import { type EffectOf, FakeOwner, NODE, SELF } from '../../fakes/owner.js'

const HERE = nodeOf(SELF)
const nodeName = (i: number): string => `${i}`.repeat(10)
const daemon = (i: number): string => remoteWorker(0, nodeName(i))

function stored(fake: FakeOwner, seq = fake.owner.nextSeq(1)): Entry {
  const entry = fake.owner.stored(seq, 1000, null)
  entry.local = 1
  return entry
}

function ask(fake: FakeOwner, from: string, seq: number): EffectOf<'located'> {
  fake.act({ is: 'message', from, message: { is: 'locate', seqs: [seq] } })
  return fake.effects.filter(effect => effect.is === 'located').at(-1) as EffectOf<'located'>
}

function added(fake: FakeOwner, from: string, seq: number): void {
  fake.act({ is: 'message', from, message: { is: 'copyAdded', seqs: [seq] } })
}

function missing(fake: FakeOwner, from: string, seq: number, nodes: string[]): EffectOf<'located'> {
  const losses = fake.owner.references.owned.get(seq)?.losses ?? 0
  fake.act({ is: 'message', from, message: { is: 'copyMissing', seq, nodes, losses } })
  return fake.effects.filter(effect => effect.is === 'located').at(-1) as EffectOf<'located'>
}

/** Gives the other nodes that it is removed from. */
function drop(fake: FakeOwner, entry: Entry): string[] {
  const out: Effect[] = []
  fake.owner.unref(entry, out)
  return (out.find(effect => effect.is === 'drop') as EffectOf<'drop'>).nodes
}

suite('locations', () => {
  test('what was put is on this node, and nothing is kept of that', () => {
    const fake = new FakeOwner()
    const entry = stored(fake)
    assert.deepEqual(ask(fake, daemon(1), entry.seq).nodes, [HERE])
    assert.equal(entry.nodes, null)
    added(fake, daemon(1), entry.seq)
    assert.deepEqual(fake.owner.locations.of(entry), [HERE, nodeName(1)])
    assert.deepEqual(drop(fake, entry), [nodeName(1)])
  })

  test('a result is on the node of the worker that answered', () => {
    const fake = new FakeOwner()
    const entry = fake.owner.actorEntry(fake.owner.nextSeq(1))
    Object.assign(entry, { isActor: false, local: 1 })
    fake.owner.values.settle(entry, { form: 'stored', sizeBytes: 5, node: nodeName(3) }, [])
    assert.deepEqual(fake.owner.locations.of(entry), [nodeName(3)])
    assert.deepEqual(ask(fake, NODE, entry.seq).nodes, [nodeName(3)])
    const local = fake.owner.actorEntry(fake.owner.nextSeq(1))
    fake.owner.values.settle(local, { form: 'stored', sizeBytes: 5, node: HERE }, [])
    assert.equal(local.nodes, null)
  })

  test('a broadcast forms a tree: no copy is asked by more than a few', () => {
    const fake = new FakeOwner()
    const entry = stored(fake)
    const children = new Map<string, number>()
    for (let i = 1; i <= 8; i++) {
      const { nodes } = ask(fake, daemon(i), entry.seq)
      assert.equal(nodes.length, 1)
      const parent = nodes[0] as string
      children.set(parent, (children.get(parent) ?? 0) + 1)
    }
    assert.ok([...children.values()].every(count => count <= limits.pullsPerCopyMax))
    assert.equal(children.get(HERE), limits.pullsPerCopyMax)
  })

  test('several whole copies are named together; one that has it all serves anew', () => {
    const fake = new FakeOwner()
    const entry = stored(fake)
    for (const i of [1, 2]) {
      ask(fake, daemon(i), entry.seq)
      added(fake, daemon(i), entry.seq)
    }
    assert.deepEqual(new Set(ask(fake, daemon(3), entry.seq).nodes), new Set([HERE, nodeName(1), nodeName(2)]))
  })

  test('who asks, or is said to have none, is no source; the last one lost is the end of it', () => {
    const fake = new FakeOwner()
    const entry = stored(fake)
    ask(fake, daemon(1), entry.seq)
    added(fake, daemon(1), entry.seq)
    assert.deepEqual(ask(fake, daemon(1), entry.seq).nodes, [HERE], 'its copy was evicted')
    added(fake, daemon(1), entry.seq)
    assert.deepEqual(missing(fake, daemon(2), entry.seq, [HERE]).nodes, [nodeName(1)])
    missing(fake, daemon(2), entry.seq, [nodeName(1)])
    assert.equal(entry.state, STATE.failed)
    assert.ok(entry.error instanceof ObjectLostError)
  })

  test('who misses a copy of a value that was lost and made again since says nothing of the new one', () => {
    const fake = new FakeOwner()
    const entry = stored(fake)
    entry.losses = 1
    const late: CopyMissing = { is: 'copyMissing', seq: entry.seq, nodes: [HERE], losses: 0 }
    fake.act({ is: 'message', from: daemon(1), message: late })
    assert.equal(entry.state, STATE.stored)
    const { nodes, to } = fake.effects.filter(effect => effect.is === 'located').at(-1) as EffectOf<'located'>
    assert.deepEqual([to, nodes], [daemon(1), [HERE]], 'who said so hears where the new one is')
    fake.act({ is: 'message', from: daemon(1), message: { ...late, losses: 1 } })
    assert.equal(entry.state, STATE.failed)
  })

  test('who asks, and is where the only copy is, may have asked before it was made there: it is lost when that one says so', () => {
    const fake = new FakeOwner()
    const entry = fake.owner.actorEntry(fake.owner.nextSeq(1))
    Object.assign(entry, { isActor: false, local: 1 })
    fake.owner.values.settle(entry, { form: 'stored', sizeBytes: 5, node: nodeName(3) }, [])
    assert.deepEqual(ask(fake, daemon(3), entry.seq).nodes, [nodeName(3)])
    assert.equal(entry.losses, 0)
    assert.deepEqual(missing(fake, daemon(3), entry.seq, [nodeName(3)]).nodes, [])
    assert.notEqual(entry.state, STATE.stored)
  })

  test('who is half way hears that the last copy is lost', () => {
    const fake = new FakeOwner()
    const entry = stored(fake)
    ask(fake, daemon(1), entry.seq)
    ask(fake, daemon(2), entry.seq)
    const before = fake.effects.length
    missing(fake, daemon(3), entry.seq, [HERE])
    const told = fake.effects.slice(before).filter(effect => effect.is === 'located')
    assert.deepEqual(
      told.map(({ to }) => to),
      [daemon(1), daemon(2), daemon(3)],
    )
    assert.ok(told.every(each => each.entry?.state === STATE.failed))
  })

  test('pending is told at once, and the end of it when it comes; freed is told', () => {
    const fake = new FakeOwner()
    const [entry] = fake.submit({}).entries as [Entry]
    entry.local = 1
    ask(fake, daemon(1), entry.seq)
    const before = fake.effects.length
    fake.act({ is: 'cancel', entry, force: false, recursive: false })
    const told = fake.effects.slice(before).filter(effect => effect.is === 'located')
    assert.deepEqual(
      told.map(({ to }) => to),
      [daemon(1)],
    )
    assert.equal(ask(fake, daemon(1), 12345).entry, null)
  })

  test('what was made again where somebody waits for it moves nowhere', () => {
    const fake = new FakeOwner()
    const [entry] = fake.submit({}).entries as [Entry]
    entry.local = 1
    ask(fake, daemon(1), entry.seq)
    fake.owner.handle({ is: 'settle', entry, outcome: { form: 'stored', sizeBytes: 5, node: nodeName(1) } }, 0, fake.effects)
    assert.deepEqual((fake.effects.filter(effect => effect.is === 'located').at(-1) as EffectOf<'located'>).nodes, [nodeName(1)])
    fake.owner.invariants()
    assert.deepEqual(ask(fake, daemon(2), entry.seq).nodes, [nodeName(1)])
  })

  test('a copy that comes after the object was dropped is freed', () => {
    const fake = new FakeOwner()
    const entry = stored(fake)
    ask(fake, daemon(1), entry.seq)
    drop(fake, entry)
    added(fake, daemon(1), entry.seq)
    assert.deepEqual(fake.effects.at(-1), { is: 'free', nodes: [nodeName(1)], seqs: [entry.seq] })
  })

  test('what a node has had for a while is freed when nobody has a use for it, and known from then on otherwise', () => {
    const fake = new FakeOwner()
    const held = (seq: number): Effect[] => {
      const before = fake.effects.length
      fake.act({ is: 'message', from: daemon(1), message: { is: 'copiesHeld', seqs: [seq] } })
      return fake.effects.slice(before)
    }
    const freed = (seq: number): Effect => ({ is: 'free', nodes: [nodeName(1)], seqs: [seq] })
    // An earlier run of its task left one there.
    const entry = stored(fake)
    assert.deepEqual(held(entry.seq), [])
    assert.deepEqual(fake.owner.locations.of(entry), [HERE, nodeName(1)])
    assert.deepEqual(drop(fake, entry), [nodeName(1)])
    assert.deepEqual(held(entry.seq), [freed(entry.seq)])
    // The answer of the run that made it is on its way.
    const [pending] = fake.submit({}).entries as [Entry]
    assert.deepEqual(held(pending.seq), [])
    fake.act({ is: 'cancel', entry: pending, force: false, recursive: false })
    assert.deepEqual(held(pending.seq), [freed(pending.seq)])
  })

  test('a node that died has nothing; what only it had is lost', () => {
    const fake = new FakeOwner()
    const [both, only] = [stored(fake), stored(fake)]
    ask(fake, daemon(1), both.seq)
    added(fake, daemon(1), both.seq)
    only.nodes = new Set([nodeName(1)])
    fake.act({ is: 'nodeDied', nodeId: nodeName(1), why: 'silence' })
    assert.deepEqual(fake.owner.locations.of(both), [HERE])
    assert.equal(only.state, STATE.failed)
  })

  test('property: nobody is sent to itself, to one that gets it from itself, or to a node without any of it', () => {
    const step = fc.record({
      what: fc.constantFrom('ask', 'added', 'stopped', 'missing', 'died'),
      who: fc.integer({ min: 1, max: 6 }),
      of: fc.integer({ min: 0, max: 6 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const fake = new FakeOwner()
        const entry = stored(fake)
        const has = new Set([HERE])
        const moving = new Set<string>()
        for (const { what, who, of } of steps) {
          const node = nodeName(who)
          const other = of === 0 ? HERE : nodeName(of)
          const before = fake.effects.length
          if (what === 'ask') {
            ask(fake, daemon(who), entry.seq)
            has.delete(node)
          } else if (what === 'added' && moving.has(node)) {
            added(fake, daemon(who), entry.seq)
            moving.delete(node)
            has.add(node)
          } else if (what === 'stopped') {
            fake.act({ is: 'message', from: daemon(who), message: { is: 'copyStopped', seqs: [entry.seq] } })
            moving.delete(node)
          } else if (what === 'missing') {
            missing(fake, daemon(who), entry.seq, [other])
            for (const each of [node, other]) {
              has.delete(each)
              moving.delete(each)
            }
          } else if (what === 'died') {
            fake.act({ is: 'nodeDied', nodeId: node, why: '' })
            has.delete(node)
            moving.delete(node)
          }
          if (entry.state !== STATE.stored) {
            assert.equal(has.size, 0)
            return
          }
          for (const effect of fake.effects.slice(before)) {
            if (effect.is !== 'located') continue
            assert.ok(effect.nodes.length > 0)
            for (const source of effect.nodes) assert.ok(source !== nodeOf(effect.to) && (has.has(source) || moving.has(source)), source)
            moving.add(nodeOf(effect.to))
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})
