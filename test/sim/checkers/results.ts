// SPDX-License-Identifier: Apache-2.0
// Checker: a program comes out as it would run straight through. Where processes are killed, what they owned may be lost,
// so a result may fail; but none may be another.

import assert from 'node:assert/strict'
import type { Tree } from '../program.js'

export function checkResult(actual: Tree, expected: Tree, mayFail: boolean): void {
  if (!mayFail) return assert.deepEqual(actual, expected, 'results: not what the program gives run straight through')
  if (actual === null) return
  if (expected === null) throw new Error('results: there is a value where the program fails')
  assert.deepEqual([actual.n, actual.refs.length], [expected.n, expected.refs.length], 'results: another value')
  for (const [i, each] of actual.refs.entries()) checkResult(each, expected.refs[i] as Tree, true)
}
