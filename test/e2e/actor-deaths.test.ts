// SPDX-License-Identifier: Apache-2.0
// Actors that die: killed, crashed, restarted; and what their callers are told.

import assert from 'node:assert/strict'
import {
  ActorDiedError,
  ActorError,
  ActorUnavailableError,
  availableResources,
  clusterResources,
  get,
  kill,
  ready,
  remote,
  state,
  wait,
} from 'eagleray'
import { countRun, passed, runsIn } from './programs/by-reference.js'
import { begin, end, gate, processGone, resourcesReturned, scratchPath, waitFor } from './support.js'

class Fragile {
  n = 0
  readonly path: string

  constructor(path: string) {
    this.path = path
    countRun(path)
  }

  add(): number {
    return ++this.n
  }

  pid(): number {
    return process.pid
  }

  async pass(path: string): Promise<string> {
    return passed(path, 'passed')
  }

  /** Dies in the first `deaths` runs of this call, tells the run after that. */
  die(path: string, deaths: number): number {
    const run = countRun(path)
    if (run <= deaths) process.kill(process.pid, 'SIGKILL')
    return run
  }
}

/** Without the async method, so that it runs one call at a time. */
class Plain {
  n = 0
  add(): number {
    return ++this.n
  }
  pid(): number {
    return process.pid
  }
  die(path: string, deaths: number): number {
    const run = countRun(path)
    if (run <= deaths) process.kill(process.pid, 'SIGKILL')
    return run
  }
}

const RemoteFragile = remote(Fragile)
const RemotePlain = remote(Plain)

/** For calls made while the actor may be restarting: gives 0. */
function unavailable(error: unknown): number {
  assert.ok(error instanceof ActorUnavailableError, String(error))
  return 0
}

