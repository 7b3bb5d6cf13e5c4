// SPDX-License-Identifier: Apache-2.0
// What each form of a label selector selects.

import assert from 'node:assert/strict'
import { describeLabels, NODE_ID_LABEL, selector, termProblem } from '#lib/core/policy/labels.js'

const node = (labels: Record<string, string>, nodeId = 'aaaaaaaaaa') => ({ nodeId, labels })

suite('label selectors', () => {
  const cases: [term: string, a: boolean, c: boolean, without: boolean][] = [
    ['a', true, false, false],
    ['!a', false, true, true],
    ['in(a,b)', true, false, false],
    ['in(b, a)', true, false, false],
    ['!in(a,b)', false, true, true],
  ]
  for (const [term, a, c, without] of cases) {
    test(`${term} of nodes with "a", "c" and without the label`, () => {
      const selects = selector({ zone: term })
      assert.deepEqual([selects(node({ zone: 'a' })), selects(node({ zone: 'c' })), selects(node({ other: 'a' }))], [a, c, without])
    })
  }

  test('all terms must hold, and no terms hold of every node', () => {
    const both = selector({ zone: 'a', disk: '!slow' })
    assert.equal(both(node({ zone: 'a' })), true)
    assert.equal(both(node({ zone: 'a', disk: 'slow' })), false)
    assert.equal(both(node({ disk: 'fast' })), false)
    assert.equal(selector({})(node({})), true)
  })

  test('the id of a node is a label of it', () => {
    assert.equal(selector({ [NODE_ID_LABEL]: 'in(aaaaaaaaaa,x)' })(node({})), true)
    assert.equal(selector({ [NODE_ID_LABEL]: '!aaaaaaaaaa' })(node({})), false)
  })

  test('a label that every object inherits is not there', () => {
    assert.equal(selector({ toString: '!x' })(node({})), true)
    assert.equal(selector({ constructor: 'x' })(node({})), false)
  })

  test('what is no term is told', () => {
    for (const good of ['a', '!a-b_c.d/e', 'in(a)', '!in(a,b)', 'in(a, b)']) assert.equal(termProblem(good), null, good)
    for (const bad of ['', '!', 'a b', 'in()', 'in(a', '!!a', 'in(a,)', 'a,b', '!in(,)']) assert.notEqual(termProblem(bad), null, bad)
  })

  test('equal selectors have one text', () => {
    assert.equal(describeLabels({ b: '!x', a: 'in(y)' }), describeLabels({ a: 'in(y)', b: '!x' }))
  })
})
