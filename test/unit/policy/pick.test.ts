// SPDX-License-Identifier: Apache-2.0
// Which node is picked: by example, and for random clusters against what must always hold.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { whyNot } from '#lib/core/policy/explain.js'
import type { NodeState } from '#lib/core/policy/node-state.js'
import { type Demand, feasibleNodes, pick, pickMany } from '#lib/core/policy/pick.js'
import { fits, toAmounts } from '#lib/core/resources.js'
import type { Strategy, Where } from '#lib/wire/messages.js'

function view(nodeId: string, total: Record<string, number>, used: Record<string, number> = {}, more: Partial<NodeState> = {}): NodeState {
  const available = toAmounts(total)
  for (const [name, amount] of Object.entries(toAmounts(used))) available[name] = (available[name] ?? 0) - amount
  return { nodeId, daemonId: `${nodeId}-daemon`, total: toAmounts(total), available, labels: {}, state: 'alive', ...more }
}

function demand(need: Record<string, number>, strategy: Strategy = { is: 'default' }, labels: Record<string, string> = {}): Demand {
  const amounts = toAmounts(need)
  return { need: amounts, placement: amounts, where: { strategy, labels } }
}

const at = (local: string | null, turn = 0) => ({ local, turn })
const counted = (counts: ReadonlyMap<NodeState, number>) => Object.fromEntries([...counts].map(([{ nodeId }, count]) => [nodeId, count]))

suite('picking a node', () => {
  test('DEFAULT takes the local node up to half, then others up to half, then the least used', () => {
    const views = [view('a', { CPU: 4 }), view('b', { CPU: 4 })]
    const expected = ['a', 'a', 'b', 'b', 'a', 'b', 'a', 'b']
    const free = views.map(each => ({ ...each, available: { ...each.available } }))
    for (const [turn, nodeId] of expected.entries()) {
      const picked = pick(demand({ CPU: 1 }), free, at('a', turn)) as NodeState
      assert.equal(picked.nodeId, nodeId, `pick ${turn}`)
      picked.available.CPU = (picked.available.CPU as number) - 10_000
    }
    assert.deepEqual(counted(pickMany(demand({ CPU: 1 }), 5, views, at('a')).counts), { a: 3, b: 2 })
    assert.equal(pickMany(demand({ CPU: 1 }), 9, views, at('a')).left, 1)
  })

  test('the fullest resource counts, also one that is not asked for', () => {
    const views = [view('a', { CPU: 8, memory: 100 }, { memory: 90 }), view('b', { CPU: 8, memory: 100 }, { CPU: 5 })]
    assert.equal(pick(demand({ CPU: 1 }), views, at('a'))?.nodeId, 'b')
  })

  test('what needs nothing stays here', () => {
    const views = [view('a', { CPU: 1 }), view('b', { CPU: 9 })]
    assert.deepEqual(counted(pickMany(demand({}), 20, views, at('a')).counts), { a: 20 })
  })

  test('away from home one of the best fifth is taken, not always the same', () => {
    const views = Array.from({ length: 20 }, (_, i) => view(`n${10 + i}`, { CPU: 4 }, { CPU: i < 4 ? 0 : 3 }))
    const picked = new Set(Array.from({ length: 50 }, (_, turn) => pick(demand({ CPU: 1 }), views, at(null, turn))?.nodeId))
    assert.deepEqual([...picked].sort(), ['n10', 'n11', 'n12', 'n13'])
  })

  test('SPREAD goes round, passes over what is full, and begins where its turn says', () => {
    const views = [view('a', { CPU: 2 }), view('b', { CPU: 1 }), view('c', { CPU: 4 })]
    const spread = demand({ CPU: 1 }, { is: 'spread' })
    assert.deepEqual(counted(pickMany(spread, 5, views, at('a')).counts), { a: 2, b: 1, c: 2 })
    assert.deepEqual(
      [0, 1, 2, 3].map(turn => pick(spread, views, at('a', turn))?.nodeId),
      ['a', 'b', 'c', 'a'],
    )
  })

  test('hard affinity is that node or none; soft takes another only where that one never can', () => {
    const views = [view('a', { CPU: 1 }), view('b', { CPU: 1 }, { CPU: 1 })]
    const on = (nodeId: string, soft: boolean) => demand({ CPU: 1 }, { is: 'node', nodeId, soft })
    assert.equal(pick(on('a', false), views, at('b'))?.nodeId, 'a')
    for (const soft of [false, true]) {
      const { counts, feasible } = pickMany(on('b', soft), 1, views, at('a'))
      assert.equal(counts.size, 0, 'it is busy, so it is waited for')
      assert.deepEqual(feasible, [views[1]])
    }
    assert.deepEqual(feasibleNodes(on('x', false), views), [])
    assert.equal(pick(on('x', true), views, at(null))?.nodeId, 'a')
    const draining = [view('a', { CPU: 1 }, {}, { state: 'draining' }), view('b', { CPU: 1 })]
    assert.equal(pick(on('a', true), draining, at('a'))?.nodeId, 'b')
    assert.match(whyNot(on('a', false), draining), /on the node a only, and that is being drained/)
  })

  test('labels rule nodes out for every strategy', () => {
    const views = [view('a', { CPU: 1 }, {}, { labels: { zone: 'x' } }), view('b', { CPU: 1 }, {}, { labels: { zone: 'y' } })]
    for (const strategy of [{ is: 'default' }, { is: 'spread' }, { is: 'node', nodeId: 'a', soft: true }] as const) {
      assert.equal(pick(demand({ CPU: 1 }, strategy, { zone: '!x' }), views, at('a'))?.nodeId, 'b')
    }
    assert.deepEqual(feasibleNodes(demand({}, { is: 'node', nodeId: 'a', soft: false }, { zone: 'y' }), views), [])
  })

  test('why no node can serve it says what rules them out and what they offer', () => {
    const views = [view('a', { CPU: 4 }, {}, { labels: { zone: 'x' } }), view('b', { CPU: 2, GPU: 1 })]
    assert.equal(whyNot(demand({ CPU: 8 }), views), 'needs {CPU:8}, and none of the 2 nodes has that: CPU:4 at most')
    assert.match(whyNot(demand({ CPU: 4, GPU: 1 }), views), /no node has all of it at once/)
    assert.match(whyNot(demand({ TPU: 1 }), views), /TPU:0 at most/)
    assert.match(
      whyNot(demand({ CPU: 1 }, { is: 'default' }, { zone: 'y' }), views),
      /asks for the labels {zone=y}, and no node has them: they have {zone=x}, {}/,
    )
    assert.match(
      whyNot(demand({ CPU: 8 }, { is: 'default' }, { zone: 'x' }), views),
      /of the 1 node with the labels {zone=x} has that: CPU:4/,
    )
    assert.match(
      whyNot(demand({}, { is: 'node', nodeId: 'q', soft: false }), views),
      /node q only, and that is not in the cluster; its nodes are a, b/,
    )
    assert.match(whyNot(demand({ CPU: 3 }, { is: 'node', nodeId: 'b', soft: false }), views), /of which that has {CPU:2,GPU:1} in all/)
    assert.match(whyNot(demand({}), [view('a', {}, {}, { state: 'draining' })]), /being drained/)
    assert.match(whyNot(demand({}), []), /none of the cluster is alive/)
  })
})

