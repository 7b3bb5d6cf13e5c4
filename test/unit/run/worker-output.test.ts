// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { limits } from '#lib/options.js'
import { WorkerOutput } from '#lib/run/worker-output.js'
import type { Log } from '#lib/wire/messages.js'

suite('output of workers', () => {
  let logsDir: string
  let sent: Log[]
  let output: WorkerOutput
  let driver: string | null

  setup(() => {
    logsDir = mkdtempSync(join(tmpdir(), 'eagleray-test-'))
    sent = []
    driver = 'its driver'
    output = new WorkerOutput(
      logsDir,
      key => ({ workerId: `id of ${key}`, name: 'pool', driver }),
      (to, message) => {
        assert.equal(to, driver)
        sent.push(message)
      },
    )
    output.began('a', 7)
  })

  teardown(() => {
    output.ended('a')
    rmSync(logsDir, { recursive: true, force: true })
  })

  test('lines come in batches by stream, and are in files too', () => {
    output.lines('a', 'stdout', ['one', 'two'])
    output.lines('a', 'stderr', ['oops'])
    output.ended('a')
    assert.deepEqual(sent, [
      { is: 'log', workerId: 'id of a', name: 'pool', pid: 7, stream: 'stdout', lines: ['one', 'two'] },
      { is: 'log', workerId: 'id of a', name: 'pool', pid: 7, stream: 'stderr', lines: ['oops'] },
    ])
    assert.equal(readFileSync(join(logsDir, 'worker-7.out'), 'utf8'), 'one\ntwo\n')
    assert.equal(readFileSync(join(logsDir, 'worker-7.err'), 'utf8'), 'oops\n')
  })

  test('of a worker that nobody has yet it is only kept', () => {
    driver = null
    output.lines('a', 'stdout', ['one'])
    output.flush('a')
    driver = 'its driver'
    output.lines('a', 'stdout', ['two'])
    output.flush('a')
    assert.deepEqual(
      sent.map(({ lines }) => lines),
      [['two']],
    )
    assert.equal(readFileSync(join(logsDir, 'worker-7.out'), 'utf8'), 'one\ntwo\n')
  })

  test('many lines do not wait for the end', () => {
    output.lines('a', 'stdout', Array<string>(limits.logBatchLines).fill('x'))
    assert.equal(sent[0]?.lines.length, limits.logBatchLines)
  })

  test('a stream says whose lines come next', () => {
    output.lines('a', 'stdout', ['\0first', 'of first', '\0second', 'of second'])
    output.lines('a', 'stderr', ['of the pool'])
    output.lines('a', 'stdout', ['still of second', '\0', 'of nobody'])
    output.ended('a')
    const pairs = sent.flatMap(({ name, lines }) => lines.map(line => `${name}: ${line}`))
    assert.deepEqual(pairs, ['first: of first', 'second: of second', 'pool: of the pool', 'second: still of second', 'pool: of nobody'])
    assert.equal(readFileSync(join(logsDir, 'worker-7.out'), 'utf8').includes('\0'), false)
  })

  test('a file is capped, what is sent is not', () => {
    const line = 'x'.repeat(limits.logFileBytesMax)
    for (let i = 0; i < 3; i++) output.lines('a', 'stdout', [line])
    output.ended('a')
    assert.equal(readFileSync(join(logsDir, 'worker-7.out')).length, limits.logFileBytesMax + 1)
    assert.equal(sent.flatMap(message => message.lines).length, 3)
  })

  test('the worker names its output where it changes, and never inside a line', async () => {
    const script = `import { nameOutput } from '#lib/run/output-name.js'
      let name = null
      nameOutput(() => name)
      console.log('start'); name = 'f'; console.log('one'); console.log('two'); name = 'g'
      process.stdout.write('par'); name = 'h'; process.stdout.write('tial\\n'); console.log('last'); name = null; console.log('end')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: fileURLToPath(new URL('../../..', import.meta.url)),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk))
    await once(child, 'close')
    assert.equal(text, 'start\n\0f\none\ntwo\n\0g\npartial\n\0h\nlast\n\0\nend\n')
  })
})
