// SPDX-License-Identifier: Apache-2.0
// Workers that are killed, crash or exit in the middle of a task, and what they held.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type ActorHandle, get, put, remote, WorkerCrashedError } from 'eagleray'
import { native } from '#lib/native.js'
import { countRun, passed, runsIn } from './programs/by-reference.js'
import { begin, end, gate, resourcesReturned, scratchPath, sessionTraces, waitFor } from './support.js'

const pidOf = remote(() => process.pid)

/** The store of this session, seen from below. */
function segment() {
  const folders = sessionTraces().folders.flatMap(folder => [folder, join(folder, 'store')])
  return native.openStore(folders.find(folder => existsSync(join(folder, 'segment')))!)
}

suite('killed workers', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('a task whose worker is killed is run again, and finishes', async () => {
    const path = scratchPath()
    const dies = remote((at: string, deaths: number) => {
      const run = countRun(at)
      if (run <= deaths) process.kill(process.pid, 'SIGKILL')
      return run
    })
    assert.equal(await get(dies.remote(path, 2)), 3)
    const others = Array.from({ length: 20 }, (_, i) => remote((n: number) => n).remote(i))
    const killer = dies.remote(scratchPath(), 1)
    assert.deepEqual(
      await get(others),
      Array.from({ length: 20 }, (_, i) => i),
      'tasks queued behind it are not lost',
    )
    assert.equal(await get(killer), 2)
    await resourcesReturned()
  })

  test('when the retries are used up: WorkerCrashedError with signal and the last of stderr', async () => {
    const path = scratchPath()
    const dies = remote((at: string) => {
      countRun(at)
      console.error('the last words')
      process.kill(process.pid, 'SIGSEGV')
      const until = performance.now() + 10_000
      while (performance.now() < until);
    })
    await assert.rejects(get(dies.options({ maxRetries: 1 }).remote(path)), (error: WorkerCrashedError) => {
      assert.ok(error instanceof WorkerCrashedError)
      assert.deepEqual([error.signal, error.exitCode], ['SIGSEGV', null])
      assert.match(error.stderrTail, /the last words/)
      assert.match(error.message, /SIGSEGV/)
      return true
    })
    assert.equal(runsIn(path), 2)
    const once = scratchPath()
    await assert.rejects(get(dies.options({ maxRetries: 0 }).remote(once)), WorkerCrashedError)
    assert.equal(runsIn(once), 1)
    const first = scratchPath()
    await assert.rejects(get(dies.remote(first)), WorkerCrashedError)
    assert.equal(runsIn(first), 4, 'three retries by default')
  })

  test('process.exit in a task is a crash with its exit code', async () => {
    const leaves = remote(() => process.exit(7), { maxRetries: 0 })
    await assert.rejects(get(leaves.remote()), (error: WorkerCrashedError) => {
      assert.ok(error instanceof WorkerCrashedError)
      assert.deepEqual([error.exitCode, error.signal], [7, null])
      return true
    })
    const throwsLater = remote(
      () => {
        setTimeout(() => {
          throw new Error('thrown where nobody catches')
        })
        return new Promise(() => {})
      },
      { maxRetries: 0 },
    )
    await assert.rejects(get(throwsLater.remote()), (error: WorkerCrashedError) => {
      assert.ok(error instanceof WorkerCrashedError)
      assert.match(error.stderrTail, /thrown where nobody catches/)
      return true
    })
    assert.equal(await get(remote(() => 'next').remote()), 'next')
  })

  test('a killed worker holds no pins, and its space can be used again', async () => {
    const store = segment()
    const ref = put(new Uint8Array(60 << 20).fill(5))
    const pins = () => store.list().find(each => each.id === ref.id)?.pinnedBy ?? []
    const [door, note] = [gate(), scratchPath()]
    const holds = remote(
      async (array: Uint8Array, at: string, path: string) => {
        array[0] = process.pid & 0xff
        countRun(at)
        await passed(path, null)
        return array.length
      },
      { maxRetries: 0 },
    )
    const before = pins().length
    const running = holds.remote(ref, note, door.path)
    await waitFor(() => runsIn(note) === 1, 'the task running')
    assert.equal(pins().length, before + 1)
    const holder = await waitFor(
      () => store.clients().find(client => client.live && client.pid !== process.pid && pins().includes(client.slot)),
      'the client that holds the pin',
    )
    process.kill(holder.pid, 'SIGKILL')
    await assert.rejects(get(running), WorkerCrashedError)
    await waitFor(() => pins().length === before, 'the pin gone')
    assert.equal(store.check(), null)
    assert.equal((await get(ref))[1], 5)
    ref[Symbol.dispose]()
    for (let i = 0; i < 8; i++) put(new Uint8Array(60 << 20).fill(i))[Symbol.dispose]()
    assert.equal(store.check(), null)
  })

  test('children of a dead parent are ended with it', async () => {
    const [door, note, end] = [gate(), scratchPath(), scratchPath()]
    const child = remote(
      async (at: string, path: string, done: string) => {
        countRun(at)
        await passed(path, null)
        countRun(done)
      },
      { numCpus: 0, maxRetries: 0 },
    )
    const parent = remote(
      async (at: string, path: string, done: string, pidPath: string) => {
        const { writeFileSync } = await import('node:fs')
        writeFileSync(pidPath, String(process.pid))
        await get(child.remote(at, path, done))
      },
      { maxRetries: 0 },
    )
    const pidPath = scratchPath()
    const running = parent.remote(note, door.path, end, pidPath)
    await waitFor(() => runsIn(note) === 1, 'the child running')
    const { readFileSync } = await import('node:fs')
    process.kill(Number(readFileSync(pidPath, 'utf8')), 'SIGKILL')
    await assert.rejects(get(running), WorkerCrashedError)
    await resourcesReturned()
    door.open()
    assert.equal(await get(remote(() => 1).remote()), 1)
    assert.equal(runsIn(end), 0)
  })

  test('workers killed one after the other under load: every answer is right', async () => {
    const slow = remote(
      async (n: number) => {
        await new Promise(resolve => setTimeout(resolve, 2))
        return { n, pid: process.pid, data: new Float64Array(20_000).fill(n) }
      },
      { maxRetries: -1 },
    )
    class Sum {
      total = 0
      add(n: number) {
        return (this.total += n)
      }
    }
    const sum: ActorHandle<Sum> = remote(Sum).remote()
    for (let round = 0; round < 3; round++) {
      const refs = Array.from({ length: 60 }, (_, i) => slow.remote(i))
      process.kill(await get(pidOf.remote()), 'SIGKILL')
      const values = await get(refs)
      for (const [i, value] of values.entries()) assert.deepEqual([value.n, value.data[19_999]], [i, i])
      sum.add.remote(values.reduce((total, each) => total + each.n, 0))
    }
    assert.equal(await get(sum.add.remote(0)), (3 * 60 * 59) / 2)
    assert.equal(segment().check(), null)
  })
})
