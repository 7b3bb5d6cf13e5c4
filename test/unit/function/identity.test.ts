// SPDX-License-Identifier: Apache-2.0
// One thing stays one thing: modules that must be the same here and there, and classes that go and come back.

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { receive, run, type Sent, send } from './children.js'

const SOURCE = 'const rate = 2\nexport function scaled(x) { return x * rate }\n'

suite('a function by reference', () => {
  let directory = ''

  /** A project with one module in it. */
  async function project(name: string, source: string): Promise<string> {
    const root = join(directory, name)
    await mkdir(join(root, 'src'), { recursive: true })
    await writeFile(join(root, 'package.json'), '{ "type": "module" }')
    await writeFile(join(root, 'src', 'work.js'), source)
    return root
  }

  const sendFrom = (root: string): Promise<Sent[]> => send('one-export.mjs', [], [join(root, 'src', 'work.js'), 'scaled', '4'])

  setup(async () => {
    directory = await mkdtemp(join(tmpdir(), 'eagleray-function-'))
  })

  teardown(() => rm(directory, { recursive: true, force: true }))

  test('is found in another checkout of the project', async () => {
    const here = await project('here', SOURCE)
    const sent = await sendFrom(here)
    assert.equal(sent[0]!.how, 'reference')
    await rename(here, join(directory, 'there'))
    assert.equal((await receive(sent, [], join(directory, 'there', 'src')))[0]!.result, 8)
  })

  test('is refused where the source differs, naming both files', async () => {
    const here = await project('here', SOURCE)
    const sent = await sendFrom(here)
    await writeFile(join(here, 'src', 'work.js'), SOURCE.replace('2', '3'))
    const there = await project('there', SOURCE.replace('2', '4'))
    const [{ error } = {}] = await receive(sent, [], there)
    for (const part of [
      'SerializationError',
      '`scaled`',
      join(here, 'src', 'work.js'),
      join(there, 'src', 'work.js'),
      'is not the same source',
    ]) {
      assert.ok(error?.includes(part), `${part} in: ${error}`)
    }
  })

  test('is refused where there is no such file', async () => {
    const here = await project('here', SOURCE)
    const sent = await sendFrom(here)
    await rm(here, { recursive: true })
    const [{ error } = {}] = await receive(sent, [], directory)
    assert.match(error!, /`scaled` of file:.*work\.js: the module is not here/)
  })
})

suite('a class by value', () => {
  test('is one class however often it comes, and its own self when it comes home', async () => {
    const { code, stderr } = await run('there-and-back.mjs')
    assert.equal(code, 0, stderr)
  })
})
