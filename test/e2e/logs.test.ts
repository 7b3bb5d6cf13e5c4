// SPDX-License-Identifier: Apache-2.0
// What workers write comes to the driver's terminal, whole lines with the name and process that wrote them.

import assert from 'node:assert/strict'
import { endPrograms, runProgram } from './support.js'

/** Fails with the lines but those of the flood. */
function has(output: string, pattern: RegExp): void {
  if (!pattern.test(output)) assert.fail(`no ${pattern} in\n${output.replaceAll(/^.*line \d+\n/gm, '')}`)
}

suite('logs', () => {
  teardown(endPrograms)

  test('output is prefixed by name and pid, on the stream it was written to', async () => {
    const { stdout, stderr } = await runProgram('logs.mjs')
    const [, pid] = stdout.match(/^\(speak pid=(\d+)\) hello$/m)!
    assert.ok(Number(pid) > 0)
    has(stdout, new RegExp(`^\\(speak pid=${pid}\\) two$\\n^\\(speak pid=${pid}\\) lines$`, 'm'))
    has(stderr, /^\(speak pid=\d+\) to stderr$/m)
    has(stdout, /^\(named task pid=\d+\) hello$/m)
    has(stdout, /^\(Speaker pid=\d+\) from an actor$/m)
    assert.equal([...stdout.matchAll(/^\(flood pid=\d+\) line \d+$/gm)].length, 2000, 'none is lost')
    has(stdout, /^\(last pid=\d+\) without a line end$/m)
    has(stderr, /^\(dying pid=\d+\) last words$/m)
    has(stdout, /^from the driver$/m)
    has(stderr, /nobody looked.*unread/)
    assert.doesNotMatch(stderr, /handled/, 'an error that somebody saw')
  })

  test('logToDriver: false keeps it away', async () => {
    const { stdout, stderr } = await runProgram('logs.mjs', { args: ['quiet'] })
    assert.doesNotMatch(stdout + stderr, /pid=/)
    has(stdout, /^from the driver$/m)
  })
})
