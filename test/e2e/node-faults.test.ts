// SPDX-License-Identifier: Apache-2.0
// Nodes of real processes that are killed, and processes on them: what ran there runs elsewhere, what lay there is made
// again, and what cannot be says so.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import {
  availableResources,
  cancel,
  get,
  getRuntimeContext,
  init,
  NodeDiedError,
  nodeAffinity,
  ObjectLostError,
  type ObjectRef,
  OwnerDiedError,
  put,
  ReconstructionFailedError,
  ready,
  remote,
  shutdown,
  TaskCancelledError,
  type TaskError,
  WorkerCrashedError,
  wait,
} from 'eagleray'
import { Cluster, type ClusterNode } from 'eagleray/testing'
import { countRun, passed, runsIn } from './programs/by-reference.js'
import { gate, processGone, scratchPath, waitFor } from './support.js'

const THERE = { resources: { there: 0.001 } }
const offers = { numCpus: 1, resources: { there: 1 } }
/** More than travels in a message. */
const LARGE = 300_000

const nodeIdOf = remote(() => getRuntimeContext().nodeId, THERE)
const filled = remote((n: number, path: string) => {
  countRun(path)
  return new Uint8Array(LARGE).fill(n)
}, THERE)
const plusOne = remote((array: Uint8Array, path: string) => {
  countRun(path)
  return array.map(each => each + 1)
}, THERE)

interface Box {
  ref: ObjectRef<Uint8Array>
}

class Holder {
  pid() {
    return process.pid
  }
  stored() {
    return { ref: put(new Uint8Array(LARGE).fill(7)) }
  }
  where() {
    return getRuntimeContext().nodeId
  }
}

