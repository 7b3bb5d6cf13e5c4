// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { textAt } from '#lib/cli/table.js'

suite('what a row has at a path', () => {
  const row = {
    state: 'alive',
    labels: { zone: 'a', 'k8s.io/rack.2': '7', k8s: { 'io/rack': { 3: 'x' } } },
    bundles: [{ CPU: 1 }],
    none: null,
  }

  test('a dot leads into a field', () => {
    assert.equal(textAt(row, 'state'), 'alive')
    assert.equal(textAt(row, 'labels.zone'), 'a')
    assert.equal(textAt(row, 'bundles.0.CPU'), '1')
    assert.equal(textAt(row, 'none'), 'null')
  })

  test('names may have dots themselves: the longest that leads to something', () => {
    assert.equal(textAt(row, 'labels.k8s.io/rack.2'), '7')
    assert.equal(textAt(row, 'labels.k8s.io/rack.3'), 'x')
    assert.equal(textAt({ 'a.b': { c: 1 }, a: { b: { c: 2, d: 3 } } }, 'a.b.c'), '1')
    assert.equal(textAt({ 'a.b': { c: 1 }, a: { b: { c: 2, d: 3 } } }, 'a.b.d'), '3')
  })

  test('nothing where there is nothing, also not what all objects have', () => {
    for (const path of ['', '.', 'labels.', 'labels.none', 'none.x', 'state.length', 'toString', 'labels.constructor.name', 'x.y'])
      assert.equal(textAt(row, path), undefined, path)
  })
})
