// SPDX-License-Identifier: Apache-2.0
// From init to the end of the program, however it ends: nothing is left behind.

import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import {
  ActorDiedError,
  ClusterConnectionError,
  cancel,
  explain,
  get,
  getActor,
  init,
  isInitialized,
  kill,
  NodeDiedError,
  ObjectLostError,
  put,
  ready,
  remote,
  shutdown,
  wait,
} from 'eagleray'
import { passed } from './programs/by-reference.js'
import { begin, end, endPrograms, gate, isAlive, processGone, runProgram, scratchPath, sessionTraces, startProgram } from './support.js'

suite('lifecycle of a session', () => {
  teardown(() => shutdown())
  suiteTeardown(end)

  test('init twice is refused unless told to ignore it; shutdown twice is once; then again from the start', async () => {
    assert.equal(isInitialized(), false)
    await shutdown()
    const context = await begin()
    assert.equal(isInitialized(), true)
    await assert.rejects(init(), /init/)
    assert.equal((await init({ ignoreReinitError: true })).sessionDir, context.sessionDir)
    const ref = put(1)
    await shutdown()
    await shutdown()
    assert.equal(isInitialized(), false)
    await sessionTraces().gone()
    await assert.rejects(get(ref), 'a ref of an ended session')

    const again = await begin()
    assert.notEqual(again.sessionDir, context.sessionDir)
    assert.equal(await get(remote(() => 1).remote()), 1)
    await end()
  })

  test('several inits at once make one session', async () => {
    const [first, second] = await Promise.allSettled([begin(), init({ ignoreReinitError: true })])
    assert.equal(first.status, 'fulfilled')
    if (first.status === 'fulfilled' && second.status === 'fulfilled') assert.equal(first.value.sessionDir, second.value.sessionDir)
    await end()
  })

  test('every shutdown waits until nothing is left, not only the first', async () => {
    const { sessionDir } = await begin()
    const first = shutdown()
    await shutdown()
    assert.equal(existsSync(sessionDir), false)
    await first
    await end()
  })

  test('refs and handles of an ended session say so, and start no other', async () => {
    await begin()
    class Keeper {
      keep() {
        return 1
      }
    }
    const ref = put(1)
    const counted = remote(Keeper, { name: 'keeper' }).remote()
    await get(counted.keep.remote())
    const found = await getActor<Keeper>('keeper')
    await end()
    for (const use of [() => get(ref), () => wait([ref]), () => cancel(ref), () => explain(ref)])
      await assert.rejects(async () => use(), ObjectLostError)
    for (const handle of [counted, found])
      for (const use of [() => handle.keep.remote(), () => kill(handle), () => ready(handle)])
        await assert.rejects(async () => use(), ActorDiedError)
    assert.equal(isInitialized(), false)
  })

  test('options that cannot be are refused before anything is started', async () => {
    const wrong = [
      null,
      [],
      { labels: 5 },
      { labels: { a: 1 } },
      { namespace: 5 },
      { namespace: ' ' },
      { logToDriver: 'no' },
      { ignoreReinitError: 1 },
      { objectStoreBytes: 1000 },
      { objectStoreBytes: 1e15 },
      { memoryBytes: Number.POSITIVE_INFINITY },
      { unknown: 1 },
    ]
    for (const options of wrong)
      await assert.rejects(
        init(options as never),
        error => error instanceof TypeError || error instanceof RangeError,
        JSON.stringify(options),
      )
    assert.equal(isInitialized(), false)
  })

  test('init rejects when the daemon ends before it has welcomed the driver', async () => {
    const { stdout } = await runProgram('lost-early.mjs', { args: [scratchPath()] })
    assert.match(stdout, /NodeDiedError/)
  })

  test('shutdown settles what is pending', async () => {
    await begin()
    const pending = get(
      remote(() => {
        const until = performance.now() + 20_000
        while (performance.now() < until);
      }).remote(),
    )
    const settled = assert.rejects(pending)
    await shutdown()
    await settled
    await sessionTraces().gone()
  })

  test('the node daemon is killed: NodeDiedError for what waits and what comes, until the next init', async () => {
    await begin()
    const door = gate()
    const pending = get(remote(passed<number>).remote(door.path, 1))
    const daemon = sessionTraces()
      .processes()
      .find(each => each.command.endsWith('/bundle/node.js'))
    process.kill(daemon!.pid, 'SIGKILL')
    const isGone = (error: NodeDiedError) =>
      error instanceof NodeDiedError &&
      /^the node \w+ of this session is gone: it ended with signal SIGKILL; .*init\(\)/.test(error.message)
    await assert.rejects(pending, isGone)
    assert.throws(() => put(1), isGone)
    await assert.rejects(async () => get(remote(() => 1).remote()), isGone)
    await shutdown()
    await sessionTraces().gone()
    await begin()
    assert.equal(await get(remote(() => 1).remote()), 1)
    await end()
  })

  test('the context is disposed of at the end of its block', async () => {
    {
      await using context = await begin()
      assert.ok(existsSync(context.sessionDir))
    }
    assert.equal(isInitialized(), false)
    await sessionTraces().gone()
  })

  test('session and store are for this user only', async () => {
    const context = await begin()
    const folders = [context.sessionDir, ...sessionTraces().folders, ...sessionTraces().folders.map(dirname)]
    assert.ok(folders.length >= 3)
    for (const folder of folders) assert.equal(statSync(folder).mode & 0o077, 0, folder)
    await end()
  })

  test('wrong options are refused before anything starts', async () => {
    const refused: [Record<string, unknown>, typeof TypeError | typeof RangeError][] = [
      [{ nope: 1 }, TypeError],
      [{ numCpus: -1 }, RangeError],
      [{ numCpus: 'two' }, TypeError],
      [{ objectStoreBytes: -1 }, RangeError],
      [{ resources: { CPU: 1 } }, TypeError],
      [{ resources: { token: -1 } }, RangeError],
      [{ address: 5 }, TypeError],
      [{ dashboard: true }, TypeError],
      [{ dashboard: { port: 1 } }, TypeError],
    ]
    for (const [options, kind] of refused) {
      await assert.rejects(
        init({ address: 'local', ...options } as never),
        error => error instanceof kind || error instanceof RangeError || error instanceof TypeError,
      )
      assert.equal(isInitialized(), false)
    }
    await assert.rejects(init({ dashboard: true }), /dashboard is not there in this version: .*eagleray status/)
    await assert.rejects(init({ address: 'local', objectStoreBytes: 2 ** 50 }), /space|capacity|bytes/i, 'a store that does not fit')
    await assert.rejects(init({ address: '127.0.0.1:1' }), ClusterConnectionError)
    assert.equal(isInitialized(), false)
  })
})

