// SPDX-License-Identifier: Apache-2.0
// The storm in short form. The long one: npx tsx test/storm/storm.ts --seconds 60

import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { endPrograms, runProgram } from './support.js'

suite('storm', () => {
  teardown(endPrograms)

  test('five seconds of everything at once leave nothing behind', async function () {
    this.timeout(90_000)
    const { stdout } = await runProgram(fileURLToPath(new URL('../storm/storm.ts', import.meta.url)), {
      args: ['--seconds', '5', '--seed', '7'],
    })
    assert.match(stdout, /^nothing left$/m)
    assert.match(stdout, /"nested tasks":/)
  })
})
