// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { BugError, assert as hold } from '#lib/core/assert.js'
import { add, describeAmounts, fits, fromAmounts, STEPS, subtract, toAmounts } from '#lib/core/resources.js'
import { isObjectId, nodeOf, objectId, ownerOf, seqOf, slotOf } from '#lib/ids.js'
import { workerIdOf } from '../../fakes/cluster.js'

const names = fc.constantFrom('CPU', 'GPU', 'memory', 'objectStoreMemory', 'disk')
const resources = fc.dictionary(
  names,
  fc.integer({ min: 0, max: 2 ** 30 }).map(n => n / STEPS),
  { noNullPrototype: true },
)

suite('resources', () => {
  test('counts go in steps, bytes in whole bytes, and nothing of nothing', () => {
    assert.deepEqual(toAmounts({ CPU: 0.5, memory: 1e9 + 0.9, GPU: 0, disk: 0.00004 }), { CPU: 5000, memory: 1e9 })
    assert.deepEqual(fromAmounts({ CPU: 5000, memory: 7 }), { CPU: 0.5, memory: 7 })
  })

  test('property: counts survive the way there and back', () => {
    fc.assert(
      fc.property(resources, each => {
        const counts = Object.fromEntries(
          Object.entries(each).filter(([name, value]) => !name.toLowerCase().includes('memory') && value > 0),
        )
        assert.deepEqual(fromAmounts(toAmounts(counts)), counts)
      }),
    )
  })

  test('property: what was taken and given back in any order sums to the total again', () => {
    fc.assert(
      fc.property(fc.array(resources), all => {
        const total = toAmounts({ CPU: 3.3, memory: 12_345 })
        const left = { ...total }
        for (const each of all) subtract(left, toAmounts(each))
        for (const each of all.reverse()) add(left, toAmounts(each))
        for (const name of Object.keys(left)) assert.equal(left[name], total[name] ?? 0)
      }),
    )
  })

  test('property: what fits leaves nothing below zero, and what does not would', () => {
    fc.assert(
      fc.property(resources, resources, (have, want) => {
        const left = toAmounts(have)
        const need = toAmounts(want)
        const fitted = fits(need, left)
        subtract(left, need)
        assert.equal(
          fitted,
          Object.values(left).every(amount => amount >= 0),
        )
      }),
    )
  })

  test('equal amounts are described equally', () => {
    assert.equal(describeAmounts({ GPU: 5000, CPU: 10_000, memory: 9 }), 'CPU:1,GPU:0.5,memory:9')
    assert.equal(describeAmounts({ memory: 9, CPU: 10_000, GPU: 5000 }), 'CPU:1,GPU:0.5,memory:9')
  })
})

suite('ids', () => {
  test('property: an object’s id names its owner and number, and a process’s its node and slot', () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), fc.nat(511), (seq, slot) => {
        const owner = workerIdOf(slot)
        const id = objectId(owner, seq)
        assert.ok(isObjectId(id))
        assert.deepEqual([ownerOf(id), seqOf(id), slotOf(owner), nodeOf(owner)], [owner, seq, slot, 'aaaaaaaaaa'])
      }),
    )
    for (const text of ['', 'x'.repeat(40), 'A'.repeat(40), 'a'.repeat(41), `${'a'.repeat(40)}\n`]) assert.equal(isObjectId(text), false)
  })
})

suite('assert', () => {
  test('a broken invariant is our bug', () => {
    hold(true, 'holds')
    assert.throws(
      () => hold(0, 'one is one'),
      (error: Error) => error instanceof BugError && error.message === 'eagleray bug: one is one',
    )
  })
})
