// SPDX-License-Identifier: Apache-2.0
// Work that fills the memory is ended before the kernel ends something, and whoever waits for it hears of memory. What is
// full is a cgroup of plain files that the test writes; what the processes weigh is real.

import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ActorDiedError, explain, get, OutOfMemoryError, remote, WorkerCrashedError, wait } from 'eagleray'
import { countRun, passed, runsIn } from './programs/by-reference.js'
import { begin, end, gate, isAlive, processGone, resourcesReturned, scratchPath, waitFor } from './support.js'

const MB = 1 << 20
const cgroup = scratchPath()
const use = (bytes: number) => writeFileSync(join(cgroup, 'memory.current'), `${bytes}`)

/** Fills so much memory of its own, notes its pid, and stays until the gate opens. */
async function fill(megabytes: number, note: string, path: string): Promise<number> {
  const held = new Uint8Array(megabytes * MB).fill(1)
  writeFileSync(note, String(process.pid))
  await passed(path, null)
  return held[held.length - 1]!
}

class Filler {
  fill(megabytes: number, note: string, path: string): Promise<number> {
    return fill(megabytes, note, path)
  }
  pid(): number {
    return process.pid
  }
}

const filler = remote(fill, { maxRetries: 0, name: 'filler' })
const pidIn = (note: string) => waitFor(() => readText(note), 'the memory filled').then(Number)

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

suite('out of memory', () => {
  suiteSetup(async () => {
    mkdirSync(cgroup)
    writeFileSync(join(cgroup, 'memory.max'), `${1000 * MB}`)
    use(100 * MB)
    process.env.EAGLERAY_CGROUP_DIR = cgroup
    await begin({ memoryBytes: 1000 * MB })
    delete process.env.EAGLERAY_CGROUP_DIR
  })
  suiteTeardown(async () => {
    await end()
    rmSync(cgroup, { recursive: true })
  })
  teardown(() => use(100 * MB))

  test('the task furthest above what it declared fails with OutOfMemoryError, which says what was used by whom', async () => {
    const [notes, doors] = [
      [scratchPath(), scratchPath()],
      [gate(), gate()],
    ] as const
    const honest = filler.options({ memoryBytes: 500 * MB }).remote(300, notes[0], doors[0].path)
    const greedy = filler.options({ memoryBytes: 50 * MB }).remote(200, notes[1], doors[1].path)
    const [honestPid, pid] = [await pidIn(notes[0]), await pidIn(notes[1])]
    use(960 * MB)
    await assert.rejects(get(greedy), (error: OutOfMemoryError) => {
      use(100 * MB)
      assert.ok(error instanceof OutOfMemoryError && !((error as object) instanceof WorkerCrashedError), String(error))
      assert.match(
        error.message,
        /filler was ended: node [0-9a-f]{10} is out of memory: 1\.0 GB of the 1\.0 GB of the cgroup .*996 MB \(95 %\)/,
      )
      assert.match(error.message, new RegExp(`filler \\(pid ${pid}\\) was the furthest above its word.*declared memoryBytes of 52 MB`))
      assert.match(error.message, new RegExp(`largest here: .*filler \\(pid ${honestPid}\\) 3\\d\\d MB`))
      assert.match(error.message, /the driver \(pid \d+\)|the node daemon|object store/)
      return true
    })
    await processGone(pid)
    assert.ok(isAlive(honestPid))
    doors[0].open()
    assert.equal(await get(honest), 1)
    await resourcesReturned()
  })

  test('it is run again after a pause, which explain tells of', async () => {
    const [runs, note, door] = [scratchPath(), scratchPath(), gate()]
    const twice = remote(
      async (path: string, at: string, opened: string) => {
        const run = countRun(path)
        return run === 1 ? fill(200, at, opened) : run
      },
      { name: 'twice', maxRetries: 1 },
    )
    const ref = twice.remote(runs, note, door.path)
    const pid = await pidIn(note)
    use(960 * MB)
    await processGone(pid)
    use(100 * MB)
    const { reason } = await waitFor(async () => {
      const told = await explain(ref)
      return /lack of memory/.test(told.reason) || runsIn(runs) > 1 ? told : null
    }, 'the pause explained')
    if (runsIn(runs) === 1) assert.match(reason, /twice was ended for lack of memory, and after a pause is run again/)
    assert.equal(await get(ref), 2)
  })

  test('an actor dies of it with OutOfMemoryError as the cause, or is restarted', async () => {
    const RemoteFiller = remote(Filler)
    const [note, door] = [scratchPath(), gate()]
    const actor = RemoteFiller.remote()
    const call = actor.fill.remote(200, note, door.path)
    await pidIn(note)
    use(960 * MB)
    await assert.rejects(get(call), (error: ActorDiedError) => {
      use(100 * MB)
      assert.ok(error instanceof ActorDiedError)
      assert.ok(error.cause instanceof OutOfMemoryError)
      assert.match(error.message, /out of memory.*declared no memoryBytes/)
      return true
    })

    const [again, closed] = [scratchPath(), gate()]
    const restarted = RemoteFiller.options({ maxRestarts: 1, maxTaskRetries: 1 }).remote()
    restarted.fill.options({ maxTaskRetries: 0 }).remote(200, again, closed.path)
    const pid = await pidIn(again)
    use(960 * MB)
    await processGone(pid)
    use(100 * MB)
    assert.notEqual(await get(restarted.pid.remote()), pid)
  })

  test('the kernel may take workers first', async () => {
    const score = remote(async () => (await import('node:fs')).readFileSync('/proc/self/oom_score_adj', 'utf8').trim())
    assert.equal(await get(score.remote()), '1000')
    assert.notEqual(readFileSync('/proc/self/oom_score_adj', 'utf8').trim(), '1000')
  })

  test('where no worker is to blame, the driver is told and work goes on', async () => {
    const written: string[] = []
    const { write } = process.stderr
    process.stderr.write = ((text: string) => written.push(text) > 0) as typeof write
    try {
      use(990 * MB)
      await waitFor(() => written.some(text => /no worker is so large.*the driver \(pid \d+\)/.test(text)), 'the warning')
    } finally {
      process.stderr.write = write
    }
    const refs = Array.from({ length: 4 }, (_, i) => remote((n: number) => n).remote(i))
    assert.deepEqual((await wait(refs, { numReturns: 4 }))[1], [])
  })
})
