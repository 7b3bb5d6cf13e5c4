// SPDX-License-Identifier: Apache-2.0
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such texts are what is tested

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { expandVariables, inherit } from '#lib/core/environment.js'
import { excluder } from '#lib/core/excludes.js'
import type { Environment } from '#lib/wire/messages.js'

/** The text itself as its hash, so that equality of keys is equality of texts. */
const make = (own: Parameters<typeof inherit>[1], parent: Environment | null = null): Environment | null =>
  inherit(parent, own, text => text)

suite('runtime environments as values', () => {
  test('nothing, and fields that say nothing, are the empty environment', () => {
    assert.equal(make(null), null)
    assert.equal(make({}), null)
    assert.equal(make({ envVars: {}, npm: { packages: [] }, preload: [], nodeOptions: [], excludes: [] }), null)
    assert.equal(make({ npm: { packages: [], registry: 'https://registry.example' } }), null)
  })

  test('equal environments have one key, whatever the order in which they were written', () => {
    const one = make({ envVars: { A: '1', B: '2' }, npm: { packages: ['x', 'y'] }, workingDir: '/d', excludes: ['a', 'b'] })
    const two = make({ workingDir: '/d', npm: { packages: ['y', 'x', 'y'] }, excludes: ['b', 'a'], envVars: { B: '2', A: '1' } })
    assert.deepEqual(one, two)
  })

  test('every field tells environments apart; the order of preload and nodeOptions counts', () => {
    const all = [
      { envVars: { A: '1' } },
      { envVars: { A: '2' } },
      { envVars: { B: '1' } },
      { workingDir: '/a' },
      { workingDir: '/b' },
      { workingDir: '/a', excludes: ['x'] },
      { npm: { packages: ['x'] } },
      { npm: { packages: ['x'], registry: 'https://registry.example' } },
      { preload: ['a', 'b'] },
      { preload: ['b', 'a'] },
      { nodeOptions: ['-a', '-b'] },
      { nodeOptions: ['-b', '-a'] },
    ]
    assert.equal(new Set(all.map(each => make(each)?.key)).size, all.length)
  })

  test('a child overrides field by field, and its variables join those of its parent', () => {
    const parent = make({
      envVars: { A: '1', B: '1' },
      workingDir: '/a',
      excludes: ['x'],
      preload: ['p'],
      npm: { packages: ['x'], registry: 'r' },
    })
    const child = make({ envVars: { B: '2', C: '2' }, workingDir: '/b', npm: { packages: ['y'] } }, parent)
    assert.deepEqual(child?.envVars, { A: '1', B: '2', C: '2' })
    assert.deepEqual([child?.workingDir, child?.excludes, child?.preload], ['/b', ['x'], ['p']])
    assert.deepEqual([child?.packages, child?.registry], [['y'], null])
    assert.deepEqual(make({ preload: [] }, parent)?.preload, [])
  })

  test('a child that gives nothing of its own has its parent’s environment', () => {
    const parent = make({ envVars: { A: '1' } })
    assert.equal(make(null, parent), parent)
    assert.deepEqual(make({}, parent), parent)
  })

  test('${NAME} is the parent’s value where the parent sets it, else what the worker starts with', () => {
    const parent = make({ envVars: { LIST: 'a', HOME_OF: '${HOME}' } })
    const child = make({ envVars: { LIST: '${LIST}:b', OTHER: '${LIST}-${PATH}-${HOME_OF}' } }, parent)
    assert.deepEqual(child?.envVars, { HOME_OF: '${HOME}', LIST: 'a:b', OTHER: 'a-${PATH}-${HOME}' })
    const base: Record<string, string> = { PATH: '/bin', HOME: '/me' }
    assert.equal(
      expandVariables('${PATH}:${HOME}/x:${NONE}$HOME${1}', name => base[name]),
      '/bin:/me/x:$HOME${1}',
    )
  })

  test('excludes need a directory', () => {
    assert.throws(() => make({ excludes: ['x'] }), RangeError)
    assert.doesNotThrow(() => make({ excludes: ['x'] }, make({ workingDir: '/d' })))
  })

  test('property: inheriting is associative in what it overrides, and idempotent', () => {
    const fields = fc.record(
      {
        envVars: fc.dictionary(
          fc.constantFrom('A', 'B', 'C'),
          fc.string({ maxLength: 3 }).map(text => text.replaceAll('$', '')),
        ),
        workingDir: fc.constantFrom('/a', '/b'),
        preload: fc.array(fc.constantFrom('x', 'y'), { maxLength: 2 }),
        nodeOptions: fc.array(fc.constantFrom('-x', '-y'), { maxLength: 2 }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(fields, fields, (first, second) => {
        const merged = { ...first, ...second, envVars: { ...first.envVars, ...second.envVars } }
        assert.deepEqual(make(second, make(first)), make(merged))
        assert.deepEqual(make(second, make(second, make(first))), make(second, make(first)))
      }),
    )
  })
})

suite('excludes', () => {
  const cases: [pattern: string, excluded: string[], kept: string[]][] = [
    ['*.log', ['a.log', 'd/e/a.log'], ['a.logs', 'log', 'a.log.txt']],
    ['build/', ['build/', 'd/build/'], ['build', 'builds/']],
    ['/data', ['data', 'data/'], ['d/data']],
    ['a/b.txt', ['a/b.txt'], ['d/a/b.txt', 'a/bxtxt']],
    ['**/tmp/*', ['tmp/x', 'd/tmp/x'], ['tmp', 'tmp/x/y', 'dtmp/x']],
    ['docs/**', ['docs/a', 'docs/a/b'], ['docs', 'd/docs/a']],
    ['./x?z', ['xyz', 'x.z'], ['xz', 'xyyz', 'd/xyz']],
    ['(a)+[b]', ['(a)+[b]'], ['aab']],
  ]
  for (const [pattern, excluded, kept] of cases) {
    test(pattern, () => {
      const isExcluded = excluder([pattern])
      const ask = (path: string): boolean => isExcluded(path.replace(/\/$/, ''), path.endsWith('/'))
      for (const path of excluded) assert.ok(ask(path), `${path} is left out`)
      for (const path of kept) assert.ok(!ask(path), `${path} is kept`)
    })
  }
})
