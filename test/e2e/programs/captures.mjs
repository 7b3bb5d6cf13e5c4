// SPDX-License-Identifier: Apache-2.0
// What functions capture, in an ECMAScript module. Prints `ok <what>` for each that arrives as it should.

import assert from 'node:assert/strict'
import path, { basename } from 'node:path'
import { get, init, put, remote, shutdown } from 'eagleray'
import { base, Scaled, scale } from './captured.mjs'

if (globalThis.entryScriptRan) throw new Error('ran twice in one process')
globalThis.entryScriptRan = true

const FACTOR = 3
const pattern = /^a+$/
// biome-ignore lint/suspicious/noTemplateCurlyInString: what is tested
const text = 'a } b ${c} `d` // e'
const lookup = new Map([['k', new Set([1, 2])]])
const table = Float64Array.from({ length: 5000 }, (_, i) => i)
const helper = n => n * FACTOR
let counter = 1
const {
  left,
  right: [first],
} = { left: 1, right: [2, 3] }

class Shape {
  static sides = 4
  #name = 'shape'
  name() {
    return `${this.#name}${Shape.sides}`
  }
}
class Square extends Shape {
  name() {
    return `square of ${super.name()}`
  }
}
class Counter {
  n = FACTOR
  add(by) {
    return (this.n += helper(by))
  }
}

function isEven(n) {
  return n === 0 || isOdd(n - 1)
}
function isOdd(n) {
  return n !== 0 && isEven(n - 1)
}
const factorial = n => (n < 2 ? 1 : n * factorial(n - 1))

export function exported(n) {
  return n + FACTOR
}

const check = async (what, actual, expected) => {
  try {
    assert.deepEqual(await actual(), expected)
    console.log(`ok ${what}`)
  } catch (error) {
    console.log(`not ok ${what}: ${error.message.split('\n').slice(0, 6).join(' | ')}`)
  }
}
const run = (fn, ...args) => get(remote(fn).remote(...args))

await init({ address: 'local', numCpus: 2, objectStoreBytes: 64 << 20 })
await check('constants', () => run(() => [FACTOR, pattern.test('aaa')]), [3, true])
await check('helpers', () => run(n => helper(n) + 1, 2), 7)
await check('declared later', () => run(n => later(n), 1), 101)
const useAssigned = remote(() => assigned(1))
const assigned = n => n + 200
await check('assigned later', () => get(useAssigned.remote()), 201)
await check('classes', () => run(() => new Shape().name()), 'shape4')
await check('static and private members', () => run(n => Shape.sides + n, 1), 5)
await check('subclass', () => run(() => new Square().name()), 'square of shape4')
await check('imports', () => run(p => basename(p), '/a/b'), 'b')
await check('relative imports', () => run(n => [scale(n), new Scaled(n).value(), base], 2), [20, 20, 10])
await check('default import', () => run(p => path.posix.join(p, 'c'), 'a'), 'a/c')
const inner = remote(n => n + 1)
await check('remote functions', () => run(async () => get(inner.remote(1))), 2)
const ref = put([7])
await check('refs', () => run(async () => (await get(ref))[0]), 7)
const actor = remote(Counter).remote()
await check('handles', () => run(() => get(actor.add.remote(1))), 6)
const adder = by => n => n + by
await check('closures', () => run(adder(5), 1), 6)
await check('recursion', () => run(factorial, 5), 120)
await check('mutual recursion', () => run(isEven, 10), true)
await check('env', () => get(remote(n => n + given, { env: { given: 4 } }).remote(1)), 5)
await check('env wins', () => get(remote(n => n + FACTOR, { env: { FACTOR: 40 } }).remote(1)), 41)
const snapshot = remote(() => counter)
await get(snapshot.remote())
counter = 2
await check('snapshot', () => get(snapshot.remote()), 1)
await check('shadowing', () => run(helper => helper * 2, 4), 8)
await check('destructuring', () => run(() => left + first), 3)
await check('default parameters', () => run((n, by = FACTOR) => n * by, 2), 6)
await check('async', () => run(async n => (await Promise.resolve(n)) + FACTOR, 1), 4)
await check('arrow with expression', () => run(n => ({ n, FACTOR }), 1), { n: 1, FACTOR: 3 })
const shorthand = {
  async triple(n) {
    return n * FACTOR
  },
  'odd name'(n) {
    return -n
  },
}
await check('method shorthand', async () => [await run(shorthand.triple, 2), await run(shorthand['odd name'], 2)], [6, -2])
await check('collections', () => run(() => [...lookup.get('k')]), [1, 2])
await check('typed arrays', () => run(() => table.reduce((a, b) => a + b)), (5000 * 4999) / 2)
await check('braces in strings', () => run(() => `${text} }`), `${text} }`)
await check('globals', () => run(() => [typeof fetch, typeof Buffer, typeof structuredClone, Math.max(1, 2)]), [
  'function',
  'function',
  'function',
  2,
])
await check('typeof undeclared', () => run(() => typeof thereIsNone), 'undefined')
await check('exported from the entry script', () => run(exported, 1), 4)
await check('imported by reference', () => run(scale, 3), 30)
let redefined = remote(() => 'old')
const old = redefined.remote()
redefined = remote(() => 'new')
await check('redefined', () => get([old, redefined.remote()]), ['old', 'new'])
await check('entry script ran once', () => run(() => globalThis.entryScriptRan), undefined)
await shutdown()

function later(n) {
  return n + 100
}
