// SPDX-License-Identifier: Apache-2.0
// Where the bundles of a group go: by example, and against a search of all assignments.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { bundlesPossible, placeBundles } from '#lib/core/policy/bundles.js'
import { whyNoBundles } from '#lib/core/policy/explain.js'
import type { NodeState } from '#lib/core/policy/node-state.js'
import { add, fits, toAmounts } from '#lib/core/resources.js'
import type { Amounts, GroupStrategy } from '#lib/wire/messages.js'

function view(nodeId: string, total: Record<string, number>, more: Partial<NodeState> = {}): NodeState {
  const amounts = toAmounts(total)
  return { nodeId, daemonId: nodeId, total: amounts, available: amounts, labels: {}, state: 'alive', ...more }
}

const unplaced = (...bundles: Record<string, number>[]) => new Map(bundles.map((each, index) => [index, toAmounts(each)]))

function place(
  bundles: Record<string, number>[],
  strategy: GroupStrategy,
  views: NodeState[],
  taken: string[] = [],
): Record<number, string> | null {
  const placed = placeBundles(unplaced(...bundles), strategy, views, new Set(taken))
  return placed === null ? null : Object.fromEntries([...placed].map(([index, { nodeId }]) => [index, nodeId]))
}

const two = [view('a', { CPU: 2 }), view('b', { CPU: 2 })]

suite('placing bundles', () => {
  test('PACK fills one node before the next, SPREAD takes each in turn', () => {
    assert.deepEqual(Object.values(place([{ CPU: 1 }, { CPU: 1 }], 'PACK', two) ?? {}), ['a', 'a'])
    assert.deepEqual(new Set(Object.values(place([{ CPU: 1 }, { CPU: 1 }], 'SPREAD', two) ?? {})).size, 2)
    assert.equal(new Set(Object.values(place([{ CPU: 2 }, { CPU: 1 }], 'PACK', two) ?? {})).size, 2, 'a wish, not a condition')
    assert.notEqual(place([{ CPU: 1 }, { CPU: 1 }, { CPU: 1 }], 'SPREAD', two), null)
  })

  test('why they would not fit if nothing ran', () => {
    const why = (bundles: Record<string, number>[], strategy: GroupStrategy, taken = 0): string =>
      whyNoBundles(unplaced(...bundles), strategy, two, taken)
    assert.equal(why([{ CPU: 1 }, { CPU: 3 }], 'PACK'), 'its bundle {CPU:3} fits none of the 2 nodes: CPU:2 at most')
    assert.match(
      why([{ CPU: 2 }, { CPU: 1 }], 'STRICT_PACK'),
      /^its bundles need {CPU:3} on one node, and none of the 2 nodes has that: CPU:2/,
    )
    assert.equal(why([{ CPU: 1 }], 'STRICT_SPREAD', 2), 'its 3 bundles need a node each, and there are 2 nodes')
    assert.equal(
      why([{ CPU: 2 }, { CPU: 2 }, { CPU: 1 }], 'SPREAD'),
      'its bundles need {CPU:5} together, and the 2 nodes have {CPU:4} in all',
    )
    assert.match(why([{ CPU: 1.5 }, { CPU: 1.5 }, { CPU: 1 }], 'PACK'), /not all of them at once on the 2 nodes/)
    assert.equal(
      whyNoBundles(unplaced({ CPU: 1 }), 'PACK', [view('a', { CPU: 2 }, { state: 'draining' })], 0),
      'no node is there that takes new work',
    )
  })

  test('STRICT_PACK is one node or none, STRICT_SPREAD no node twice', () => {
    assert.deepEqual(Object.values(place([{ CPU: 1 }, { CPU: 1 }], 'STRICT_PACK', two) ?? {}), ['a', 'a'])
    assert.equal(place([{ CPU: 2 }, { CPU: 1 }], 'STRICT_PACK', two), null)
    assert.equal(place([{ CPU: 1 }, { CPU: 1 }, { CPU: 1 }], 'STRICT_SPREAD', two), null)
  })

  test('the hardest goes first: each finds the node that only it needs', () => {
    const views = [view('gpu', { CPU: 1, GPU: 1 }), view('small', { CPU: 1 }), view('big', { CPU: 2 })]
    const expected = { 0: 'small', 1: 'big', 2: 'gpu' }
    for (const strategy of ['PACK', 'SPREAD', 'STRICT_SPREAD'] as const) {
      assert.deepEqual(place([{ CPU: 1 }, { CPU: 2 }, { CPU: 1, GPU: 1 }], strategy, views), expected, strategy)
    }
  })

  test('dead and draining nodes get none', () => {
    const views = [view('a', { CPU: 2 }, { state: 'dead' }), view('b', { CPU: 2 }, { state: 'draining' })]
    assert.equal(place([{ CPU: 1 }], 'PACK', views), null)
  })

  test('lost bundles stay apart from those that live, or go to them', () => {
    const three = [...two, view('c', { CPU: 2 })]
    assert.deepEqual(place([{ CPU: 1 }], 'STRICT_SPREAD', three, ['a', 'b']), { 0: 'c' })
    assert.equal(place([{ CPU: 1 }], 'STRICT_SPREAD', two, ['a', 'b']), null)
    assert.deepEqual(place([{ CPU: 1 }], 'PACK', three, ['b']), { 0: 'b' })
    assert.deepEqual(place([{ CPU: 1 }], 'STRICT_PACK', three, ['b']), { 0: 'b' })
  })

  test('what fits an idle cluster is possible though not now', () => {
    const busy = two.map(each => ({ ...each, available: {} }))
    assert.equal(place([{ CPU: 1 }], 'PACK', busy), null)
    assert.equal(bundlesPossible(unplaced({ CPU: 2 }, { CPU: 2 }), 'PACK', busy), true)
    assert.equal(bundlesPossible(unplaced({ CPU: 3 }), 'PACK', busy), false)
  })
})

