// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeFolder } from '#lib/io/make-folder.js'

suite('folders that a user has named', () => {
  let base: string
  setup(() => {
    base = mkdtempSync(join(tmpdir(), 'eagleray-test-'))
  })
  teardown(() => rmSync(base, { recursive: true, force: true }))

  test('they are made with those above, for the user alone, and may be there already', () => {
    const path = join(base, 'a', 'b', 'c')
    for (let i = 0; i < 2; i++) makeFolder(path)
    for (const each of [path, join(base, 'a')]) assert.equal(statSync(each).mode & 0o777, 0o700)
    makeFolder('/')
  })

  test('where a file or a link to nowhere is in the way, that is the error', () => {
    writeFileSync(join(base, 'file'), '')
    symlinkSync(join(base, 'nowhere', 'at', 'all'), join(base, 'link'))
    for (const name of ['file', 'file/a', 'link', 'link/a/b'])
      assert.throws(() => makeFolder(join(base, name)), { code: /^E(EXIST|NOTDIR)$/ })
  })

  test('a file system that makes no folders is an error, and no loop without end', () => {
    const module = new URL('../../../lib/io/make-folder.ts', import.meta.url).href
    const script = `import(${JSON.stringify(module)}).then(({ makeFolder }) => { try { makeFolder('/proc/eagleray/a') } catch ({ code }) { console.log(code) } })`
    const { stdout, signal } = spawnSync(process.execPath, ['--import', 'tsx', '-e', script], {
      timeout: 20_000,
      killSignal: 'SIGKILL',
      encoding: 'utf8',
    })
    assert.deepEqual([stdout.trim(), signal], ['ENOENT', null])
  })
})
