// SPDX-License-Identifier: Apache-2.0
// The runtime environment of init(): all workers have it, and what tasks and actors say comes on top.

import assert from 'node:assert/strict'
import { get, getGpuIds, init, isInitialized, type RuntimeEnv, RuntimeEnvError, remote, state } from 'eagleray'
import { begin, end, scratchPath, waitFor } from './support.js'

const variables = remote((...names: string[]) => names.map(name => process.env[name] ?? null))

suite('the runtime environment of a job', () => {
  teardown(end)

  test('warm workers have it, tasks add to it, and the driver’s own process is left alone', async () => {
    await begin({ runtimeEnv: { envVars: { EAGLERAY_TEST_JOB: 'job', EAGLERAY_TEST_BOTH: 'job' } } })
    const warm = await waitFor(async () => {
      const idle = (await state.listWorkers()).filter(each => each.state === 'idle')
      return idle.length === 2 ? idle.map(each => each.pid) : null
    })
    const pid = remote(() => process.pid)
    assert.ok(warm.includes(await get(pid.remote())), 'the task found a warm worker')
    const own: RuntimeEnv = { envVars: { EAGLERAY_TEST_BOTH: 'task' } }
    const names = ['EAGLERAY_TEST_JOB', 'EAGLERAY_TEST_BOTH'] as const
    assert.deepEqual(await get(variables.remote(...names)), ['job', 'job'])
    assert.deepEqual(await get(variables.options({ runtimeEnv: own }).remote(...names)), ['job', 'task'])
    assert.equal(process.env.EAGLERAY_TEST_JOB, undefined)
  })

  test('one that cannot be set up fails tasks, not init()', async () => {
    await begin({ runtimeEnv: { workingDir: scratchPath() } })
    await assert.rejects(get(variables.remote('PATH')), RuntimeEnvError)
    await assert.rejects(get(variables.remote('PATH')), RuntimeEnvError)
  })

  test('a wrong one is refused by init(), and nothing is started', async () => {
    await assert.rejects(
      init({ runtimeEnv: { envVars: { A: 1 } } as unknown as RuntimeEnv }),
      /^TypeError: init\(\): runtimeEnv\.envVars\.A/,
    )
    assert.equal(isInitialized(), false)
  })
})

suite('CUDA_VISIBLE_DEVICES of a runtime environment', () => {
  const before = process.env.CUDA_VISIBLE_DEVICES
  suiteSetup(() => {
    delete process.env.CUDA_VISIBLE_DEVICES
    return begin({ numGpus: 2 })
  })
  suiteTeardown(async () => {
    if (before !== undefined) process.env.CUDA_VISIBLE_DEVICES = before
    await end()
  })

  const seen = remote(() => [process.env.CUDA_VISIBLE_DEVICES ?? null, getGpuIds()] as const)
  const runtimeEnv = { envVars: { CUDA_VISIBLE_DEVICES: '7' } }

  test('is never overwritten, with GPUs or without; getGpuIds() tells what was given', async () => {
    assert.deepEqual(await get(seen.options({ runtimeEnv }).remote()), ['7', []])
    assert.deepEqual(await get(seen.options({ runtimeEnv, numGpus: 1 }).remote()), ['7', ['0']])
    const Actor = remote(
      class {
        seen(): [string | null, string[]] {
          return [process.env.CUDA_VISIBLE_DEVICES ?? null, getGpuIds()]
        }
      },
    )
    const actor = Actor.options({ runtimeEnv, numGpus: 1 }).remote()
    assert.equal((await get(actor.seen.remote()))[0], '7')
  })

  test('is set as ever where the environment does not name it', async () => {
    const [named, ids] = await get(seen.options({ runtimeEnv: { envVars: { OTHER: '1' } }, numGpus: 1 }).remote())
    assert.deepEqual([ids.length, named], [1, ids[0]])
    assert.deepEqual(await get(seen.remote()), ['', []])
  })
})
