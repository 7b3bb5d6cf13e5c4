// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryGauge } from '#lib/run/memory-gauge.js'

suite('the memory gauge', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gauge-'))
  const [proc, cgroup] = [join(folder, 'proc'), join(folder, 'cgroup')]
  const write = (where: string, files: Record<string, string>) => {
    mkdirSync(where, { recursive: true })
    for (const [name, text] of Object.entries(files)) writeFileSync(join(where, name), text)
  }

  suiteSetup(() => {
    write(proc, {
      meminfo: 'MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     600 kB\n',
      vmstat: 'nr_free_pages 5\noom_kill_disable 1\noom_kill 3\npgfault 9\n',
    })
    write(join(proc, '7'), { status: 'Name:\tnode\nVmRSS:\t  90 kB\nRssAnon:\t  50 kB\nRssFile:\t  40 kB\nVmSwap:\t  10 kB\n' })
  })
  suiteTeardown(() => rmSync(folder, { recursive: true }))
  setup(() => rmSync(cgroup, { recursive: true, force: true }))

  test('the machine: what is not available is used', () => {
    const totals = new MemoryGauge(cgroup, proc).totals()
    assert.deepEqual(totals, { usedBytes: 400 * 1024, totalBytes: 1000 * 1024, where: 'the machine', kernelKills: 3 })
  })

  test('a cgroup that is fuller counts instead, without its cache of files', () => {
    write(cgroup, {
      'memory.max': '100000\n',
      'memory.current': '80000\n',
      'memory.stat': 'anon 1\nfile 39000\ninactive_file 20000\nactive_file 10000\n',
      'memory.events': 'low 0\nhigh 0\nmax 4\noom 2\noom_kill 1\noom_group_kill 0\n',
    })
    const totals = new MemoryGauge(cgroup, proc).totals()
    assert.deepEqual(totals, { usedBytes: 50_000, totalBytes: 100_000, where: `the cgroup ${cgroup}`, kernelKills: 1 })
    write(cgroup, { 'memory.max': '1000000\n' })
    assert.equal(new MemoryGauge(cgroup, proc).totals()?.where, 'the machine')
  })

  test('a cgroup without limit, or whose files are something else, is passed over', () => {
    for (const max of ['max\n', '', 'text', '-5', '0']) {
      write(cgroup, { 'memory.max': max, 'memory.current': '80000\n' })
      assert.equal(new MemoryGauge(cgroup, proc).totals()?.where, 'the machine', max)
    }
    assert.equal(new MemoryGauge(cgroup, join(folder, 'nowhere')).totals(), null)
  })

  test('a process weighs what it alone has; one that is gone nothing', () => {
    const gauge = new MemoryGauge(cgroup, proc)
    assert.equal(gauge.sizeOf(7), 60 * 1024)
    assert.equal(gauge.sizeOf(8), 0)
  })

  test('this machine can be read', () => {
    const gauge = new MemoryGauge(null)
    const totals = gauge.totals()
    assert.ok(totals !== null && totals.usedBytes > 0 && totals.usedBytes < totals.totalBytes)
    assert.ok(gauge.sizeOf(process.pid) > 1 << 20)
  })
})
