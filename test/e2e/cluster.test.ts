// SPDX-License-Identifier: Apache-2.0
// Two nodes of real processes: work goes where its resources are, and the cluster outlives what ends.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import {
  ActorDiedError,
  ClusterConnectionError,
  clusterResources,
  get,
  getActor,
  init,
  kill,
  nodes,
  type ObjectRef,
  put,
  remote,
  shutdown,
  state,
  TaskError,
  wait,
} from 'eagleray'
import { Cluster, type ClusterNode } from 'eagleray/testing'
import { passed } from './programs/by-reference.js'
import { endPrograms, gate, processGone, startProgram, waitFor } from './support.js'

const HERE = { resources: { here: 0.001 } }
const THERE = { resources: { there: 0.001 } }

class Counter {
  private n = 0
  add(k: number): number {
    this.n += k
    return this.n
  }
  pid(): number {
    return process.pid
  }
}

suite('two nodes', () => {
  let cluster: Cluster
  let other: ClusterNode

  suiteSetup(async function () {
    this.timeout(60_000)
    cluster = await Cluster.start({ head: { numCpus: 1, resources: { here: 1 }, labels: { zone: 'a' } } })
    other = await cluster.addNode({ numCpus: 1, resources: { there: 1 }, labels: { zone: 'b' } })
    await init({ address: cluster.address, namespace: 'tests' })
  })
  suiteTeardown(async () => {
    const dirs = cluster.nodes.map(node => node.sessionDir)
    const pids = [...cluster.nodes.map(node => node.pid), cluster.headPid as number]
    await shutdown()
    await cluster.shutdown()
    for (const pid of pids) await processGone(pid)
    for (const dir of dirs) assert.equal(existsSync(dir), false, dir)
    await assert.rejects(init({ address: cluster.address }), ClusterConnectionError)
  })

  const nodeOf = remote(async () => (await import('eagleray')).getRuntimeContext().nodeId)

  test('both are listed, with what they offer, and add up', async () => {
    const rows = await nodes()
    assert.deepEqual(
      rows.map(row => [row.nodeId, row.alive, row.labels.zone]),
      [
        [cluster.headNode.nodeId, true, 'a'],
        [other.nodeId, true, 'b'],
      ],
    )
    const total = await clusterResources()
    assert.deepEqual([total.CPU, total.here, total.there], [2, 1, 1])
  })

  test('tasks run where their resources are', async () => {
    assert.equal(await get(nodeOf.options(HERE).remote()), cluster.headNode.nodeId)
    assert.equal(await get(nodeOf.options(THERE).remote()), other.nodeId)
    const many = Array.from({ length: 200 }, (_, i) => remote((n: number) => n * 2, THERE).remote(i))
    assert.deepEqual(
      await get(many),
      Array.from({ length: 200 }, (_, i) => 2 * i),
    )
  })

  test('errors, several results, and a task that submits others come back', async () => {
    const refuse = remote(() => {
      throw new RangeError('no')
    }, THERE)
    await assert.rejects(get(refuse.remote()), (error: Error) => error instanceof TaskError && error.cause instanceof RangeError)
    const [a, b] = remote(() => ['x', 'y'] as [string, string], { ...THERE, numReturns: 2 }).remote()
    assert.deepEqual(await get([a, b]), ['x', 'y'])
    const outer = remote(async (inner: typeof nodeOf) => {
      const { get, getRuntimeContext } = await import('eagleray')
      return [getRuntimeContext().nodeId, await get(inner.options({ resources: { here: 0.001 } }).remote())]
    }, THERE)
    assert.deepEqual(await get(outer.remote(nodeOf)), [other.nodeId, cluster.headNode.nodeId])
  })

  test('refs go there and come back', async () => {
    const ref = put({ a: [1, 2, 3] })
    const sum = remote((value: { a: number[] }) => value.a.reduce((x, y) => x + y, 0), THERE)
    assert.equal(await get(sum.remote(ref)), 6)
    const nested = remote(async (box: { ref: ObjectRef<{ a: number[] }> }) => (await import('eagleray')).get(box.ref), THERE)
    assert.deepEqual(await get(nested.remote({ ref })), { a: [1, 2, 3] })
    const made = remote(async () => (await import('eagleray')).put('made there'), THERE).remote()
    assert.equal(await get(await get(made)), 'made there')
    const [ready] = await wait([sum.remote(ref)])
    assert.equal(ready.length, 1)
  })

  test('large values travel both ways', async () => {
    const bytes = new Uint8Array(3 << 20).map((_, i) => i * 7)
    const sum = (values: Uint8Array): number => values.reduce((a, b) => a + b, 0)
    const there = remote((values: Uint8Array) => values.slice().reverse(), THERE)
    const back = await get(there.remote(put(bytes)))
    assert.deepEqual([back.length, back[0], sum(back)], [bytes.length, bytes.at(-1), sum(bytes)])
  })

  test('tasks and objects are listed at the nodes where they are', async () => {
    const made = remote(() => new Uint8Array(1 << 20), THERE).remote()
    await wait([made], { fetchLocal: false })
    const task = (await state.listTasks()).find(row => row.taskId === made.id)
    assert.deepEqual([task?.state, task?.nodeId, task?.workerId?.startsWith(other.nodeId)], ['FINISHED', other.nodeId, true])
    const nodeIds = async () => {
      const rows = (await state.listObjects()).filter(row => row.objectId === made.id)
      assert.equal(rows.length, 1, 'its owner tells of it, and not the nodes that have copies')
      return rows[0]?.nodeIds
    }
    assert.deepEqual(await nodeIds(), [other.nodeId])
    await get(made)
    await waitFor(async () => (await nodeIds())?.length === 2, 'a copy here as well')
    assert.deepEqual(new Set(await nodeIds()), new Set([cluster.headNode.nodeId, other.nodeId]))
    const door = gate()
    const late = remote((n: number) => n, THERE).remote(remote(passed<number>, { numCpus: 0 }).remote(door.path, 1))
    const waiting = (await state.listTasks()).find(row => row.taskId === late.id)
    assert.deepEqual([waiting?.state, waiting?.nodeId, waiting?.workerId], ['PENDING_ARGS', null, null])
    door.open()
    assert.equal(await get(late), 1)
  })

  test('actors live on either, and know each other', async () => {
    const Remote = remote(Counter)
    const [near, far] = [Remote.options(HERE).remote(), Remote.options(THERE).remote()]
    assert.deepEqual(await get([near.add.remote(1), far.add.remote(2), far.add.remote(3)]), [1, 2, 5])
    const rows = await state.listActors()
    const nodeIds = rows.filter(row => row.state === 'alive').map(row => row.nodeId)
    assert.ok(nodeIds.includes(cluster.headNode.nodeId) && nodeIds.includes(other.nodeId))
    const use = remote(async (counter: typeof far) => (await import('eagleray')).get(counter.add.remote(10)), HERE)
    assert.equal(await get(use.remote(far)), 15)
    kill(far)
    await assert.rejects(get(far.add.remote(1)), ActorDiedError)
    assert.equal(await get(near.add.remote(1)), 2)
  })

  test('an actor by name, from another driver on the other side; output comes to the driver whose task it is', async () => {
    const named = remote(Counter, { name: 'counter', lifetime: 'detached', ...THERE }).remote()
    assert.equal(await get(named.add.remote(1)), 1)
    const program = startProgram('attached.mjs', { args: ['tests'], env: { EAGLERAY_ADDRESS: cluster.address } })
    await program.line(/attached/)
    program.say('there')
    await program.line(/\(\S+ pid=\d+\) printed there\n/)
    program.say('leave')
    await program.ended
    const found = await getActor<Counter>('counter')
    assert.equal(await get(found.add.remote(1)), 2)
    kill(found)
  })

  test('what cannot be anywhere is said', async () => {
    const ref = remote(() => 1, { resources: { nowhere: 1 } }).remote()
    const [, pending] = await wait([ref], { timeoutMs: 100 })
    assert.equal(pending.length, 1)
  })
})

