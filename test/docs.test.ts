// SPDX-License-Identifier: Apache-2.0
// Documents say nothing that the tree does not hold. Every rule is first seen to catch an offence made up for it.

import assert from 'node:assert/strict'
import * as docs from './rules/doc-rules.js'
import { repository, type Source } from './rules/source.js'

const file = (path: string, text: string): Source => ({ path, text })
const tree = [
  file('lib/core/owner/tasks.ts', 'export class Tasks {\n  submit() {}\n}\n'),
  file('package.json', '{"scripts":{"bench":"x"}}'),
]

suite('docs', () => {
  let sources: Source[] = []
  suiteSetup(() => {
    sources = repository()
  })

  test('every path and file a document names exists', () => {
    const wrong = file('docs/a.md', 'see `lib/core/gone.ts`, `gone.ts`, `lib/*/owner/gone.ts`\n')
    const right = file(
      'docs/a.md',
      'see `lib/core/owner/tasks.ts`, `tasks.ts`, `lib/core/`, `lib/*/owner/*.ts`, `n/a`\n```\n`lib/core/gone.ts`\n```\n',
    )
    assert.equal(docs.namedPaths([...tree, wrong]).length, 3)
    assert.deepEqual(docs.namedPaths([...tree, right]), [])
    assert.deepEqual(docs.namedPaths(sources), [])
  })

  test('every hop `file → function` a document names exists', () => {
    const wrong = file('docs/a.md', '1. `tasks.ts → gone`\n2. `lib/core/gone.ts → submit`\n3. `tasks.ts` → `Tasks.gone`\n')
    const right = file('docs/a.md', '1. `tasks.ts → submit`\n2. `lib/core/owner/tasks.ts` → `Tasks.submit()`\n')
    assert.equal(docs.namedHops([...tree, wrong]).length, 3)
    assert.deepEqual(docs.namedHops([...tree, right]), [])
    assert.deepEqual(docs.namedHops(sources), [])
  })

  test('every row of the table of faults names a test that exists', () => {
    const header = '| what fails | what happens | test |\n| --- | --- | --- |\n'
    const tests = [file('test/a.test.ts', "test('it holds', () => {})\n")]
    const table = (...rows: string[]) => file('docs/a.md', header + rows.map(row => `| x | y | ${row} |\n`).join(''))
    const wrong = table('none', '`test/gone.test.ts`: “it holds”', '`test/a.test.ts`: “it does not”')
    assert.equal(docs.namedTests([...tests, wrong], 'docs/a.md').length, 3)
    assert.deepEqual(docs.namedTests([...tests, table('`test/a.test.ts`: “it holds”')], 'docs/a.md'), [])
    assert.equal(docs.namedTests(tests, 'docs/a.md').length, 1)
    assert.deepEqual(docs.namedTests(sources, 'docs/fault-tolerance.md'), [])
  })

  test('every link resolves', () => {
    const wrong = file('docs/a.md', '[a](gone.md) [b](../lib/gone.ts) [c](#nothing)\n')
    const right = file('docs/a.md', '# Some `thing` here\n[a](a.md) [b](../lib/core/) [c](#some-thing-here) [d](https://example.org/x)\n')
    assert.equal(docs.links([...tree, wrong]).length, 3)
    assert.deepEqual(docs.links([...tree, right]), [])
    assert.deepEqual(docs.links(sources), [])
  })

  test('every script a document names exists', () => {
    assert.equal(docs.scripts([...tree, file('README.md', 'npm run gone')]).length, 1)
    assert.deepEqual(docs.scripts([...tree, file('README.md', 'npm run bench')]), [])
    assert.deepEqual(docs.scripts(sources), [])
  })

  test('the README gives the command that CI runs', () => {
    const ci = sources.find(({ path }) => path === '.ci/run')?.text ?? ''
    const readme = sources.find(({ path }) => path === 'README.md')?.text ?? ''
    const command = /\{ (npm ci && npm test); \}/.exec(ci)?.[1]
    assert.ok(command, '.ci/run runs one command line')
    assert.ok(
      readme.split('\n').some(line => line.trim() === command),
      `README.md gives \`${command}\` on a line of its own`,
    )
    assert.ok(
      readme.split('\n').some(line => line.trim() === 'npm ci && npm start'),
      'README.md gives the main job on a line of its own',
    )
  })
})
