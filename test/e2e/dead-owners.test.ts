// SPDX-License-Identifier: Apache-2.0
// A process that began after an owner had died still learns that its objects are lost.

import assert from 'node:assert/strict'
import { get, type ObjectRef, OwnerDiedError, put, remote } from 'eagleray'
import { begin, end } from './support.js'

suite('dead owners', () => {
  suiteSetup(() => begin({ numCpus: 1 }))
  suiteTeardown(end)

  test('a ref of one that died before its reader began fails, and does not hang', async () => {
    const make = remote(() => ({ ref: put(new Uint8Array(10)), pid: process.pid }))
    const made = await get(make.remote())
    process.kill(made.pid, 'SIGKILL')
    await assert.rejects(
      get(
        remote(() => process.kill(process.pid, 'SIGKILL'))
          .options({ maxRetries: 0 })
          .remote(),
      ),
    )
    const read = remote(async ({ ref }: { ref: ObjectRef<Uint8Array> }) => {
      try {
        return (await get(ref)).length
      } catch (error) {
        return (error as Error).name
      }
    })
    assert.equal(await get(read.remote({ ref: made.ref }), { timeoutMs: 10_000 }), OwnerDiedError.name)
  })
})
