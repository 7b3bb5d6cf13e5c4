// SPDX-License-Identifier: Apache-2.0
// Resources: counters that hold back what does not fit, come back in full, and say when they never will fit.

import assert from 'node:assert/strict'
import {
  ActorUnschedulableError,
  availableResources,
  clusterResources,
  get,
  getGpuIds,
  getRuntimeContext,
  init,
  isInitialized,
  kill,
  type ObjectRef,
  ready,
  remote,
  TaskUnschedulableError,
  wait,
} from 'eagleray'
import { countRun, passed, runsIn } from './programs/by-reference.js'
import { begin, end, gate, resourcesReturned, runProgram, scratchPath, waitFor } from './support.js'

const held = remote(passed<number>)
const available = async (name: string) => (await availableResources())[name] ?? 0

suite('resources', () => {
  let before: NodeJS.ProcessEnv
  suiteSetup(async () => {
    before = { ...process.env }
    process.env.EAGLERAY_INFEASIBLE_AFTER_MS = '300'
    delete process.env.CUDA_VISIBLE_DEVICES
    await begin({ numCpus: 2, numGpus: 4, memoryBytes: 1 << 30, resources: { token: 1, slot: 2.5 } })
  })
  suiteTeardown(async () => {
    await end()
    if (before.EAGLERAY_INFEASIBLE_AFTER_MS === undefined) delete process.env.EAGLERAY_INFEASIBLE_AFTER_MS
    if (before.CUDA_VISIBLE_DEVICES !== undefined) process.env.CUDA_VISIBLE_DEVICES = before.CUDA_VISIBLE_DEVICES
  })

  test('what the cluster has, what a task holds, and that it comes back', async () => {
    const total = await clusterResources()
    assert.deepEqual([total.CPU, total.GPU, total.memory, total.token, total.slot], [2, 4, 1 << 30, 1, 2.5])
    const door = gate()
    const options = { numCpus: 0.5, numGpus: 0.25, memoryBytes: 1 << 20, resources: { token: 1, slot: 0.0001 } }
    const task = held.options(options).remote(door.path, 1)
    await waitFor(async () => (await available('token')) === 0, 'the token taken')
    const left = await availableResources()
    assert.deepEqual([left.CPU, left.GPU, left.memory, left.slot], [1.5, 3.75, (1 << 30) - (1 << 20), 2.4999])
    door.open()
    await get(task)
    await resourcesReturned()
  })

  test('no more run at once than fit', async () => {
    const door = gate()
    const started = scratchPath()
    const counted = remote(async (note: string, path: string) => {
      countRun(note)
      return passed(path, 1)
    })
    const whole = Array.from({ length: 5 }, () => counted.remote(started, door.path))
    await waitFor(() => runsIn(started) === 2, 'two tasks on two CPUs')
    assert.equal(await available('CPU'), 0)
    assert.deepEqual((await wait(whole, { timeoutMs: 100 }))[0], [])
    assert.equal(runsIn(started), 2)
    door.open()
    await get(whole)

    const [next, halves] = [gate(), scratchPath()]
    const half = Array.from({ length: 6 }, () => counted.options({ numCpus: 0.5 }).remote(halves, next.path))
    await waitFor(() => runsIn(halves) === 4, 'four tasks of half a CPU')
    next.open()
    await get(half)
    const [last, single] = [gate(), scratchPath()]
    const tokens = Array.from({ length: 2 }, () => counted.options({ numCpus: 0, resources: { token: 1 } }).remote(single, last.path))
    await waitFor(() => runsIn(single) === 1, 'one task with the token')
    assert.deepEqual((await wait(tokens, { timeoutMs: 50 }))[0], [])
    last.open()
    await get(tokens)
  })

  test('an actor of one call at a time lends its CPU while it waits, an async one keeps it', async () => {
    class Sync {
      wait(refs: [ObjectRef<unknown>], note: string) {
        setImmediate(() => countRun(note))
        return get(refs[0])
      }
    }
    class Async {
      async wait(refs: [ObjectRef<unknown>], note: string) {
        setImmediate(() => countRun(note))
        return get(refs[0])
      }
    }
    const opened = remote(passed<number>, { numCpus: 0 })
    for (const [Class, free] of [
      [Sync, 2],
      [Async, 1],
    ] as const) {
      const [door, note] = [gate(), scratchPath()]
      const actor = remote(Class as typeof Sync, { numCpus: 1 }).remote()
      const call = actor.wait.remote([opened.remote(door.path, 5)], note)
      await waitFor(() => runsIn(note) === 1, 'the call waits')
      await waitFor(async () => (await available('CPU')) === free, `${free} CPUs free while ${Class.name} waits`)
      door.open()
      assert.equal(await get(call), 5)
      kill(actor)
      await waitFor(async () => (await available('CPU')) === 2, 'the actor gone')
    }
  })

  test('a waiting task gives its CPU back, so nested tasks do not wait for each other', async () => {
    const leaf = remote((n: number) => n, { numCpus: 2 })
    const parent = remote(async (n: number) => (await get([leaf.remote(n), leaf.remote(n + 1)])).reduce((a, b) => a + b), { numCpus: 2 })
    const grand = remote(async (n: number) => (await get(parent.remote(n))) + (await get(parent.remote(n))), { numCpus: 2 })
    assert.equal(await get(grand.remote(1)), 6)
    const many = remote(async (depth: number): Promise<number> => {
      const again = remote(async (n: number): Promise<number> => (n === 0 ? 1 : (await get(remote((m: number) => m).remote(n))) + 1))
      return get(again.remote(depth))
    })
    assert.deepEqual(await get(Array.from({ length: 8 }, () => many.remote(2))), Array(8).fill(3))

    // It waits: its CPUs serve others; its custom resources stay held.
    const door = gate()
    const waiting = remote(async (refs: ObjectRef<number>[]) => (await wait(refs))[0].length, { numCpus: 2, resources: { token: 1 } })
    const slow = held.options({ numCpus: 0 }).remote(door.path, 1)
    const blocked = waiting.remote([slow])
    await waitFor(async () => (await available('token')) === 0 && (await available('CPU')) === 2, 'CPUs given back, token held')
    assert.equal(await get(leaf.remote(5)), 5)
    door.open()
    assert.equal(await get(blocked), 1)
  })

  test('actors: one CPU to be placed and none to run by default, what is named is held for life', async () => {
    class Idle {
      ids() {
        return [getGpuIds(), getRuntimeContext().assignedResources]
      }
    }
    const defaults = Array.from({ length: 4 }, () => remote(Idle).remote())
    await Promise.all(defaults.map(ready))
    await waitFor(async () => (await available('CPU')) === 2, 'default actors hold no CPU')
    const named = remote(Idle, { numCpus: 1, numGpus: 2 }).remote()
    const [ids, assigned] = (await get(named.ids.remote())) as [string[], Record<string, number>]
    assert.equal(ids.length, 2)
    assert.deepEqual([assigned.CPU, assigned.GPU], [1, 2])
    assert.deepEqual([await available('CPU'), await available('GPU')], [1, 2])
    assert.deepEqual((await get(named.ids.remote()))[0], ids)
    for (const handle of [...defaults, named]) handle[Symbol.dispose]()
    await resourcesReturned()
  })

  test('GPU ids: whole devices, fractions that fill one device before the next, the same in the environment', async () => {
    const look = async (path: string, note: string) => {
      countRun(note)
      await passed(path, null)
      return { ids: getGpuIds(), env: process.env.CUDA_VISIBLE_DEVICES, context: getRuntimeContext().acceleratorIds, pid: process.pid }
    }
    const looking = remote(look, { numCpus: 0 })
    const [door, note] = [gate(), scratchPath()]
    const thirds = Array.from({ length: 3 }, () => looking.options({ numGpus: 0.5 }).remote(door.path, note))
    await waitFor(() => runsIn(note) === 3, 'three halves running')
    const two = looking.options({ numGpus: 2 }).remote(door.path, note)
    await waitFor(() => runsIn(note) === 4, 'two whole beside them')
    door.open()
    const halves = (await get(thirds)).map(each => each.ids)
    assert.ok(halves.every(ids => ids.length === 1))
    assert.equal(new Set(halves.flat()).size, 2, 'two halves share a device, the third has its own')
    const whole = await get(two)
    assert.equal(new Set([...whole.ids, ...halves.flat()]).size, 4, 'whole devices are not shared')
    assert.equal(whole.env, whole.ids.join(','))
    const none = await get(looking.remote(door.path, note))
    assert.deepEqual(none.ids, [])
    assert.equal(none.env, '')
  })

  test('GPU tasks get a fresh process each, unless maxCalls is 0', async () => {
    const pid = remote(() => process.pid, { numGpus: 1 })
    const fresh = [await get(pid.remote()), await get(pid.remote()), await get(pid.remote())]
    assert.equal(new Set(fresh).size, 3)
    const kept = remote(() => process.pid, { numGpus: 1, maxCalls: 0 })
    assert.equal(await get(kept.remote()), await get(kept.remote()))
    await resourcesReturned()
  })

  test('maxCalls ends a process after that many calls', async () => {
    const pid = remote(() => process.pid, { maxCalls: 2, resources: { token: 1 } })
    const pids: number[] = []
    for (let i = 0; i < 4; i++) pids.push(await get(pid.remote()))
    assert.equal(pids[0], pids[1])
    assert.equal(pids[2], pids[3])
    assert.notEqual(pids[0], pids[2])
  })

  test('what can never be placed fails, and everything else goes on', async () => {
    const tooBig = remote(() => 1, { numCpus: 64 }).remote()
    const unknown = remote(() => 1, { resources: { unicorn: 1 } }).remote()
    await assert.rejects(
      get(tooBig),
      (error: TaskUnschedulableError) => error instanceof TaskUnschedulableError && /64/.test(error.message),
    )
    await assert.rejects(
      get(unknown),
      (error: TaskUnschedulableError) => error instanceof TaskUnschedulableError && /unicorn/.test(error.message),
    )
    class Big {}
    await assert.rejects(ready(remote(Big, { numGpus: 100 }).remote()), ActorUnschedulableError)
    assert.equal(await get(remote(() => 'fine').remote()), 'fine')
  })

  test('more GPUs than CUDA_VISIBLE_DEVICES names is refused at start; its ids are handed out', async () => {
    const { stdout } = await runProgram('gpus.mjs', { env: { CUDA_VISIBLE_DEVICES: 'GPU-a,GPU-b' } })
    assert.match(stdout, /^refused: RangeError$/m)
    assert.match(stdout, /^GPU-a,GPU-b$/m)
    assert.ok(isInitialized())
    await assert.rejects(init({ numCpus: 1 }), 'a second init')
  })

  test('a warning names what cannot be placed', async () => {
    const { stderr } = await runProgram('infeasible.mjs', { env: { EAGLERAY_INFEASIBLE_AFTER_MS: '500' } })
    assert.match(stderr, /unicorn/)
  })
})
