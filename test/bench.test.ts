// SPDX-License-Identifier: Apache-2.0
// The benchmark suite: its arithmetic, what it says when a peer is missing, and one row run for real.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Column, compare, formatTable } from '../bench/report.js'
import { type Measured, median } from '../bench/row.js'
import { root } from './rules/source.js'

const machine = { cpu: 'x', cores: 2, memoryBytes: 2 ** 30, kernel: '6', node: 'v20', version: '0', commit: 'abc', takenAt: 'now' }
const timing = { rounds: 1, roundMs: 1, warmupMs: 1 }

const bench = (args: string[], env: NodeJS.ProcessEnv = process.env) =>
  spawnSync(process.execPath, ['--import', 'tsx', 'bench/main.ts', ...args], { cwd: root, encoding: 'utf8', env })

suite('bench', () => {
  test('medians', () => {
    assert.equal(median([3, 1, 2]), 2)
    assert.equal(median([4, 1, 2, 3]), 2.5)
  })

  test('ratios say how many times better we are, whichever way the unit points', () => {
    const ours: Measured[] = [
      { name: 'a', group: 'calls', unit: '/s', value: 40, rounds: [40] },
      { name: 'b', group: 'calls', unit: 'ms', value: 5, rounds: [5] },
    ]
    const peer: Column = {
      name: 'p',
      version: '1',
      recorded: null,
      rows: [
        { name: 'a', group: 'calls', unit: '/s', value: 10 },
        { name: 'b', group: 'calls', unit: 'ms', value: 80 },
        { name: 'only theirs', group: 'calls', unit: '/s', value: 1 },
      ],
    }
    const report = compare(machine, timing, ours, [], [peer])
    assert.deepEqual(
      report.rows.map(row => row.against.p?.ratio),
      [4, 16, null],
    )
    const [mean] = report.geometricMeans
    assert.equal(mean?.rows, 2)
    assert.ok(Math.abs((mean?.ratio ?? 0) - 8) < 1e-9)
  })

  test('recorded figures are labelled as such', () => {
    const recorded: Column = {
      name: 'ray',
      version: '2',
      recorded: 'taken once',
      rows: [{ name: 'a', group: 'calls', unit: '/s', value: 1 }],
    }
    assert.match(formatTable(compare(machine, timing, [], [], [recorded])), /ray, recorded: ray 2, NOT measured in this run: taken once/)
  })

  test('a peer that is not installed is named and nothing is measured', () => {
    const { RAY_BIN: _, ...env } = process.env
    const { status, stderr, stdout } = bench(['--vs', 'ray'], { ...env, PATH: '/nowhere' })
    assert.equal(status, 1)
    assert.match(stderr, /there is no `ray` program on the PATH/)
    assert.equal(stdout, '')
  })

  test('a row is measured and written as JSON', () => {
    const folder = mkdtempSync(join(tmpdir(), 'eagleray-bench-'))
    const json = join(folder, 'figures.json')
    const args = ['--filter', 'single client tasks sync', '--time', '50', '--rounds', '1', '--json', json]
    const { status, stderr, stdout } = bench([...args, '--against', 'bench/baselines/ray-2.58.json'])
    assert.equal(status, 0, stderr)
    assert.match(stdout, /single client tasks sync/)
    const report = JSON.parse(readFileSync(json, 'utf8')) as ReturnType<typeof compare>
    rmSync(folder, { recursive: true })
    assert.equal(report.rows.length, 1)
    assert.ok((report.rows[0]?.value ?? 0) > 0)
  })
})