suite('a cluster and the ends of its parts', () => {
  let cluster: Cluster
  setup(async () => {
    cluster = await Cluster.start({ head: { numCpus: 1, resources: { here: 1 }, nodeTimeoutMs: 1_000 } })
    await init({ address: cluster.address })
  })
  teardown(async () => {
    endPrograms()
    await shutdown()
    await cluster.shutdown()
  })

  const isDead = async (node: ClusterNode) => (await nodes()).find(row => row.nodeId === node.nodeId)?.alive === false

  test('a node that is removed is gone at once, and its work runs elsewhere', async () => {
    const node = await cluster.addNode({ resources: { there: 1 } })
    const far = remote(Counter, THERE).remote()
    const pid = await get(far.pid.remote())
    await cluster.removeNode(node)
    await processGone(pid)
    await waitFor(() => isDead(node), 'the node is dead')
    await assert.rejects(get(far.add.remote(1)), ActorDiedError)
    assert.equal(await get(remote(() => 1).remote()), 1)
    const again = await cluster.addNode({ resources: { there: 1 } })
    assert.equal(await get(remote(async () => (await import('eagleray')).getRuntimeContext().nodeId, THERE).remote()), again.nodeId)
  })

  test('a node that is killed is dead after its silence, and a waiting task runs on the next that fits', async () => {
    const node = await cluster.addNode({ resources: { there: 1 } })
    const far = remote(Counter, THERE).remote()
    await get(far.add.remote(1))
    await node.kill()
    await waitFor(() => isDead(node), 'the node is dead')
    await assert.rejects(get(far.add.remote(1)), ActorDiedError)
    const ref = remote(() => 2, THERE).remote()
    await cluster.addNode({ resources: { there: 1 } })
    assert.equal(await get(ref), 2)
  })

  test('a node that was silent for too long comes back as a new one', async () => {
    const node = await cluster.addNode({ resources: { there: 1 } })
    process.kill(node.pid, 'SIGSTOP')
    await waitFor(() => isDead(node), 'the node is dead')
    process.kill(node.pid, 'SIGCONT')
    const back = await waitFor(async () => (await nodes()).find(row => row.alive && row.resources.there === 1), 'it joined again')
    assert.notEqual(back.nodeId, node.nodeId)
    assert.equal(await get(remote(() => 3, THERE).remote()), 3)
  })

  test('the head killed and started again: what runs goes on, and new work too', async () => {
    await cluster.addNode({ resources: { there: 1 } })
    const far = remote(Counter, THERE).remote()
    await get(far.add.remote(1))
    await cluster.killHead()
    assert.equal(await get(far.add.remote(1)), 2)
    assert.equal(await get(remote(() => 1).remote()), 1)
    await cluster.restartHead()
    assert.equal(await get(remote(Counter, THERE).remote().add.remote(7)), 7)
    assert.equal(await get(far.add.remote(1)), 3)
    assert.equal((await nodes()).filter(row => row.alive).length, 2)
  })

  test('everything ends with the program that started it, also by kill -9', async () => {
    const program = startProgram('cluster-of-two.mjs')
    const [, text] = await program.line(/pids (.*)\n/)
    program.kill('SIGKILL')
    for (const pid of JSON.parse(text as string) as number[]) await processGone(pid)
    await program.ended
  })
})