const amounts = fc.record({ CPU: fc.integer({ min: 0, max: 4 }), disk: fc.integer({ min: 0, max: 3 }) })
const nodes = fc
  .array(
    fc.record({
      total: amounts,
      share: fc.constantFrom(0, 0.25, 0.5, 1),
      zone: fc.constantFrom('x', 'y', null),
      state: fc.constantFrom('alive' as const, 'alive' as const, 'draining' as const, 'dead' as const),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map(all =>
    all.map(({ total, share, zone, state }, i) => {
      const used = Object.fromEntries(Object.entries(total).map(([name, amount]) => [name, Math.floor(amount * share)]))
      return view(`n${String(i).padStart(2, '0')}`, total, used, { labels: zone === null ? {} : { zone }, state })
    }),
  )
const wheres: fc.Arbitrary<Where> = fc.record({
  strategy: fc.oneof(
    fc.constant<Strategy>({ is: 'default' }),
    fc.constant<Strategy>({ is: 'spread' }),
    fc.record({ is: fc.constant('node' as const), nodeId: fc.constantFrom('n00', 'n03', 'zz'), soft: fc.boolean() }),
  ),
  labels: fc.constantFrom<Record<string, string>>({}, { zone: 'x' }, { zone: '!x' }, { zone: 'in(x,y)' }, { zone: '!in(x,y)' }),
})

suite('picking nodes, for random clusters', () => {
  test('no node is overdrawn or forbidden, nothing is left that some node could take, and every answer is the same again', () => {
    fc.assert(
      fc.property(nodes, amounts, wheres, fc.integer({ min: 1, max: 40 }), fc.nat(50), (views, need, where, count, turn) => {
        const wanted: Demand = { need: toAmounts(need), placement: toAmounts(need), where }
        const context = at(views[0]?.nodeId ?? null, turn)
        const { counts, left, feasible } = pickMany(wanted, count, views, context)
        let given = 0
        let more = 0
        for (const each of views) {
          const times = counts.get(each) ?? 0
          given += times
          assert.ok(times === 0 || feasible.includes(each), 'a node that may not have it')
          for (const name of Object.keys(wanted.need)) {
            assert.ok((wanted.need[name] as number) * times <= (each.available[name] ?? 0), 'a node is overdrawn')
          }
          const after = Object.fromEntries(
            Object.entries(each.available).map(([name, amount]) => [name, (amount as number) - times * (wanted.need[name] ?? 0)]),
          )
          if (feasible.includes(each) && fits(wanted.need, after)) more++
        }
        assert.equal(given + left, count)
        assert.ok(left === 0 || more === 0, 'something is left, and a node could take it')
        assert.deepEqual(counted(pickMany(wanted, count, views, context).counts), counted(counts))
        for (const each of feasible) {
          assert.ok(each.state === 'alive')
          if (where.strategy.is === 'node' && !where.strategy.soft) assert.equal(each.nodeId, where.strategy.nodeId)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('SPREAD gives equal idle nodes equal shares, within one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 30 }), fc.nat(20), (size, count, turn) => {
        const views = Array.from({ length: size }, (_, i) => view(`n${i}`, { CPU: 30 }))
        const { counts } = pickMany(demand({ CPU: 1 }, { is: 'spread' }), count, views, at('n0', turn))
        const shares = views.map(each => counts.get(each) ?? 0)
        assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, shares.join(' '))
      }),
    )
  })
})
