// SPDX-License-Identifier: Apache-2.0
// Placement groups in two phases, exhaustively: every order of messages, with deaths of nodes, restarts of the head,
// removals and tasks in between. All bundles of a group serve, or nothing is held for it.

import assert from 'node:assert/strict'
import { BundleWorld, type Expected, everyCourse, specOf, type Trouble } from './bundle-world.js'

const A = 'aaaaaaaaaa'
const B = 'bbbbbbbbbb'
const C = 'cccccccccc'
const NONE: Trouble = { kills: [], restarts: 0, removals: [], tasks: [] }
const G = 'g'.padEnd(40, '0')
const H = 'h'.padEnd(40, '0')

function states(
  totals: Record<string, number>,
  groups: Parameters<typeof specOf>[],
  trouble: Partial<Trouble>,
  expected: Expected = () => 'created',
): number {
  return everyCourse(
    () =>
      new BundleWorld(
        totals,
        groups.map(each => specOf(...each)),
        { ...NONE, ...trouble },
      ),
    expected,
  )
}

suite('bundles in two phases, in every order', () => {
  test('a group over two nodes', () => {
    assert.ok(states({ [A]: 1, [B]: 1 }, [[G, 'STRICT_SPREAD', [1, 1]]], {}) > 5)
  })

  test('two groups that both want all there is: one is there, the other waits and holds nothing', () => {
    const groups: Parameters<typeof specOf>[] = [
      [G, 'SPREAD', [1, 1]],
      [H, 'SPREAD', [1, 1]],
    ]
    assert.ok(
      states({ [A]: 1, [B]: 1 }, groups, { removals: [G] }, (id, removed) => (id === G || removed.has(G) ? 'created' : 'pending')) > 10,
    )
  })

  test('a node is killed, and a third one takes what it had', () => {
    assert.ok(states({ [A]: 1, [B]: 1, [C]: 1 }, [[G, 'STRICT_SPREAD', [1, 1]]], { kills: [A] }) > 20)
  })

  test('the head is restarted', () => {
    assert.ok(states({ [A]: 1, [B]: 1 }, [[G, 'STRICT_SPREAD', [1, 1]]], { restarts: 1 }) > 20)
  })

  test('a node refuses, because a task was faster', () => {
    assert.ok(states({ [A]: 2, [B]: 1, [C]: 1 }, [[G, 'PACK', [1, 1]]], { tasks: [A, B] }) > 20)
  })

  test('it is removed, and the head is restarted', () => {
    assert.ok(states({ [A]: 1, [B]: 1 }, [[G, 'SPREAD', [1, 1]]], { removals: [G], restarts: 1 }) > 50)
  })

  test('a node is killed, a task is faster, and the head is restarted', () => {
    const trouble = { kills: [B], tasks: [A], restarts: 1 }
    assert.ok(states({ [A]: 1, [B]: 1, [C]: 2 }, [[G, 'SPREAD', [1, 1]]], trouble) > 200)
  })

  test('two groups, a removal and a death', () => {
    const groups: Parameters<typeof specOf>[] = [
      [G, 'STRICT_SPREAD', [1, 1]],
      [H, 'PACK', [1]],
    ]
    const trouble = { kills: [A], removals: [H] }
    assert.ok(states({ [A]: 1, [B]: 2, [C]: 2 }, groups, trouble) > 100)
  })
})
