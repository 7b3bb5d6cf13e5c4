// SPDX-License-Identifier: Apache-2.0
// Objects of dead owners: kept as long as somebody borrows them, here or on another node, and removed after that.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Adoption, type AdoptionEffect, type AdoptionEvent } from '#lib/core/node/adoption.js'
import { objectId, seqOf } from '#lib/ids.js'
import { limits } from '#lib/options.js'
import type { Control } from '#lib/wire/messages.js'
import { remoteWorker, workerIdOf } from '../../fakes/cluster.js'

const [OWNER, A, B] = [10, 11, 12].map(workerIdOf) as [string, string, string]
const NODE_B = 'bbbbbbbbbb'
const NODE_C = 'cccccccccc'
const id = (seq: number, owner = OWNER) => objectId(owner, seq)

class Fake {
  now = 0
  readonly adoption = new Adoption()
  readonly effects: AdoptionEffect[] = []

  act(event: AdoptionEvent): void {
    this.adoption.handle(event, this.now, this.effects)
    this.adoption.invariants()
  }

  dies(who = OWNER, processes: string[] = [A, B], others: string[] = []): void {
    this.act({ is: 'died', id: who, processes, isAlone: others.length === 0 })
  }

  adopt(from: string, seqs: number[], has: number[], others: string[] | null = [], owner = OWNER): void {
    this.act({ is: 'adopt', from, ack: 1, owner, seqs, has, others })
  }

  sent(to: string): Control[] {
    return this.effects.flatMap(each => (each.is === 'sendToNode' && each.to === to ? [each.message] : []))
  }

  /** What processes were told, with the numbers of what is missing. */
  told(to: string): { ack: number; missing: number[] }[] {
    return this.effects.flatMap(each =>
      each.is === 'adopted' && each.to === to ? [{ ack: each.ack, missing: each.missing.map(seqOf) }] : [],
    )
  }

  get sweeps(): number {
    return this.effects.filter(each => each.is === 'sweep').length
  }
}