suite('deaths of actors', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('a crash is ActorDiedError for calls in flight and later ones, naming the signal', async () => {
    const actor = RemotePlain.remote()
    const pid = await get(actor.pid.remote())
    const calls = [actor.die.remote(scratchPath(), 1), actor.add.remote()]
    for (const promise of [get(calls[0]!), get(calls[1]!), get(actor.add.remote())])
      await assert.rejects(promise, (error: ActorDiedError) => {
        assert.ok(error instanceof ActorDiedError && error instanceof ActorError)
        assert.match(error.message, /SIGKILL/)
        assert.match(error.actorId ?? '', /^[0-9a-f]{40}$/)
        return true
      })
    await processGone(pid)
    await assert.rejects(ready(actor), ActorDiedError)
  })

  test('kill ends an actor at once, twice is once, and says so', async () => {
    const door = gate()
    const actor = RemoteFragile.options({ maxRestarts: 3 }).remote(scratchPath())
    const pid = await get(actor.pid.remote())
    const call = actor.pass.remote(door.path)
    kill(actor)
    kill(actor)
    await assert.rejects(get(call), (error: ActorDiedError) => error instanceof ActorDiedError && /kill/.test(error.message))
    await assert.rejects(get(actor.add.remote()), ActorDiedError)
    await processGone(pid)
    assert.throws(() => kill({} as never), TypeError)
    assert.throws(() => kill(actor, { nope: 1 } as never), TypeError)
  })

  test('kill of an actor that waits for resources or is in its constructor leaks nothing', async () => {
    const waiting = RemoteFragile.options({ numCpus: 2 }).remote(scratchPath())
    await ready(waiting)
    const queued = RemoteFragile.options({ numCpus: 2 }).remote(scratchPath())
    const call = queued.add.remote()
    kill(queued)
    await assert.rejects(get(call), ActorDiedError)
    kill(waiting)

    const [door, started] = [gate(), gate()]
    class Slow {
      constructor(path: string, note: string) {
        countRun(note)
        const until = performance.now() + 20_000
        while (runsIn(path) === 0 && performance.now() < until);
      }
      run() {
        return 1
      }
    }
    const slow = remote(Slow, { numCpus: 2 }).remote(door.path, started.path)
    await waitFor(() => runsIn(started.path) > 0, 'the constructor running')
    const pending = slow.run.remote()
    kill(slow)
    await assert.rejects(get(pending), ActorDiedError)
    await resourcesReturned()
    assert.deepEqual(await availableResources(), await clusterResources())
  })

  test('maxRestarts: a new process, the constructor again with its first arguments, the state gone', async () => {
    const constructed = scratchPath()
    const actor = RemoteFragile.options({ maxRestarts: 1 }).remote(constructed)
    assert.equal(await get(actor.add.remote()), 1)
    const pid = await get(actor.pid.remote())
    process.kill(pid, 'SIGKILL')
    await processGone(pid)
    await ready(actor)
    const again = await waitFor(() => get(actor.pid.remote()).catch(unavailable), 'restarted')
    assert.notEqual(again, pid)
    assert.equal(await get(actor.add.remote()), 1)
    assert.equal(runsIn(constructed), 2)
    assert.equal((await state.listActors()).find(each => each.pid === again)!.numRestarts, 1)
    process.kill(again, 'SIGKILL')
    await waitFor(
      () =>
        get(actor.add.remote()).then(
          () => false,
          error => error instanceof ActorDiedError,
        ),
      'dead for good',
    )
  })

  test('kill with noRestart: false uses up one restart', async () => {
    const actor = RemoteFragile.options({ maxRestarts: 1 }).remote(scratchPath())
    const pid = await get(actor.pid.remote())
    kill(actor, { noRestart: false })
    await processGone(pid)
    await waitFor(
      () =>
        get(actor.pid.remote()).then(
          now => now !== pid,
          () => false,
        ),
      'restarted',
    )
    kill(actor, { noRestart: false })
    await waitFor(
      () =>
        get(actor.add.remote()).then(
          () => false,
          error => error instanceof ActorDiedError,
        ),
      'no restart left',
    )
  })

  test('a call in flight at the death is not run again by default: ActorUnavailableError', async () => {
    const runs = scratchPath()
    const actor = RemotePlain.options({ maxRestarts: -1 }).remote()
    await assert.rejects(
      get(actor.die.remote(runs, 1)),
      (error: Error) => error instanceof ActorUnavailableError && error instanceof ActorError,
    )
    assert.equal(runsIn(runs), 1)
    await waitFor(() => get(actor.add.remote()).catch(unavailable), 'back')
  })

  test('maxTaskRetries runs it again, in order; the method and the call have the last word', async () => {
    const runs = [scratchPath(), scratchPath(), scratchPath(), scratchPath()] as const
    const actor = RemotePlain.options({ maxRestarts: -1, maxTaskRetries: 2 }).remote()
    assert.equal(await get(actor.add.remote()), 1)
    assert.deepEqual(await get([actor.die.remote(runs[0], 2), actor.add.remote(), actor.add.remote()]), [3, 1, 2])
    await assert.rejects(get(actor.die.remote(runs[1], 9)), ActorUnavailableError)
    assert.equal(runsIn(runs[1]), 3, 'one attempt and two retries')
    await get(actor.add.remote()) // it waits until the actor is back
    await assert.rejects(get(actor.die.options({ maxTaskRetries: 0 }).remote(runs[2], 9)), ActorUnavailableError)
    assert.equal(runsIn(runs[2]), 1)
    const byMethod = remote(Plain, { maxRestarts: -1, methods: { die: { maxTaskRetries: 1 } } }).remote()
    assert.equal(await get(byMethod.die.remote(runs[3], 1)), 2)
  })

  test('a constructor that crashes counts as a death: it is started again while restarts are left', async () => {
    class Crashes {
      readonly run: number
      constructor(path: string, deaths: number) {
        this.run = countRun(path)
        if (this.run <= deaths) process.kill(process.pid, 'SIGKILL')
      }
      which() {
        return this.run
      }
    }
    const survivor = remote(Crashes, { maxRestarts: 2 }).remote(scratchPath(), 2)
    await ready(survivor)
    assert.equal(await get(survivor.which.remote()), 3)
    const doomed = remote(Crashes, { maxRestarts: 1 }).remote(scratchPath(), 9)
    await assert.rejects(ready(doomed), ActorDiedError)
  })

  test('an actor that dies gives back what it held, and the others live on', async () => {
    const holder = RemotePlain.options({ numCpus: 1 }).remote()
    const other = RemotePlain.remote()
    const pid = await get(holder.pid.remote())
    await get(other.add.remote())
    await waitFor(async () => (await availableResources()).CPU === 1, 'one CPU held')
    process.kill(pid, 'SIGKILL')
    await waitFor(async () => (await availableResources()).CPU === 2, 'and given back')
    assert.equal(await get(other.add.remote()), 2)
    const refs = [holder.add.remote()]
    assert.deepEqual((await wait(refs, { timeoutMs: 10_000 }))[0], refs, 'a failed call is ready')
  })
})
