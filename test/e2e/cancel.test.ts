// SPDX-License-Identifier: Apache-2.0
// Cancelling: what waits never runs, what runs is told or ended, what is done stays done.

import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { cancel, get, getRuntimeContext, type ObjectRef, put, remote, state, TaskCancelledError, TaskError, wait } from 'eagleray'
import { countRun, passed, runsIn } from './programs/by-reference.js'
import { begin, end, gate, resourcesReturned, scratchPath, waitFor } from './support.js'

/** Runs until its signal fires; notes the start in one file and the end in another. */
const obedient = remote(async (started: string, ended: string) => {
  const { signal } = getRuntimeContext()
  countRun(started)
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  countRun(ended)
})

/** Never lets go of the event loop. */
const stubborn = remote((started: string) => {
  countRun(started)
  const until = performance.now() + 25_000
  while (performance.now() < until);
})

const running = (path: string) => waitFor(() => runsIn(path) > 0, 'the task running')

suite('cancel', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('a queued task never runs', async () => {
    const door = gate()
    const blockers = [remote(passed).remote(door.path, 1), remote(passed).remote(door.path, 2)]
    const path = scratchPath()
    const queued = remote(countRun).remote(path)
    const dependent = remote((_: unknown, at: string) => countRun(at)).remote(queued, path)
    cancel(queued)
    await assert.rejects(get(queued), (error: TaskCancelledError) => {
      assert.ok(error instanceof TaskCancelledError)
      assert.equal(error.taskId, queued.id)
      return true
    })
    await assert.rejects(get(dependent), (error: TaskError) => error instanceof TaskError && error.cause instanceof TaskCancelledError)
    door.open()
    assert.deepEqual(await get(blockers), [1, 2], 'siblings are untouched')
    assert.equal(runsIn(path), 0)
  })

  test('a task that waits for an argument is cancelled at once', async () => {
    const door = gate()
    const late = remote(passed<number>, { numCpus: 0 }).remote(door.path, 1)
    const waiting = remote((n: number) => n).remote(late)
    cancel(waiting)
    await assert.rejects(get(waiting), TaskCancelledError)
    door.open()
    assert.equal(await get(late), 1)
  })

  test('an async body is told by its signal, and get rejects at once', async () => {
    const [started, ended] = [scratchPath(), scratchPath()]
    const task = obedient.options({ maxRetries: 3, retryExceptions: true }).remote(started, ended)
    await running(started)
    cancel(task)
    await assert.rejects(get(task), TaskCancelledError)
    assert.equal(runsIn(started), 1, 'a cancelled task is never run again')

    const deaf = scratchPath()
    const door = gate()
    const ignores = remote(async (path: string, note: string) => {
      countRun(note)
      await passed(path, null)
      return getRuntimeContext().isCanceled
    })
    const ref = ignores.remote(door.path, deaf)
    await running(deaf)
    cancel(ref)
    await assert.rejects(get(ref), TaskCancelledError)
    door.open()
    await resourcesReturned()
  })

  test('a task whose code is still being loaded never runs', async () => {
    const [door, path] = [gate(), scratchPath()]
    const { countLateRun } = await import('./programs/late-to-load.js')
    const task = remote(countLateRun, { runtimeEnv: { envVars: { LOADS_AT: door.path } } }).remote(path)
    await running(`${door.path}.loading`)
    cancel(task)
    await assert.rejects(get(task), TaskCancelledError)
    // Its worker answers too, and has read by then what was sent to it before.
    await state.listTasks()
    door.open()
    await resourcesReturned()
    assert.equal(runsIn(path), 0)
  })

  test('force ends a body that does not listen, and its process', async () => {
    const started = scratchPath()
    const task = stubborn.remote(started)
    await running(started)
    cancel(task, { force: true })
    await assert.rejects(get(task), TaskCancelledError)
    assert.equal(runsIn(started), 1)
    await resourcesReturned()
    assert.equal(await get(remote(() => 'next').remote()), 'next')
  })

  test('children are cancelled with their parent, unless recursive is false', async () => {
    for (const recursive of [true, false]) {
      const [started, childStarted] = [scratchPath(), scratchPath()]
      const door = gate()
      const child = remote(
        async (note: string, path: string) => {
          countRun(note)
          const { signal } = getRuntimeContext()
          await Promise.race([
            passed(path, null),
            new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
          ])
          countRun(`${note}.done`)
        },
        { numCpus: 0 },
      )
      const parent = remote(async (note: string, childNote: string, path: string) => {
        const ref = child.remote(childNote, path)
        countRun(note)
        await get(ref)
      })
      const task = parent.remote(started, childStarted, door.path)
      await running(childStarted)
      cancel(task, { recursive })
      await assert.rejects(get(task), TaskCancelledError)
      if (!recursive) {
        door.open()
        await running(`${childStarted}.done`)
      } else {
        await resourcesReturned()
        door.open()
        assert.equal(runsIn(`${childStarted}.done`), 0)
      }
    }
  })

  test('what is done stays done, what cannot be cancelled is refused', async () => {
    const done = remote(() => 5).remote()
    assert.equal(await get(done), 5)
    cancel(done)
    assert.equal(await get(done), 5)
    assert.throws(() => cancel(5 as never), TypeError)
    assert.throws(() => cancel(done, { nope: 1 } as never), TypeError)
    const value = put(1)
    try {
      cancel(value)
    } catch (error) {
      assert.ok(error instanceof TypeError)
    }
    assert.equal(await get(value), 1)
  })

  test('a body that blocks its worker and was cancelled holds nothing up, and a second, forced cancel ends it', async () => {
    const [first, second] = [scratchPath(), scratchPath()]
    const blocked = stubborn.remote(first)
    await running(first)
    cancel(blocked)
    await assert.rejects(get(blocked), TaskCancelledError)
    assert.equal(await get(remote(() => 7).remote()), 7, 'on the other CPU')
    const other = stubborn.remote(second)
    await running(second)
    cancel(other)
    const waiting = remote(() => 8).remote()
    for (const ref of [blocked, other]) cancel(ref, { force: true })
    assert.equal(await get(waiting), 8)
    await resourcesReturned()
  })

  test('get of a cancelled call rejects at once, though its async body goes on to its end', async () => {
    class Deaf {
      async sit(note: string, path: string) {
        countRun(note)
        return passed(path, 'done')
      }
    }
    const actor = remote(Deaf, { maxConcurrency: 1 }).remote()
    const [door, started] = [gate(), scratchPath()]
    const call = actor.sit.remote(started, door.path)
    const next = actor.sit.remote(started, door.path)
    await running(started)
    cancel(call)
    await assert.rejects(get(call), TaskCancelledError)
    assert.equal(runsIn(started), 1, 'its turn is not over')
    door.open()
    assert.equal(await get(next), 'done')
  })

  test('who borrows a ref may cancel it too', async () => {
    const [started, ended] = [scratchPath(), scratchPath()]
    const task = obedient.remote(started, ended)
    await running(started)
    const byOther = remote((box: { ref: ObjectRef<unknown> }) => cancel(box.ref))
    await get(byOther.remote({ ref: task }))
    await assert.rejects(get(task), TaskCancelledError)
  })

  test('of calls that run at once each has children of its own', async () => {
    const child = remote(
      async (note: string) => {
        countRun(note)
        await new Promise(resolve => getRuntimeContext().signal.addEventListener('abort', resolve))
        countRun(`${note}.told`)
      },
      { numCpus: 0 },
    )
    class Pair {
      async late(path: string, note: string) {
        await passed(path, null)
        await get(child.remote(note))
      }
      async listen(note: string) {
        const { signal } = getRuntimeContext()
        countRun(note)
        await new Promise(resolve => signal.addEventListener('abort', resolve))
      }
    }
    const actor = remote(Pair, { maxConcurrency: 2 }).remote()
    const [door, listening, made] = [gate(), scratchPath(), scratchPath()]
    const late = actor.late.remote(door.path, made)
    const other = actor.listen.remote(listening)
    await running(listening)
    door.open()
    await running(made)
    cancel(late)
    await assert.rejects(get(late), TaskCancelledError)
    await running(`${made}.told`)
    cancel(other)
    await assert.rejects(get(other), TaskCancelledError)
  })

  test('calls of actors: waiting ones are dropped, running async ones are told, force is refused', async () => {
    class Worker {
      async listen(note: string) {
        countRun(note)
        const { signal } = getRuntimeContext()
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
      async alive() {
        return true
      }
    }
    const actor = remote(Worker).remote()
    const started = scratchPath()
    const call = actor.listen.remote(started)
    await running(started)
    assert.throws(
      () => cancel(call, { force: true }),
      error => error instanceof TypeError || error instanceof RangeError,
    )
    cancel(call)
    await assert.rejects(get(call), TaskCancelledError)
    assert.equal(await get(actor.alive.remote()), true)

    class OneByOne {
      wait(path: string) {
        return passed(path, 'first')
      }
      run(path: string) {
        return countRun(path)
      }
    }
    const door = gate()
    const serial = remote(OneByOne).remote()
    const notRun = scratchPath()
    const first = serial.wait.remote(door.path)
    const second = serial.run.remote(notRun)
    const third = serial.run.remote(scratchPath())
    cancel(second)
    await assert.rejects(get(second), TaskCancelledError)
    door.open()
    assert.equal(await get(first), 'first')
    assert.equal(await get(third), 1)
    assert.equal(runsIn(notRun), 0)
    assert.deepEqual((await wait([second], { timeoutMs: 0 }))[0], [second])
  })

  test('calls that wait at an actor in a loop fail at once when they are cancelled, and never run', async () => {
    class Loops {
      until(path: string, started: string) {
        countRun(started)
        // Long enough for the process to look what has come meanwhile.
        for (const end = performance.now() + 50; performance.now() < end || !existsSync(path); );
        return 'done'
      }
      run(path: string) {
        return countRun(path)
      }
    }
    const actor = remote(Loops).remote()
    const [path, started, notRun] = [scratchPath(), scratchPath(), scratchPath()]
    const loop = actor.until.remote(path, started)
    await running(started)
    const queued = Array.from({ length: 20 }, () => actor.run.remote(notRun))
    for (const ref of queued) cancel(ref)
    for (const ref of queued) await assert.rejects(get(ref), TaskCancelledError)
    writeFileSync(path, '')
    assert.equal(await get(loop), 'done')
    assert.equal(await get(actor.run.remote(scratchPath())), 1)
    assert.equal(runsIn(notRun), 0)
  })
})
