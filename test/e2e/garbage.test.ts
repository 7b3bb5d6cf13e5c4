// SPDX-License-Identifier: Apache-2.0
// Live processes that send what is no message: they are ended, and what they were to do is done by others or fails with
// what happened.

import assert from 'node:assert/strict'
import { ActorDiedError, ActorUnavailableError, get, remote, WorkerCrashedError } from 'eagleray'
import { FRAME } from '#lib/wire/frames.js'
import { countRun, garbleNext, passed, runsIn } from './programs/by-reference.js'
import { begin, end, gate, processGone, resourcesReturned, scratchPath, waitFor } from './support.js'

const told = /sent process [0-9a-f]{24} what is no message of this protocol: unknown frame kind 77/

/** The answer of the first `times` runs is garbage; later ones tell which run it was. */
function lies(path: string, times: number): number {
  const run = countRun(path)
  if (run <= times) garbleNext(FRAME.reply)
  return run
}

class Liar {
  lie(path: string, times: number): number {
    return lies(path, times)
  }
  pid(): number {
    return process.pid
  }
}

const liar = remote(lies)

suite('garbage from live processes', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('a task whose answer is garbage is a crash of its worker, which is ended and says why', async () => {
    const path = scratchPath()
    await assert.rejects(get(liar.options({ maxRetries: 0 }).remote(path, 1)), (error: WorkerCrashedError) => {
      assert.ok(error instanceof WorkerCrashedError)
      assert.match(error.message, told)
      assert.equal(error.signal, 'SIGKILL')
      return true
    })
    assert.equal(runsIn(path), 1)
    await resourcesReturned()
  })

  test('it is retried as after any crash, and what was queued behind it is not lost', async () => {
    const [path, door] = [scratchPath(), gate()]
    const waits = remote((at: string) => passed(at, process.pid), { maxRetries: 0 })
    const busy = waits.remote(door.path)
    const retried = liar.remote(path, 2)
    const behind = Array.from({ length: 40 }, (_, i) => remote((n: number) => n, { maxRetries: 0 }).remote(i))
    assert.deepEqual(
      await get(behind),
      behind.map((_, i) => i),
    )
    assert.equal(await get(retried), 3)
    door.open()
    await get(busy)
  })

  test('an actor that answers with garbage dies of it, or is restarted', async () => {
    const RemoteLiar = remote(Liar)
    const actor = RemoteLiar.remote()
    const pid = await get(actor.pid.remote())
    await assert.rejects(get(actor.lie.remote(scratchPath(), 1)), (error: ActorDiedError) => {
      assert.ok(error instanceof ActorDiedError)
      assert.match(error.message, told)
      return true
    })
    await processGone(pid)
    const path = scratchPath()
    const restarted = RemoteLiar.options({ maxRestarts: 1, maxTaskRetries: 1 }).remote()
    assert.equal(await get(restarted.lie.remote(path, 1)), 2)
    await waitFor(
      () =>
        get(restarted.pid.remote()).catch(error => {
          assert.ok(error instanceof ActorUnavailableError)
          return 0
        }),
      'the actor back',
    )
  })

  test('a caller that sends garbage to the worker of its task is ended too', async () => {
    const child = remote(() => 1, { numCpus: 0, maxRetries: 0 })
    const parent = remote(
      async () => {
        await get(child.remote())
        garbleNext(FRAME.task)
        return get(child.remote())
      },
      { maxRetries: 0 },
    )
    await assert.rejects(get(parent.remote()), (error: WorkerCrashedError) => {
      assert.ok(error instanceof WorkerCrashedError, String(error))
      assert.match(error.message, told)
      return true
    })
    await resourcesReturned()
  })
})
