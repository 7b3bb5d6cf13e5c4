// SPDX-License-Identifier: Apache-2.0
// Runs every example as a user would, in a process of its own, and checks what it prints.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { loadFlights, plainAnswers, report } from '../examples/flights.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs a program; rejects when it does not end with 0. Gives its standard output. */
async function run(path: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', path], { cwd: root })
  assert.equal(stderr, '', `${path} wrote to stderr`)
  return stdout
}

suite('examples', () => {
  test('every example has a test here', () => {
    const modules = ['flights.ts', 'shared-pages.ts'] // what the quickstart imports
    const programs = readdirSync(`${root}examples`).filter(file => file.endsWith('.ts') && !modules.includes(file))
    const tested = [
      'arrow-batches',
      'crawler',
      'disk-cache',
      'monte-carlo-pi',
      'parameter-server',
      'quickstart',
      'shared-weights',
      'tree-reduce',
    ]
    assert.deepEqual(
      programs.sort(),
      tested.map(name => `${name}.ts`),
    )
  })

  test('quickstart: the answers of a plain loop, on pages that all processes share', async () => {
    const flights = loadFlights()
    const answers = plainAnswers(flights)
    const stdout = await run('examples/quickstart.ts')
    assert.ok(stdout.includes(report(answers)), stdout)

    const late = answers.summary.late.reduce((sum, each) => sum + each, 0)
    assert.ok(stdout.includes(`the actor counted ${flights.numRows} flights in 16 parts, ${late} of them late`), stdout)

    const proof = stdout.match(/zero-copy: processes (\d+), (\d+), (\d+) read (\d+) pages in common .*, 0 differ, 0 are private copies/)
    assert.ok(proof !== null, stdout)
    assert.equal(new Set(proof.slice(1, 4)).size, 3, 'three processes')
    assert.ok(Number(proof[4]) >= Math.ceil(1_600_000 / 4096), 'the whole table')
  })

  test('monte-carlo-pi', async () => {
    const [, pi] = (await run('examples/monte-carlo-pi.ts')).match(/^pi is about (\S+) \(32000000 darts in 64 tasks\)$/m)!
    assert.ok(Math.abs(Number(pi) - Math.PI) < 0.002, pi)
  })

  test('tree-reduce', async () => {
    const stdout = await run('examples/tree-reduce.ts')
    assert.ok(stdout.includes(`added in 4 rounds; the last element is ${16 * 249_999 + 120}, as it should be`), stdout)
  })

  test('parameter-server', async () => {
    const stdout = await run('examples/parameter-server.ts')
    assert.ok(stdout.includes('3 workers made 600 steps'), stdout)
    const learned = stdout
      .match(/^learned (.*); true weights are 2, -1, 0.5, 3$/m)![1]!
      .split(', ')
      .map(Number)
    for (const [i, weight] of [2, -1, 0.5, 3].entries()) assert.ok(Math.abs(learned[i]! - weight) < 0.01, stdout)
  })

  test('crawler', async () => {
    // 60 pages: every page links to the start, every page but the start is linked once, page n has n + 1 words.
    assert.equal(await run('examples/crawler.ts'), `60 pages, ${60 + 59} links, ${(60 * 61) / 2} words\n`)
  })

  test('shared-weights: two servers on one copy of a model', async () => {
    const lines = (await run('examples/shared-weights.ts')).trim().split('\n')
    assert.equal(lines[0], 'one copy of 16.0 MiB is viewed by both servers')
    assert.equal(lines.length, 4)
    for (const [i, line] of lines.slice(1).entries())
      assert.match(line, new RegExp(`^question ${i + 1}: both answer \\d+\\.\\d{3}, as the model does here$`))
  })

  test('disk-cache: a cache larger than memory', async () => {
    const lines = (await run('examples/disk-cache.ts')).trim().split('\n')
    assert.deepEqual(lines.slice(0, 3), [
      '64 tiles computed, 128 asked for',
      'the same sums both times: true',
      '64 tiles of 2 MiB cached in 32 MiB of memory',
    ])
    const [spilled, restored] = (lines[3] as string).match(/\d+/g) as string[]
    assert.ok(Number(spilled) >= 48 && Number(restored) >= 48, lines[3])
  })

  test('arrow-batches: a producer and a consumer', async () => {
    // Each city has every fourth order of a batch, beginning one later in the next.
    const revenue = (from: number) => {
      let sum = 0
      for (let n = 0; n < 20; n++) for (let i = (((from - n) % 4) + 4) % 4; i < 5_000; i += 4) sum += (i % 100) / 4
      return sum
    }
    const lines = ['Lagos', 'Lima', 'Oslo', 'Pune'].map((city, i) => `${city}: ${revenue(i)}\n`)
    const head = '20 batches, 100000 rows, never more than 4 batches in the store: true\n'
    assert.equal(await run('examples/arrow-batches.ts'), head + lines.join(''))
  })

  test('the program in the README', async () => {
    const [, program] = readFileSync(`${root}README.md`, 'utf8').match(/```ts\n(.*?)```/s)!
    const path = `${root}build-native/readme-example.ts`
    mkdirSync(`${root}build-native`, { recursive: true })
    writeFileSync(path, program!)
    assert.equal(await run(path), '499999500000\n')
  })
})
