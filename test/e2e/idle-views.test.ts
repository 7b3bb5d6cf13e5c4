// SPDX-License-Identifier: Apache-2.0
// What a task was given as views does not stay in the store because its worker has nothing to do afterwards.

import assert from 'node:assert/strict'
import { get, put, remote } from 'eagleray'
import { begin, end, sessionStore, waitFor } from './support.js'

suite('views of idle workers', () => {
  suiteSetup(() => begin({ numCpus: 1 }))
  suiteTeardown(end)

  test('an object that only a worker without a task has views of goes', async () => {
    const ref = put(new Float64Array(200_000).fill(1))
    const store = await sessionStore()
    const sum = remote((values: Float64Array): number => {
      // Else V8 collects by itself after some seconds.
      process.getBuiltinModule('node:v8').setFlagsFromString('--no-memory-reducer')
      return values.reduce((a, b) => a + b)
    })
    assert.equal(await get(sum.remote(ref)), 200_000)
    ref[Symbol.dispose]()
    await waitFor(() => store.stats().objects === 0, 'the store empty', 5_000)
    store.close()
  })
})
