// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { mock } from 'node:test'
import { Timeout } from '#lib/run/timeout.js'

const LONGEST_MS = 2 ** 31 - 1

suite('time limits', () => {
  setup(() => mock.timers.enable({ apis: ['setTimeout'] }))
  teardown(() => mock.timers.reset())

  function started(ms: number): { timeout: Timeout; expired: () => number } {
    let count = 0
    const timeout = new Timeout(ms, () => count++)
    return { timeout, expired: () => count }
  }

  test('expire once, when it is time', () => {
    const { expired } = started(50)
    mock.timers.tick(49)
    assert.equal(expired(), 0)
    mock.timers.tick(1000)
    assert.equal(expired(), 1)
  })

  test('may be longer than a timer of Node can be', () => {
    const { expired } = started(2 * LONGEST_MS + 10)
    mock.timers.tick(LONGEST_MS)
    mock.timers.tick(LONGEST_MS)
    mock.timers.tick(9)
    assert.equal(expired(), 0)
    mock.timers.tick(1)
    assert.equal(expired(), 1)
  })

  test('Infinity never expires, and neither does what was cleared', () => {
    const never = started(Number.POSITIVE_INFINITY)
    const cleared = started(2 * LONGEST_MS)
    mock.timers.tick(LONGEST_MS)
    cleared.timeout.clear()
    mock.timers.tick(LONGEST_MS)
    mock.timers.tick(LONGEST_MS)
    assert.deepEqual([never.expired(), cleared.expired()], [0, 0])
    never.timeout.clear()
  })
})
