// SPDX-License-Identifier: Apache-2.0
// A borrowed value can be found in the store before its owner says that it is there.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { get, type ObjectRef, remote } from 'eagleray'
import { begin, end, gate } from './support.js'

suite('borrowed values', () => {
  suiteSetup(() => begin({ numCpus: 2 }))
  suiteTeardown(end)

  test('a task that waits for one runs also when this process has found the value itself', async () => {
    const [asked, sealed] = [gate(), gate()]
    const large = remote(async (open: string) => {
      const { existsSync } = await import('node:fs')
      while (!existsSync(open)) await new Promise(resolve => setTimeout(resolve, 5))
      return new Uint8Array(300_000).fill(7)
    })
    const middle = remote(async ({ ref }: { ref: ObjectRef<Uint8Array> }, open: string, there: string) => {
      const { existsSync, writeFileSync } = await import('node:fs')
      const size = remote((bytes: Uint8Array) => bytes.length)
      const later = size.remote(ref)
      // The owner is asked; its answer is not read before the value is found in the store.
      await new Promise(resolve => setImmediate(resolve))
      writeFileSync(open, '')
      while (!existsSync(there)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
      return (await get(ref))[0]! + (await get(later))
    })
    const ref = large.remote(asked.path)
    const answer = middle.remote({ ref }, asked.path, sealed.path)
    await get(ref)
    writeFileSync(sealed.path, '')
    assert.equal(await get(answer, { timeoutMs: 10_000 }), 300_007)
  })
})
