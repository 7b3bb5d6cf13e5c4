// SPDX-License-Identifier: Apache-2.0
// What code can ask about itself and its cluster: the runtime context, nodes, and the lists of the state API.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { isIP } from 'node:net'
import {
  type ClusterContext,
  explain,
  get,
  getGpuIds,
  getNodeIpAddress,
  getRuntimeContext,
  nodes,
  put,
  ready,
  remote,
  state,
} from 'eagleray'
import { countRun, passed } from './programs/by-reference.js'
import { begin, end, gate, scratchPath, waitFor } from './support.js'

let context: ClusterContext

class Whoami {
  ask() {
    const { nodeId, jobId, taskId, actorId, workerId, namespace, assignedResources, attempt } = getRuntimeContext()
    return { nodeId, jobId, taskId, actorId, workerId, namespace, assignedResources, attempt, pid: process.pid }
  }
}

suite('context', () => {
  suiteSetup(async () => {
    context = await begin({ namespace: 'tests', labels: { zone: 'here' }, resources: { token: 1 } })
  })
  suiteTeardown(end)

  test('init tells where the cluster is', () => {
    assert.match(context.nodeId, /^[0-9a-f]{10}$/)
    assert.ok(context.jobId.length > 0)
    assert.ok(context.address.length > 0)
    assert.ok(existsSync(context.sessionDir))
    assert.equal(context.dashboardUrl, null)
  })

  test('the driver, a task and an actor each know who they are', async () => {
    const here = getRuntimeContext()
    assert.deepEqual(
      [here.nodeId, here.jobId, here.taskId, here.actorId, here.namespace],
      [context.nodeId, context.jobId, null, null, 'tests'],
    )
    assert.ok(here.workerId.startsWith(context.nodeId))

    const ref = remote(() => {
      const { nodeId, jobId, taskId, actorId, workerId, namespace, assignedResources, acceleratorIds, attempt, isCanceled, signal } =
        getRuntimeContext()
      return {
        nodeId,
        jobId,
        taskId,
        actorId,
        workerId,
        namespace,
        assignedResources,
        acceleratorIds,
        attempt,
        isCanceled,
        aborted: signal.aborted,
      }
    }).remote()
    const there = await get(ref)
    assert.equal(there.taskId, ref.id)
    assert.deepEqual(
      [there.nodeId, there.jobId, there.actorId, there.namespace, there.attempt, there.isCanceled, there.aborted],
      [context.nodeId, context.jobId, null, 'tests', 0, false, false],
    )
    assert.equal(there.assignedResources.CPU, 1)
    assert.notEqual(there.workerId, here.workerId)

    const actor = remote(Whoami).remote()
    const call = actor.ask.remote()
    const inside = await get(call)
    assert.match(inside.actorId!, /^[0-9a-f]{40}$/)
    assert.equal(inside.taskId, call.id)
    assert.equal(inside.assignedResources.CPU ?? 0, 0, 'a default actor holds no CPU')
    assert.equal((await state.listActors()).find(each => each.actorId === inside.actorId)!.pid, inside.pid)

    assert.deepEqual(getGpuIds(), [])
    assert.ok(isIP(getNodeIpAddress()) > 0)
  })

  test('two async calls at once each have a context of their own', async () => {
    class Async {
      async ask(path: string) {
        const before = getRuntimeContext().taskId
        await passed(path, null)
        return [before, getRuntimeContext().taskId]
      }
    }
    const door = gate()
    const actor = remote(Async).remote()
    const calls = [actor.ask.remote(door.path), actor.ask.remote(door.path)]
    door.open()
    assert.deepEqual(
      await get(calls),
      calls.map(call => [call.id, call.id]),
    )
  })

  test('attempts are counted', async () => {
    const attempts = remote((path: string) => {
      if (countRun(path) < 3) throw new Error('again')
      return getRuntimeContext().attempt
    })
    assert.equal(await get(attempts.options({ retryExceptions: true }).remote(scratchPath())), 2)
  })

  test('nodes are listed with resources and labels', async () => {
    const [node, ...others] = await nodes()
    assert.equal(others.length, 0)
    assert.deepEqual([node!.nodeId, node!.alive], [context.nodeId, true])
    assert.deepEqual([node!.resources.CPU, node!.resources.token], [2, 1])
    assert.deepEqual(node!.labels, { zone: 'here', 'eagleray.io/node-id': context.nodeId })
    assert.equal(typeof node!.address, 'string')
    await waitFor(async () => (await nodes())[0]!.available.CPU === 2, 'all CPUs available')
    assert.equal((await state.listNodes()).length, 1)
  })

  test('tasks, workers and jobs are listed', async () => {
    const door = gate()
    const named = remote(passed<number>, { name: 'patient' })
    const running = named.remote(door.path, 1)
    const row = await waitFor(
      async () => (await state.listTasks()).find(each => each.taskId === running.id && /run/i.test(each.state)),
      'the task running',
    )
    assert.equal(row.name, 'patient')
    assert.equal(row.attempt, 0)
    assert.equal(row.nodeId, context.nodeId)
    const worker = (await state.listWorkers()).find(each => each.workerId === row.workerId)!
    assert.ok(worker.pid > 0)
    const queued = remote((n: number) => n).remote(running)
    assert.ok((await state.listTasks()).some(each => each.taskId === queued.id && !/run/i.test(each.state)))
    door.open()
    await get(queued)
    await waitFor(
      async () => (await state.listTasks()).some(each => each.taskId === queued.id && /finish|done|succe/i.test(each.state)),
      'finished',
    )
    const failed = remote(() => Promise.reject(new Error('for the list'))).remote()
    await assert.rejects(get(failed))
    await waitFor(
      async () => (await state.listTasks()).some(each => each.taskId === failed.id && /for the list/.test(each.error ?? '')),
      'failed',
    )
    assert.equal((await state.listJobs()).length, 1)
    const summary = await state.summarizeTasks()
    assert.ok(Object.values(summary.patient ?? {}).reduce((sum, count) => sum + count, 0) >= 1, JSON.stringify(summary))
  })

  test('explain says what a ref waits for', async () => {
    const door = gate()
    const late = remote(passed<number>, { numCpus: 0, name: 'late' }).remote(door.path, 1)
    const waiting = remote((n: number) => n).remote(late)
    assert.match(JSON.stringify(await explain(waiting)), new RegExp(late.id))
    const hungry = remote(() => 1, { numCpus: 0.5, resources: { token: 1 } })
    const holder = remote(passed<number>, { resources: { token: 1 } }).remote(door.path, 2)
    await waitFor(async () => (await nodes())[0]!.available.token === 0, 'the token taken')
    const starved = hungry.remote()
    await waitFor(async () => /token/.test(JSON.stringify(await explain(starved))), 'explained by the token')
    door.open()
    assert.deepEqual(await get([waiting, starved, holder]), [1, 1, 2])
    assert.ok(await explain(put(1)))
    await ready(remote(Whoami).remote())
  })
})
