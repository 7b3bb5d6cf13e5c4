// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limits } from '#lib/options.js'
import { SetupFailure } from '#lib/run/setup-failure.js'
import { copyWorkingDir } from '#lib/run/working-dir.js'

suite('copies of a working directory', () => {
  let top = ''
  let source = ''
  let into = ''
  setup(() => {
    top = mkdtempSync(join(tmpdir(), 'working-dir-'))
    source = join(top, 'source')
    into = join(top, 'into')
    mkdirSync(source)
    mkdirSync(into)
  })
  teardown(() => rmSync(top, { recursive: true, force: true }))

  const fails = (path: string, excludes: string[], pattern: RegExp): Promise<void> =>
    assert.rejects(copyWorkingDir(path, excludes, into), (error: SetupFailure) => {
      assert.ok(error instanceof SetupFailure && error.field === 'runtimeEnv.workingDir')
      assert.match(error.message, pattern)
      return true
    })

  test('files, directories also empty ones, what may be run, and links', async () => {
    mkdirSync(join(source, 'a/empty'), { recursive: true })
    mkdirSync(join(top, 'outside'))
    writeFileSync(join(source, 'a/run'), '#!/bin/sh\n', { mode: 0o755 })
    writeFileSync(join(source, 'large'), Buffer.alloc(3 << 20, 7))
    symlinkSync('a/run', join(source, 'inside'))
    symlinkSync('../outside', join(source, 'out'))
    symlinkSync('../../outside', join(source, 'a/out'))
    symlinkSync('/etc', join(source, 'absolute'))
    const copy = await copyWorkingDir(source, [], into)
    assert.deepEqual(readdirSync(copy, { recursive: true }).sort(), readdirSync(source, { recursive: true }).sort())
    assert.equal(readFileSync(join(copy, 'a/run'), 'utf8'), '#!/bin/sh\n')
    assert.equal(statSync(join(copy, 'a/run')).mode & 0o777, 0o700)
    assert.equal(statSync(join(copy, 'large')).mode & 0o777, 0o600)
    assert.deepEqual(readFileSync(join(copy, 'large')), readFileSync(join(source, 'large')))
    const links = ['inside', 'out', 'a/out', 'absolute'].map(name => readlinkSync(join(copy, name)))
    assert.deepEqual(links, ['a/run', join(top, 'outside'), join(top, 'outside'), '/etc'])
  })

  test('the same content is one copy, other content another; nothing unfinished stays', async () => {
    const twin = join(top, 'twin')
    mkdirSync(twin)
    for (const each of [source, twin]) writeFileSync(join(each, 'f'), 'x')
    const first = await copyWorkingDir(source, [], into)
    assert.equal(await copyWorkingDir(twin, [], into), first)
    writeFileSync(join(twin, 'f'), 'y')
    assert.notEqual(await copyWorkingDir(twin, [], into), first)
    assert.equal(readdirSync(into).length, 2)
  })

  test('what is excluded is not copied, and does not count', async () => {
    mkdirSync(join(source, 'data'))
    writeFileSync(join(source, 'data/f'), '')
    truncateSync(join(source, 'data/f'), limits.workingDirBytesMax + 1)
    writeFileSync(join(source, 'small'), 'x')
    await fails(
      source,
      [],
      /too large to be copied: \d+ bytes, of at most 104857600\. The largest in it are data \(104857601 bytes in 2 files\), small .*runtimeEnv\.excludes/,
    )
    assert.deepEqual(readdirSync(into), [])
    assert.deepEqual(readdirSync(await copyWorkingDir(source, ['data/'], into)), ['small'])
  })

  test('what is not there or no directory fails, and so does what cannot be read', async () => {
    await fails(join(source, 'none'), [], /there is no directory .*none/)
    writeFileSync(join(source, 'f'), '')
    await fails(join(source, 'f'), [], /f is no directory/)
    rmSync(into, { recursive: true })
    writeFileSync(into, 'in the way')
    await fails(source, [], /source could not be copied: /)
    assert.ok(existsSync(source))
  })
})
