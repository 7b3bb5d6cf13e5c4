// SPDX-License-Identifier: Apache-2.0
// Programs under tsx: workers start without it, and get it when a module of the user's has to be loaded.

import assert from 'node:assert/strict'
import { get, remote } from 'eagleray'
import { begin, end } from './support.js'

suite('loaders of TypeScript', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('workers start without tsx', async () => {
    const flags = remote(() => process.getBuiltinModule('node:fs').readFileSync('/proc/self/cmdline', 'utf8').split('\0'))
    const line = await get(flags.remote())
    assert.ok(
      line.some(each => each.endsWith('worker.js')),
      line.join(' '),
    )
    assert.ok(!line.some(each => each.includes('tsx')), line.join(' '))
  })

  test('code that imports TypeScript finds it', async () => {
    const file = new URL('./programs/by-reference.ts', import.meta.url).href
    const names = remote(async (url: string) => Object.keys((await import(url)) as object))
    assert.ok((await get(names.remote(file))).length > 0)
  })

  test('what a worker forks is started with it', async () => {
    const flags = remote(() => process.execArgv)
    assert.ok((await get(flags.remote())).some(each => each.includes('tsx')))
  })
})
