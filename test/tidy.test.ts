// SPDX-License-Identifier: Apache-2.0
// The rules of the repository, held as tests. Every rule is first seen to catch an offence made up for it.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { unprovokedErrors } from './rules/error-rules.js'
import * as imports from './rules/import-rules.js'
import { codeOnly, repository, root, type Source } from './rules/source.js'
import * as tidy from './rules/tidy-rules.js'

type Rule = (sources: Source[]) => string[]

interface Case {
  name: string
  rule: Rule
  /** What the rule must catch, and how often. */
  offending: Source[]
  offences?: number
  /** What looks alike and must pass. */
  innocent: Source[]
}

const file = (path: string, text: string): Source => ({ path, text })
const longBody = (lines: number): string => 'x()\n'.repeat(lines)

const cases: Case[] = [
  {
    name: 'every source file begins with the licence line',
    rule: tidy.licenceLines,
    offending: [file('lib/a.ts', 'export {}\n')],
    innocent: [file('bindings/a.mjs', '#!/usr/bin/env node\n// SPDX-License-Identifier: Apache-2.0\n'), file('README.md', '# a')],
  },
  {
    name: 'files stay short',
    rule: tidy.fileLengths,
    offending: [file('lib/a.ts', longBody(501)), file('test/a.test.ts', longBody(801))],
    offences: 2,
    innocent: [file('test/a.test.ts', longBody(800)), file('docs/a.md', longBody(900))],
  },
  {
    name: 'functions stay short',
    rule: tidy.functionLengths,
    offending: [
      file('lib/a.ts', `export function a(b: number): Map<string, number> {\n${longBody(70)}}\n`),
      file('lib/b.ts', `const b = async () => {\n${longBody(70)}}\n`),
      file('native/c.cc', `Status Store::put(Id id) const noexcept {\n${longBody(70)}}\n`),
    ],
    offences: 3,
    innocent: [
      file('lib/a.ts', `class A {\n${longBody(90)}}\n`),
      file('lib/b.ts', `if (a) {\n${longBody(90)}}\n`),
      file('test/c.test.ts', `suite('c', () => {\n${longBody(90)}})\n`),
      file('lib/d.ts', `const s = '=> {'\n${longBody(90)}`),
    ],
  },
  {
    name: 'the top level holds only what is agreed',
    rule: tidy.allowedTopLevel,
    offending: [file('src/a.ts', '')],
    innocent: [file('.ci/run', ''), file('lib/a.ts', '')],
  },
  {
    name: 'cores import cores, messages, ids, errors and options only',
    rule: imports.coreImports,
    offending: [
      file(
        'lib/core/owner/a.ts',
        "import { x } from '../../io/mesh.js'\nimport fs from 'node:fs'\nimport type { Y } from '../../native.js'\nexport * from 'acorn'\n",
      ),
    ],
    offences: 4,
    innocent: [
      file(
        'lib/core/owner/a.ts',
        "import {\n  x,\n} from '../../wire/messages.js'\nimport { y } from '../assert.js'\n// import 'node:fs'\n",
      ),
    ],
  },
  {
    name: 'Node’s modules are imported at the edges only',
    rule: imports.nodeImports,
    offending: [file('lib/wire/a.ts', "import { Buffer } from 'node:buffer'\n")],
    innocent: [file('lib/io/a.ts', "import { Buffer } from 'node:buffer'\n")],
  },
  {
    name: 'cores know no clock, randomness, timers, collection or promises',
    rule: tidy.coreCalls,
    offending: [file('lib/core/a.ts', 'const t = Date.now()\nconst r = Math.random()\nsetTimeout(f)\nnew WeakRef(o)\nawait p\n')],
    offences: 5,
    innocent: [file('lib/core/a.ts', "// Date, await\nconst s = 'Math.random'\n"), file('lib/io/a.ts', 'await Date.now()\n')],
  },
  {
    name: 'imports name files that exist',
    rule: imports.brokenImports,
    offending: [file('lib/a.ts', "const u = new URL('./run/gone.js', import.meta.url)\n")],
    innocent: [file('lib/a.ts', "import './b.js'\n"), file('lib/b.ts', '')],
  },
  {
    name: 'imports make no cycles',
    rule: imports.importCycles,
    offending: [
      file('lib/a.ts', "import { b } from './b.js'\n"),
      file('lib/b.ts', "import { c } from './c.js'\n"),
      file('lib/c.ts', "import { a } from './a.js'\n"),
    ],
    innocent: [
      file('lib/a.ts', "import { b } from './b.js'\n"),
      file('lib/b.ts', "import type { A } from './a.js'\nnew URL('./a.js', import.meta.url)\n"),
    ],
  },
  {
    name: 'no file of lib is dead',
    rule: sources => imports.deadFiles(sources, entryPoints()),
    offending: [file('lib/index.ts', "import './a.js'\n"), file('lib/a.ts', ''), file('lib/b.ts', "import './a.js'\n")],
    innocent: [file('lib/index.ts', "new URL('./run/worker.js', import.meta.url)\n"), file('lib/run/worker.ts', '')],
  },
  {
    name: 'every core has a unit test',
    rule: imports.untestedCores,
    offending: [file('lib/core/a.ts', 'export class A {}\n')],
    innocent: [
      file('lib/core/a.ts', 'export class A {}\n'),
      file('lib/core/b.ts', 'export interface B {}\n'),
      file('test/unit/core/a.test.ts', "import { A } from '#lib/core/a.js'\n"),
    ],
  },
  {
    name: 'no C++ file is dead',
    rule: tidy.deadNative,
    offending: [file('native/a.cc', ''), file('native/b.h', '')],
    offences: 2,
    innocent: [file('native/sources.txt', 'native/a.cc\n'), file('native/a.cc', '#include "b.h"\n'), file('native/b.h', '')],
  },
  {
    name: 'nothing names one machine or a registry',
    rule: tidy.machinePathsAndHosts,
    offending: [file('docs/a.md', `see /${'work'}/main`), file('package-lock.json', `https://${'registry'}.${'npmjs'}.org/a.tgz`)],
    offences: 2,
    innocent: [file('docs/a.md', 'the network of workers, /dev/shm')],
  },
  {
    name: 'nothing is left unfinished',
    rule: tidy.unfinishedWork,
    offending: [file('lib/a.ts', `// ${'TO'}DO later\n`)],
    innocent: [file('lib/a.ts', '// todos\n')],
  },
  {
    name: 'no test is switched off',
    rule: tidy.narrowedTests,
    offending: [file('test/a.test.ts', "test.only('a', f)\n"), file('test/b.test.ts', 'this.skip()\n')],
    offences: 2,
    innocent: [file('test/a.test.ts', "// test.only\ntest('test.skip', f)\nif (!has) return this.skip()\n")],
  },
]