suite('adoption', () => {
  test('nothing goes before every process has said what it borrows; then only what nobody does', () => {
    const fake = new Fake()
    fake.dies()
    assert.ok(fake.adoption.keeps(id(1)))
    fake.adopt(A, [1, 2], [1])
    assert.deepEqual(fake.told(A), [{ ack: 1, missing: [2] }])
    fake.act({ is: 'mourned', from: A, id: OWNER })
    assert.ok(fake.adoption.keeps(id(3)), 'B has not been heard')
    fake.act({ is: 'mourned', from: B, id: OWNER })
    assert.deepEqual(
      [1, 2, 3].map(seq => fake.adoption.keeps(id(seq))),
      [true, false, false],
    )
    const before = fake.sweeps
    fake.act({ is: 'disown', from: A, owner: OWNER, seqs: [1] })
    assert.ok(!fake.adoption.keeps(id(1)))
    assert.equal(fake.sweeps, before + 1)
    assert.equal(fake.adoption.size, 0)
  })

  test('one that dies borrows and mourns no more', () => {
    const fake = new Fake()
    fake.dies()
    fake.adopt(A, [1], [1])
    fake.act({ is: 'mourned', from: A, id: OWNER })
    fake.dies(B, [A])
    assert.ok(fake.adoption.keeps(id(1)))
    assert.ok(!fake.adoption.keeps(id(2)))
    fake.act({ is: 'mourned', from: A, id: B })
    fake.dies(A, [])
    assert.equal(fake.adoption.size, 0)
  })

  test('what is not here is claimed from other nodes, and the answer waits for the first that has it, or the last that has not', () => {
    const fake = new Fake()
    fake.dies(OWNER, [A], [NODE_B, NODE_C])
    fake.adopt(A, [1, 2, 3], [3], [NODE_B, NODE_C])
    const claim = { is: 'claim', owner: OWNER, seqs: [1, 2] }
    assert.deepEqual([fake.sent(NODE_B), fake.sent(NODE_C)], [[claim], [claim]])
    fake.act({ is: 'claimed', from: NODE_B, owner: OWNER, seqs: [1, 2], kept: [[1, 500]] })
    assert.deepEqual(fake.sent(A), [])
    fake.act({ is: 'claimed', from: NODE_C, owner: OWNER, seqs: [1, 2], kept: [] })
    assert.deepEqual(fake.told(A), [{ ack: 1, missing: [2] }])
    assert.deepEqual(fake.adoption.where(id(1)), [[NODE_B, 500]])
    fake.act({ is: 'disown', from: A, owner: OWNER, seqs: [1, 3] })
    assert.deepEqual(fake.sent(NODE_B)[1], { is: 'unclaim', owner: OWNER, seqs: [1] })
    // One that says late that it has a copy is told that it need not keep it.
    fake.act({ is: 'claimed', from: NODE_C, owner: OWNER, seqs: [1], kept: [[1, 500]] })
    assert.deepEqual(fake.sent(NODE_C)[1], { is: 'unclaim', owner: OWNER, seqs: [1] })
  })

  test('a copy that comes here is kept here, and nowhere else for this node', () => {
    const fake = new Fake()
    fake.dies(OWNER, [A], [NODE_B])
    fake.adopt(A, [1], [], [NODE_B])
    assert.ok(fake.adoption.isOpen(id(1)))
    fake.act({ is: 'claimed', from: NODE_B, owner: OWNER, seqs: [1], kept: [[1, 500]] })
    fake.act({ is: 'here', id: id(1) })
    fake.act({ is: 'here', id: id(9) })
    assert.deepEqual(fake.sent(NODE_B)[1], { is: 'unclaim', owner: OWNER, seqs: [1] })
    assert.deepEqual(fake.adoption.where(id(1)), [])
    assert.deepEqual(
      fake.effects.filter(each => each.is === 'keep'),
      [{ is: 'keep', id: id(1) }],
    )
    fake.act({ is: 'mourned', from: A, id: OWNER })
    fake.now = limits.adoptionGraceMs
    fake.act({ is: 'tick' })
    assert.deepEqual([fake.adoption.keeps(id(1)), fake.adoption.isOpen(id(2))], [true, false])
  })

  test('a node that dies is waited for no more, and claims nothing', () => {
    const fake = new Fake()
    fake.dies(OWNER, [], [NODE_B, NODE_C])
    fake.adopt(A, [1], [], [NODE_B])
    fake.act({ is: 'claim', from: NODE_C, owner: OWNER, seqs: [7], has: [[7, 10]] })
    assert.ok(fake.effects.some(each => each.is === 'keep' && each.id === id(7)))
    fake.dies(NODE_B, [], [NODE_C])
    assert.deepEqual(fake.told(A), [{ ack: 1, missing: [1] }])
    fake.now += limits.adoptionGraceMs
    fake.act({ is: 'tick' })
    assert.ok(fake.adoption.keeps(id(7)))
    fake.dies(NODE_C, [])
    assert.equal(fake.adoption.size, 0)
  })

  test('other nodes have some time to claim what they may borrow', () => {
    const fake = new Fake()
    fake.dies(OWNER, [], [NODE_B])
    assert.ok(fake.adoption.keeps(id(1)))
    assert.equal(fake.adoption.deadline(), limits.adoptionGraceMs)
    fake.now = limits.adoptionGraceMs
    fake.act({ is: 'tick' })
    assert.ok(!fake.adoption.keeps(id(1)))
    assert.equal(fake.adoption.deadline(), null)
  })

  test('the death of a node keeps what its processes owned, until all have said what they borrow of it', () => {
    const fake = new Fake()
    const far = remoteWorker(5)
    fake.dies(NODE_B, [A])
    assert.ok(fake.adoption.keeps(id(1, far)))
    fake.adopt(A, [1], [1], [], far)
    fake.act({ is: 'mourned', from: A, id: NODE_B })
    assert.deepEqual([fake.adoption.keeps(id(1, far)), fake.adoption.keeps(id(2, far))], [true, false])
  })

  test('property: an object that is here stays exactly while somebody may still borrow it, and every question is answered', () => {
    const kinds = ['adopt', 'adopt', 'disown', 'mourn', 'claim', 'unclaim', 'claimed', 'met', 'tick', 'die', 'nodeDies'] as const
    const step = fc.record({ is: fc.constantFrom(...kinds), a: fc.nat(3), seq: fc.nat(3), flag: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), steps => {
        const fake = new Fake()
        const processes = [20, 21, 22, 23].map(workerIdOf)
        const nodes = new Set([NODE_B, NODE_C])
        const mourners = new Set(processes)
        const holders = new Map<string, Set<number>>()
        const asked = new Map<string, number>()
        fake.dies(OWNER, processes, [...nodes])
        for (const { is, a, seq, flag } of steps) {
          const process = processes[a % Math.max(1, processes.length)]
          const node = [...nodes][a % Math.max(1, nodes.size)]
          if (is === 'adopt' && process !== undefined) {
            // Even numbers are here.
            fake.adopt(process, [seq], seq % 2 === 0 ? [seq] : [], flag ? [...nodes] : null)
            if (seq % 2 === 0) holders.set(process, (holders.get(process) ?? new Set()).add(seq))
            asked.set(process, (asked.get(process) ?? 0) + 1)
          } else if (is === 'disown' && process !== undefined) {
            fake.act({ is: 'disown', from: process, owner: OWNER, seqs: [seq] })
            holders.get(process)?.delete(seq)
          } else if (is === 'mourn' && process !== undefined) {
            fake.act({ is: 'mourned', from: process, id: OWNER })
            mourners.delete(process)
          } else if (is === 'claim' && node !== undefined) {
            fake.act({ is: 'claim', from: node, owner: OWNER, seqs: [seq], has: seq % 2 === 0 ? [[seq, 1]] : [] })
            if (seq % 2 === 0) holders.set(node, (holders.get(node) ?? new Set()).add(seq))
          } else if (is === 'unclaim' && node !== undefined) {
            fake.act({ is: 'unclaim', from: node, owner: OWNER, seqs: [seq] })
            holders.get(node)?.delete(seq)
          } else if (is === 'claimed' && node !== undefined) {
            fake.act({ is: 'claimed', from: node, owner: OWNER, seqs: [seq], kept: flag ? [[seq, 1]] : [] })
          } else if (is === 'met') {
            fake.act({ is: 'met', others: [...nodes] })
          } else if (is === 'tick') {
            fake.now += limits.adoptionGraceMs
            fake.act({ is: 'tick' })
          } else if (is === 'die' && process !== undefined && processes.length > 1) {
            processes.splice(processes.indexOf(process), 1)
            mourners.delete(process)
            holders.delete(process)
            fake.dies(process, [], [])
          } else if (is === 'nodeDies' && node !== undefined) {
            nodes.delete(node)
            holders.delete(node)
            fake.dies(node, [], [])
          }
          const free = mourners.size === 0 && fake.now > 0
          for (const each of [0, 2]) {
            const held = [...holders.values()].some(set => set.has(each))
            assert.equal(fake.adoption.keeps(id(each)), held || !free, `object ${each}`)
          }
        }
        fake.act({ is: 'met', others: [...nodes] })
        for (const node of nodes) for (const seq of [1, 3]) fake.act({ is: 'claimed', from: node, owner: OWNER, seqs: [seq], kept: [] })
        for (const each of processes) assert.equal(fake.told(each).length, asked.get(each) ?? 0)
        for (const each of processes) fake.act({ is: 'disown', from: each, owner: OWNER, seqs: [0, 1, 2, 3] })
      }),
    )
  })
})