suite('lifecycle of a program', () => {
  teardown(endPrograms)

  test('the first use starts a cluster; the end of the program ends it', async () => {
    const { stdout } = await runProgram('auto-init.mjs')
    assert.match(stdout, /^initialized false true$/m)
    assert.match(stdout, /^answer 3$/m)
  })

  test('a program may end without shutdown, once nothing it awaits is pending', async () => {
    assert.match((await runProgram('ending.mjs', { args: ['falls-off'] })).stdout, /^answer 42$/m)
    assert.match((await runProgram('ending.mjs', { args: ['awaits'] })).stdout, /^awaited 1$/m)
  })

  for (const [how, code] of [
    ['exits', 3],
    ['throws', 1],
    ['leaves-work', 0],
  ] as const) {
    test(`a program that ${how} ends with ${code} and leaves nothing`, async () => {
      const program = startProgram('ending.mjs', { args: [how] })
      await program.line(/^ready/m)
      program.traces.note()
      const ended = await program.ended
      assert.equal(ended.code, code, ended.stderr)
      await program.traces.gone()
    })
  }

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    test(`${signal} ends it with ${code} and leaves nothing`, async () => {
      const program = startProgram('ending.mjs', { args: ['hangs'] })
      await program.line(/^ready/m)
      program.traces.note()
      assert.ok(program.traces.folders.length >= 2, 'it has a session and a store')
      program.kill(signal)
      const ended = await program.ended
      assert.ok(ended.code === code || ended.signal === signal, `code ${ended.code}, signal ${ended.signal}`)
      await program.traces.gone()
    })
  }

  test('SIGINT to the whole group, as from a terminal, is no different', async () => {
    const program = startProgram('ending.mjs', { args: ['hangs'] })
    await program.line(/^ready/m)
    program.traces.note()
    for (const { pid } of program.traces.processes()) if (pid !== program.pid) process.kill(pid, 'SIGINT')
    program.kill('SIGINT')
    const ended = await program.ended
    assert.ok(ended.code === 130 || ended.signal === 'SIGINT', `code ${ended.code}, signal ${ended.signal}`)
    await program.traces.gone()
  })

  test('kill -9 of the driver, idle or in the middle of everything, leaves no process, no memory, no file', async () => {
    for (const how of ['hangs', 'busy']) {
      const program = startProgram('ending.mjs', { args: [how] })
      await program.line(/^ready/m)
      program.traces.note()
      const pids = program.traces.processes().map(each => each.pid)
      assert.ok(pids.length >= 4, 'driver, daemon and two workers')
      assert.ok(program.traces.folders.some(folder => existsSync(folder)))
      program.kill('SIGKILL')
      assert.equal((await program.ended).signal, 'SIGKILL')
      await program.traces.gone()
      assert.ok(pids.every(pid => !isAlive(pid)))
    }
  })

  test('kill -9 of the daemon: the driver is told, and nothing is left', async () => {
    const program = startProgram('ending.mjs', { args: ['hangs'] })
    const [, daemon] = await program.line(/^daemon (\d+)$/m)
    await program.line(/^ready/m)
    program.traces.note()
    process.kill(Number(daemon), 'SIGKILL')
    await program.line(/^get rejected: ERR_EAGLERAY_(CLUSTER_CONNECTION|NODE_DIED)/m)
    await program.line(/^call rejected: ERR_EAGLERAY_/m)
    await program.line(/^new work rejected: ERR_EAGLERAY_/m)
    program.say('end')
    const ended = await program.ended
    assert.equal(ended.code, 0, ended.stderr)
    await processGone(Number(daemon))
    await program.traces.gone()
  })
})