/** The files behind package.json's exports and binaries. */
function entryPoints(): string[] {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { default: string }>
    bin?: Record<string, string>
  }
  const exported = Object.values(manifest.exports).map(target => (typeof target === 'string' ? target : target.default))
  return [...exported, ...Object.values(manifest.bin ?? {})].map(path =>
    path.replace(/^\.\/dist\/(bundle\/)?/, 'lib/').replace(/\.js$/, '.ts'),
  )
}

suite('tidy', () => {
  let sources: Source[] = []
  suiteSetup(() => {
    sources = repository()
    assert.ok(sources.length > 50, 'the repository was listed')
  })

  for (const { name, rule, offending, offences = 1, innocent } of cases) {
    test(name, () => {
      assert.equal(rule(offending).length, offences, `the rule catches what it is for: ${rule(offending).join('; ')}`)
      assert.deepEqual(rule(innocent), [], 'the rule lets pass what only looks alike')
      assert.deepEqual(rule(sources), [])
    })
  }

  test('every error is provoked by a test, or is known to be raised by nothing yet', () => {
    const made = [
      file(
        'lib/errors.ts',
        ['NamedError', 'DiskError', 'OtherError', 'MadeError', 'RightError']
          .map(name => `export class ${name} extends Error {}\n`)
          .join(''),
      ),
      file('test/e2e/a.test.ts', "// instanceof NamedError\nimport { NamedError } from 'e'\nassert.ok(!(error instanceof OtherError))\n"),
      file('test/e2e/b.test.ts', 'await assert.rejects(get(ref), DiskError)\nassert.ok(error instanceof errors.RightError)\n'),
      file('test/unit/codec/a.test.ts', 'assert.ok(error instanceof MadeError)\n'),
    ]
    const offences = unprovokedErrors(made, { DiskError: 'disks', GoneError: 'never was' }).map(each => each.split(':')[0])
    assert.deepEqual(offences, ['GoneError', 'NamedError', 'DiskError', 'OtherError', 'MadeError'])
    assert.deepEqual(unprovokedErrors(sources), [])
  })

  test('blanking comments and strings keeps every offset', () => {
    const text = ["const a = 'it''s' // b {", 'const r = /[/\'"]{2}/g /* } */', '`$' + '{x}`', ''].join('\n')
    const code = codeOnly(text)
    assert.equal(code.length, text.length)
    assert.equal(code.split('\n').length, text.split('\n').length)
    assert.ok(!/[{}'"`]/.test(code), code)
  })
})