suite('faults on other nodes', function () {
  this.timeout(60_000)
  let cluster: Cluster
  let other: ClusterNode

  setup(async () => {
    cluster = await Cluster.start({ head: { numCpus: 1, nodeTimeoutMs: 1_000 } })
    other = await cluster.addNode(offers)
    await init({ address: cluster.address })
  })
  teardown(async () => {
    await shutdown()
    await cluster.shutdown()
  })

  /** Another node takes the place of the one that is killed. */
  async function replace(): Promise<ClusterNode> {
    const next = await cluster.addNode(offers)
    await cluster.removeNode(other, { graceful: false })
    other = next
    return next
  }

  test('a worker there is killed: its task is run again, or says how it ended', async () => {
    const path = scratchPath()
    const dies = remote((at: string, times: number) => {
      if (countRun(at) <= times) process.kill(process.pid, 'SIGKILL')
      return getRuntimeContext().nodeId
    }, THERE)
    assert.equal(await get(dies.remote(path, 1)), other.nodeId)
    assert.equal(runsIn(path), 2)
    await assert.rejects(get(dies.options({ maxRetries: 0 }).remote(scratchPath(), 1)), (error: WorkerCrashedError) => {
      assert.ok(error instanceof WorkerCrashedError, String(error))
      assert.equal(error.signal, 'SIGKILL')
      assert.ok(error.message.includes(other.nodeId), error.message)
      return true
    })
  })

  test('a worker that has leased one of a third node is killed: that one is free again', async () => {
    await cluster.addNode({ numCpus: 1, resources: { far: 1 } })
    const [door, path, pidPath] = [gate(), scratchPath(), scratchPath()]
    const outer = remote(
      async (at: string, open: string, pidAt: string) => {
        const { writeFileSync } = await import('node:fs')
        const api = await import('eagleray')
        writeFileSync(pidAt, String(process.pid))
        const body = async (a: string, o: string) => {
          countRun(a)
          await passed(o, null)
        }
        await api.get(api.remote(body, { resources: { far: 1 } }).remote(at, open))
      },
      { ...THERE, maxRetries: 0 },
    )
    const ref = outer.remote(path, door.path, pidPath)
    await waitFor(() => runsIn(path) === 1, 'the inner task runs')
    await waitFor(async () => (await availableResources()).far !== 1, 'it holds what it needs')
    process.kill(Number(readFileSync(pidPath, 'utf8')), 'SIGKILL')
    await assert.rejects(get(ref), WorkerCrashedError)
    await waitFor(async () => (await availableResources()).far === 1, 'what it held is free')
  })

  test('a task there is cancelled by force: its worker ends, and what was queued behind it runs', async () => {
    const path = scratchPath()
    const stuck = remote((at: string) => {
      countRun(at)
      for (;;);
    }, THERE).remote(path)
    await waitFor(() => runsIn(path) === 1, 'it runs')
    const behind = Array.from({ length: 3 }, () => nodeIdOf.remote())
    cancel(stuck, { force: true })
    await assert.rejects(get(stuck), TaskCancelledError)
    assert.deepEqual(await get(behind), Array(3).fill(other.nodeId))
  })

  test('a node is killed: what ran there runs elsewhere; without retries it fails with NodeDiedError', async () => {
    const [door, path] = [gate(), scratchPath()]
    const body = async (at: string, open: string) => {
      countRun(at)
      await passed(open, null)
      return getRuntimeContext().nodeId
    }
    const once = remote(body, { ...THERE, numCpus: 0, maxRetries: 0 }).remote(path, door.path)
    const again = remote(body, { ...THERE, numCpus: 0 }).remote(path, door.path)
    await waitFor(() => runsIn(path) === 2, 'both run')
    const dead = other.nodeId
    const next = await replace()
    await assert.rejects(get(once), (error: NodeDiedError) => {
      assert.ok(error instanceof NodeDiedError, String(error))
      assert.equal(error.nodeId, dead)
      return true
    })
    await waitFor(() => runsIn(path) === 3, 'it runs again')
    door.open()
    assert.equal(await get(again), next.nodeId)
  })

  test('the only copy is lost with its node: it is made again, and before it what it was made from', async () => {
    const paths = [scratchPath(), scratchPath(), scratchPath()] as const
    const first = filled.remote(1, paths[0])
    const second = plusOne.remote(first, paths[1])
    const third = plusOne.remote(second, paths[2])
    await wait([third], { fetchLocal: false })
    first[Symbol.dispose]()
    second[Symbol.dispose]()
    await replace()
    const array = await get(third)
    assert.deepEqual([array.length, array[0], array.at(-1)], [LARGE, 3, 3])
    assert.deepEqual(paths.map(runsIn), [2, 2, 2])
  })

  test('a copy that is here serves when the other is lost', async () => {
    const path = scratchPath()
    const ref = filled.remote(4, path)
    assert.equal((await get(ref))[0], 4)
    await replace()
    assert.equal((await get(ref))[9], 4)
    assert.equal(await get(remote((array: Uint8Array) => array.length, THERE).remote(ref)), LARGE)
    assert.equal(runsIn(path), 1)
  })

  test('what cannot be made again says so: nothing is left of it, and its task may not run again', async () => {
    const path = scratchPath()
    const ref = filled.options({ maxRetries: 0 }).remote(4, path)
    await wait([ref], { fetchLocal: false })
    await replace()
    await assert.rejects(get(ref), (error: ReconstructionFailedError) => {
      assert.ok(error instanceof ReconstructionFailedError, String(error))
      assert.match(error.message, /the retries of \w+ are used up/)
      return true
    })
    assert.ok(new ReconstructionFailedError('') instanceof ObjectLostError)
  })

  test('an actor restarts on another node, and a call that was under way is made again where that is allowed', async () => {
    const actor = remote(Holder, { ...THERE, maxRestarts: 1, maxTaskRetries: 2 }).remote()
    assert.equal(await get(actor.where.remote()), other.nodeId)
    const next = await replace()
    assert.equal(await get(actor.where.remote()), next.nodeId)
  })

  test('an owner on another node is killed: what it had put there is read here', async () => {
    const actor = remote(Holder, THERE).remote()
    await ready(actor)
    const pid = await get(actor.pid.remote())
    const { ref } = await get(actor.stored.remote())
    process.kill(pid, 'SIGKILL')
    await processGone(pid)
    const array = await get(ref)
    assert.deepEqual([array.length, array[0]], [LARGE, 7])
    assert.equal(await get(remote((value: Uint8Array) => value.length, THERE).remote(ref)), LARGE)
  })

  test('an owner here is killed: a task on another node reads what it had put, as its argument', async () => {
    const actor = remote(Holder, { schedulingStrategy: nodeAffinity({ nodeId: cluster.headNode.nodeId }) }).remote()
    await ready(actor)
    const pid = await get(actor.pid.remote())
    const { ref } = await get(actor.stored.remote())
    process.kill(pid, 'SIGKILL')
    await processGone(pid)
    assert.equal(await get(remote((value: Uint8Array) => value.length, THERE).remote(ref)), LARGE)
  })

  test('an owner is killed with its node: a node that joins later reads what it had put from where a copy is, and is told what is lost', async () => {
    const actor = remote(Holder, THERE).remote()
    const [{ ref }, { ref: lost }] = (await get([actor.stored.remote(), actor.stored.remote()])) as [Box, Box]
    await get(ref)
    await cluster.removeNode(other, { graceful: false })
    await assert.rejects(get(lost), OwnerDiedError)
    other = await cluster.addNode(offers)
    const length = remote((value: Uint8Array) => value.length, THERE)
    assert.equal(await get(length.remote(ref)), LARGE)
    const read = remote(async (box: Box) => (await get(box.ref, { timeoutMs: 20_000 })).length, THERE)
    await assert.rejects(get(read.remote({ ref: lost })), (error: TaskError) => {
      assert.ok(error.cause instanceof OwnerDiedError, String(error.cause))
      return true
    })
  })

  test('an owner is killed with its node, and with the only copy: OwnerDiedError', async () => {
    const actor = remote(Holder, THERE).remote()
    const { ref } = (await get(actor.stored.remote())) as { ref: ObjectRef<Uint8Array> }
    const dead = other.nodeId
    await replace()
    await assert.rejects(get(ref), (error: OwnerDiedError) => {
      assert.ok(error instanceof OwnerDiedError, String(error))
      assert.ok(error.message.includes(dead), error.message)
      return true
    })
  })
})
