// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { limits } from '#lib/options.js'
import { RefusalLog } from '#lib/run/refusal-log.js'

suite('the log of refused peers', () => {
  let now = 0
  let lines: string[] = []
  let log: RefusalLog

  setup(() => {
    now = 0
    lines = []
    log = new RefusalLog(
      line => lines.push(line),
      () => now,
    )
  })

  const refusal = { why: 'another token', address: 'tcp://10.0.0.1:1', id: null }

  test('tells of each once, and after a while how often it came again', () => {
    for (let i = 0; i < 5; i++) log.refused(refusal)
    log.refused({ ...refusal, id: 'aaaaaaaaaa' })
    log.refused({ ...refusal, address: '' })
    assert.deepEqual(lines, [
      'eagleray: refused a peer at tcp://10.0.0.1:1: another token',
      'eagleray: refused node aaaaaaaaaa: another token',
      'eagleray: refused a peer: another token',
    ])
    now = limits.refusalLogMs
    log.refused(refusal)
    assert.equal(lines[3], `${lines[0]} (and 4 times more since the last of these lines)`)
  })

  test('remembers a bounded number of peers', () => {
    for (let i = 0; i <= limits.refusalsKept; i++) log.refused({ ...refusal, address: String(i) })
    const before = lines.length
    log.refused({ ...refusal, address: String(limits.refusalsKept) })
    assert.equal(lines.length, before)
    log.refused({ ...refusal, address: '0' })
    assert.equal(lines.length, before + 1, 'the oldest was forgotten')
  })
})