/** Whether any assignment is allowed, by trying all. */
function exists(bundles: Amounts[], strategy: GroupStrategy, views: NodeState[]): boolean {
  const chosen: NodeState[] = []
  const search = (): boolean => {
    if (chosen.length === bundles.length) return allowed(bundles, strategy, chosen)
    return views.some(each => {
      chosen.push(each)
      const found = search()
      chosen.pop()
      return found
    })
  }
  return search()
}

function allowed(bundles: Amounts[], strategy: GroupStrategy, chosen: readonly NodeState[]): boolean {
  const nodes = new Set(chosen)
  if (strategy === 'STRICT_PACK' && nodes.size > 1) return false
  if (strategy === 'STRICT_SPREAD' && nodes.size < chosen.length) return false
  for (const each of nodes) {
    const sum: Amounts = {}
    for (const [i, need] of bundles.entries()) if (chosen[i] === each) add(sum, need)
    if (!fits(sum, each.available)) return false
  }
  return true
}

suite('placing bundles, for random clusters', () => {
  const some = fc.record({ CPU: fc.integer({ min: 0, max: 3 }), GPU: fc.integer({ min: 0, max: 1 }) })
  const sizes = { nodes: fc.array(some, { minLength: 1, maxLength: 4 }), bundles: fc.array(some, { minLength: 1, maxLength: 4 }) }
  for (const strategy of ['PACK', 'SPREAD', 'STRICT_PACK', 'STRICT_SPREAD'] as const) {
    test(`${strategy}: what is placed is allowed, and strict ones are placed whenever they can be`, () => {
      fc.assert(
        fc.property(sizes.nodes, sizes.bundles, (totals, needs) => {
          const views = totals.map((total, i) => view(`n${i}`, total))
          const bundles = needs.map(toAmounts)
          const placed = placeBundles(new Map(bundles.map((each, i) => [i, each])), strategy, views)
          if (placed !== null) {
            const chosen = bundles.map((_, i) => placed.get(i) as NodeState)
            assert.ok(allowed(bundles, strategy, chosen), 'not allowed')
          } else if (strategy.startsWith('STRICT')) assert.equal(exists(bundles, strategy, views), false, 'it could be placed')
        }),
        { numRuns: 1000 },
      )
    })
  }
})
