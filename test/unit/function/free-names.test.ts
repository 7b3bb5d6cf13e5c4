// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { nodeIn, nodesIn } from '#lib/codec/function/ast.js'
import { freeNames } from '#lib/codec/function/free-names.js'
import { parseSource } from '#lib/codec/function/parse.js'

function free(code: string): ReturnType<typeof freeNames> {
  return freeNames(nodeIn(nodesIn(parseSource(`(${code})`, true), 'body')[0]!, 'expression')!)
}

const names = (code: string): string => [...free(code).names].join(' ')

const cases: [what: string, code: string, expected: string][] = [
  ['parameters', '(a, { b, c: [d], ...e }, ...f) => [a, b, c, d, e, f, g]', 'c g'],
  ['defaults and computed keys', '(a = x, { [y]: b = z } = w) => a', 'x y z w'],
  ['defaults do not see the body', '(a = x) => { var x = 1; return x }', 'x'],
  ['let, const and class of a block', '() => { { let a; const b = 1; class C {} } return [a, b, C] }', 'a b C'],
  ['var of a block', '() => { { var a } return a }', ''],
  ['functions of a block', '() => { f(); { function f() {} } }', ''],
  ['use before declaration', '() => { f(); a; function f() {} let a }', ''],
  ['own name', 'function f() { return f + g }', 'g'],
  ['catch', '() => { try { t } catch ({ message, code: c }) { return message + c + code } }', 't code'],
  ['catch without parameter', '() => { try { t } catch { return e } }', 't e'],
  ['for', '() => { for (let i = 0, n = m; i < n; i++) i; return i }', 'm i'],
  ['for of and for in', '() => { for (const a of b) a; for (const k in o) k; for (x of y) x }', 'b o x y'],
  ['switch', '() => { switch (s) { case t: let a; a; break; default: a } return a }', 's t a'],
  ['labels', '() => { out: for (;;) { if (a) continue out; break out } }', 'a'],
  ['members and keys', '() => ({ a: b.c, d, [e]: f?.g, h() { return i }, get j() { return k } })', 'b d e f i k'],
  ['assignment', '() => { a = 1; [b, c.d] = e; ({ f, g: h } = i) }', 'a b c e f h i'],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
  ['templates and tags', '() => a`x${b}y`', 'a b'],
  [
    'class',
    'class A extends Outer { [k] = v; static s = t; #p = q; m(x) { return x + A + this.#p + n } static { var w; w + u } }',
    'k v t q n u',
  ],
  ['inner class', '() => class A extends B { m() { return A } }', 'B'],
  ['destructuring', '() => { const { a, b: { c = d }, ...e } = f; return [a, c, e, b] }', 'd f b'],
  ['arguments', 'function f() { return () => arguments }', ''],
  ['typeof and undefined names', '() => typeof nowhere', 'nowhere'],
  ['new.target and import.meta', 'function f() { return [new.target, import.meta.url] }', ''],
  ['optional calls and spread', '() => a?.(...b)?.[c]', 'a b c'],
  ['async and generators', 'async function* f(a) { for await (const x of a) yield* g(await h(x)) }', 'g h'],
]

suite('free names', () => {
  for (const [what, code, expected] of cases) {
    test(`of ${what}`, () => {
      assert.equal(names(code), expected)
    })
  }

  test('what is taken from around without a name', () => {
    assert.equal(free('() => this').outerThis, true)
    assert.equal(free('function f() { return () => this }').outerThis, false)
    assert.equal(free('() => class { x = this }').outerThis, false)
    assert.equal(free('() => class { [this.x] = 1 }').outerThis, true)
    assert.equal(free('() => ({ m() { return super.m() } })').outerSuper, false)
    assert.equal(free('() => function () { return this }').outerThis, false)
    assert.deepEqual(free('() => import.meta').importMeta, [7])
  })

  test('what a class needs while it is defined', () => {
    const { eager, keys } = free('class { static a = b; static { c() } [d]() { return e } f = g; static h = () => i }')
    assert.deepEqual([...eager].sort(), ['b', 'c', 'd'])
    assert.deepEqual([...keys], ['d'])
  })

  test('declaring a name at the top of a function takes it out, and only it', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd')
    const piece = fc.oneof(
      name.map(n => `${n};`),
      name.map(n => `{ let ${n} = 1; ${n} }`),
      name.map(n => `(${n} => ${n} + a)(b);`),
      name.map(n => `for (const ${n} of [c]) ${n};`),
      name.map(n => `try { d } catch (${n}) { ${n} }`),
      name.map(n => `({ ${n}, m(${n}) { return ${n} } });`),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), name, (pieces, declared) => {
        const without = [...free(`() => { ${pieces.join(' ')} }`).names].filter(n => n !== declared)
        assert.deepEqual([...free(`() => { ${pieces.join(' ')} var ${declared} }`).names].sort(), without.sort())
      }),
    )
  })
})
