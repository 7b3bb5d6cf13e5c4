// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { constants } from 'node:buffer'
import { checkViewable } from '#lib/codec/view-limit.js'

suite('codec: how much Node can view', () => {
  test('what fits passes, and what does not is a RangeError that says why and what to do', () => {
    checkViewable('put()', 4096, 4096)
    checkViewable('put()', constants.MAX_LENGTH)
    assert.throws(
      () => checkViewable('put()', 4097, 4096),
      (error: Error) => error instanceof RangeError && /put\(\).* 4097 .* at most 4096 .* Node 22/.test(error.message),
    )
    assert.throws(() => checkViewable('create()', constants.MAX_LENGTH + 4096), RangeError)
  })
})
