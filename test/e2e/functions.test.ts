// SPDX-License-Identifier: Apache-2.0
// Functions: what they capture goes with them, in every kind of module; what cannot go is named.
// The programs print one line `ok <what>` for each thing that works; `checks` lists what must be there.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { get, remote, SerializationError } from 'eagleray'
import { begin, end, endPrograms, runProgram } from './support.js'

const checks = [
  'constants',
  'helpers',
  'declared later',
  'assigned later',
  'classes',
  'static and private members',
  'subclass',
  'imports',
  'relative imports',
  'default import',
  'remote functions',
  'refs',
  'handles',
  'closures',
  'recursion',
  'mutual recursion',
  'env',
  'env wins',
  'snapshot',
  'shadowing',
  'destructuring',
  'default parameters',
  'async',
  'arrow with expression',
  'method shorthand',
  'collections',
  'typed arrays',
  'braces in strings',
  'globals',
  'typeof undeclared',
  'exported from the entry script',
  'imported by reference',
  'redefined',
  'entry script ran once',
]

function assertChecks(stdout: string, skipped: string[] = []): void {
  const done = [...stdout.matchAll(/^ok (.*)$/gm)].map(match => match[1]!)
  const failed = [...stdout.matchAll(/^not ok .*$/gm)].map(match => match[0])
  assert.deepEqual(failed, [])
  assert.deepEqual(done.sort(), checks.filter(each => !skipped.includes(each)).sort())
}

suite('functions', () => {
  teardown(endPrograms)

  test('in ECMAScript modules', async () => assertChecks((await runProgram('captures.mjs')).stdout))

  test('in CommonJS', async () => assertChecks((await runProgram('captures.cjs')).stdout, ['default import']))

  test('in TypeScript under tsx', async () => assertChecks((await runProgram('captures.ts')).stdout))

  test("in TypeScript under Node's own type stripping", async function () {
    if (!process.allowedNodeEnvironmentFlags.has('--experimental-strip-types')) return this.skip()
    assertChecks((await runProgram('captures.ts', { nodeOptions: ['--experimental-strip-types', '--no-warnings'] })).stdout)
  })
})

suite('functions that cannot travel', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('the refusal names the variable, the function, the file and the line', () => {
    const db = new Socket()
    const score = remote(function score(n: number) {
      return db.bytesRead + n
    })
    const source = readFileSync(new URL(import.meta.url), 'utf8').split('\n')
    const line = source.findIndex(text => text.includes('remote(function score')) + 1
    assert.throws(
      () => score.remote(1),
      (error: SerializationError) => {
        assert.ok(error instanceof SerializationError)
        assert.match(
          error.message,
          /captured variable `db` of remote function `score` \(.*functions\.test\.ts:\d+\): a Socket cannot be serialised/,
        )
        assert.ok(error.message.includes(`functions.test.ts:${line})`), `${error.message}; it is on line ${line}`)
        return true
      },
    )
  })

  test('the path leads to the culprit inside what is captured', () => {
    const config = { retries: 3, clients: [{ socket: new Socket() }] }
    const use = remote(() => config.clients.length)
    assert.throws(
      () => use.remote(),
      (error: SerializationError) => {
        assert.match(error.message, /`config/)
        assert.match(error.message, /clients\[0\]\.socket/)
        return true
      },
    )
    const helper = () => config.retries
    assert.throws(() => remote(() => helper()).remote(), /config/)
  })

  test('native functions and bound ones are refused, not sent broken', () => {
    assert.throws(
      () => remote(Math.max.bind(null, 1)).remote(),
      error => error instanceof SerializationError || error instanceof TypeError,
    )
  })

  test('what is not there when it is called is an error of the task, not of the worker', async () => {
    const broken = remote(() => (globalThis as unknown as { notThere(): void }).notThere())
    await assert.rejects(get(broken.remote()), /notThere/)
    assert.equal(await get(remote(() => 1).remote()), 1)
  })

  test('a relative import that the worker cannot load fails the task with the reason', async () => {
    const missing = remote(async () => {
      // @ts-expect-error: there is none
      await import('./not-there.js')
    })
    await assert.rejects(get(missing.remote()), /not-there/)
  })
})
