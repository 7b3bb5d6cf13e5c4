// SPDX-License-Identifier: Apache-2.0
// Where work runs in a cluster of real processes: by strategy, by labels, and in placement groups that outlive a node.

import assert from 'node:assert/strict'
import {
  ActorUnschedulableError,
  get,
  getRuntimeContext,
  init,
  nodeAffinity,
  nodes,
  placementGroup,
  placementGroupStrategy,
  ready,
  remote,
  removePlacementGroup,
  shutdown,
  state,
  TaskUnschedulableError,
} from 'eagleray'
import { Cluster, type ClusterNode } from 'eagleray/testing'
import { countRun, passed, runsIn } from './programs/by-reference.js'
import { gate, scratchPath, waitFor } from './support.js'

const whereAmI = remote(async () => (await import('eagleray')).getRuntimeContext().nodeId)
class Place {
  async node(): Promise<string> {
    return (await import('eagleray')).getRuntimeContext().nodeId
  }
}

suite('SPREAD over three idle nodes', () => {
  let cluster: Cluster
  suiteSetup(async function () {
    this.timeout(60_000)
    cluster = await Cluster.start({ head: { numCpus: 2 } })
    await cluster.addNode({ numCpus: 2 })
    await cluster.addNode({ numCpus: 2 })
    await init({ address: cluster.address })
    await waitFor(async () => (await nodes()).filter(node => node.alive).length === 3, 'three nodes')
  })
  suiteTeardown(async () => {
    await shutdown()
    await cluster.shutdown()
  })

  const isIdle = async (): Promise<boolean> => (await nodes()).every(node => node.available.CPU === 2)
  const assertEven = (ran: string[]): void => {
    const counts = [...new Set(ran)].map(node => ran.filter(each => each === node).length)
    assert.ok(counts.length === 3 && Math.max(...counts) - Math.min(...counts) <= 1, `${counts} of ${ran.length}`)
  }
  const spread = (numCpus: number) => whereAmI.options({ schedulingStrategy: 'SPREAD', numCpus })

  test('tasks that are submitted at once run on all in equal parts, however little they need', async () => {
    await waitFor(isIdle, 'nothing runs')
    assertEven(await get(Array.from({ length: 9 }, () => spread(0.1).remote())))
  })

  for (const numCpus of [0.1, 1])
    test(`tasks of ${numCpus} CPU one after another as well`, async () => {
      await waitFor(isIdle, 'nothing runs')
      const ran: string[] = []
      for (let n = 0; n < 9; n++) ran.push(await get(spread(numCpus).remote()))
      assertEven(ran)
    })
})

suite('placement in a cluster', () => {
  let cluster: Cluster
  let home: string
  let other: ClusterNode
  const before = process.env.EAGLERAY_INFEASIBLE_AFTER_MS

  suiteSetup(async function () {
    this.timeout(60_000)
    process.env.EAGLERAY_INFEASIBLE_AFTER_MS = '500'
    cluster = await Cluster.start({ head: { numCpus: 1, labels: { zone: 'a' } } })
    other = await cluster.addNode({ numCpus: 1, labels: { zone: 'b' } })
    await init({ address: cluster.address })
    home = getRuntimeContext().nodeId
    await waitFor(async () => (await nodes()).filter(node => node.alive).length === 2, 'two nodes')
  })
  suiteTeardown(async () => {
    await shutdown()
    await cluster.shutdown()
    if (before === undefined) delete process.env.EAGLERAY_INFEASIBLE_AFTER_MS
    else process.env.EAGLERAY_INFEASIBLE_AFTER_MS = before
  })

  test('what fits here runs here, what does not goes where there is room', async () => {
    assert.equal(await get(whereAmI.remote()), home)
    const held = gate()
    const busy = remote(passed<number>).remote(held.path, 1)
    await waitFor(async () => (await nodes()).some(node => node.nodeId === home && !node.available.CPU), 'this node is full')
    assert.equal(await get(whereAmI.remote()), other.nodeId)
    held.open()
    assert.equal(await get(busy), 1)
  })

  test('SPREAD uses both nodes', async () => {
    const [first, second] = [gate(), gate()]
    const spread = remote(
      async (started: string, path: string) => {
        countRun(started)
        await passed(path, 0)
        return (await import('eagleray')).getRuntimeContext().nodeId
      },
      { schedulingStrategy: 'SPREAD' },
    )
    const started = scratchPath()
    const refs = [spread.remote(started, first.path), spread.remote(started, second.path)]
    await waitFor(() => runsIn(started) === 2, 'both run at once')
    first.open()
    second.open()
    assert.deepEqual(new Set(await get(refs)), new Set([home, other.nodeId]))
  })

  test('affinity and labels choose the node, for tasks and actors', async () => {
    const there = nodeAffinity({ nodeId: other.nodeId })
    assert.equal(await get(whereAmI.options({ schedulingStrategy: there }).remote()), other.nodeId)
    assert.equal(await get(whereAmI.options({ labelSelector: { zone: '!a' } }).remote()), other.nodeId)
    for (const { nodeId, labels } of await nodes()) {
      const id = labels['eagleray.io/node-id'] as string
      assert.equal(await get(whereAmI.options({ labelSelector: { 'eagleray.io/node-id': id } }).remote()), nodeId)
    }
    assert.equal(
      await get(
        remote(Place, { labelSelector: { zone: 'in(b,c)' } })
          .remote()
          .node.remote(),
      ),
      other.nodeId,
    )
    assert.equal(await get(remote(Place, { schedulingStrategy: there }).remote().node.remote()), other.nodeId)
    const nowhere = 'ffffffffff'
    assert.equal(await get(whereAmI.options({ schedulingStrategy: nodeAffinity({ nodeId: nowhere, soft: true }) }).remote()), home)
  })

  test('what no node can serve fails, and says what rules them out', async () => {
    const hard = whereAmI.options({ schedulingStrategy: nodeAffinity({ nodeId: 'ffffffffff' }) }).remote()
    await assert.rejects(get(hard), (error: Error) => error instanceof TaskUnschedulableError && /node ffffffffff only/.test(error.message))
    const labelled = whereAmI.options({ labelSelector: { zone: 'x' } }).remote()
    await assert.rejects(get(labelled), /asks for the labels {zone=x}, and no node has them: they have/)
    await assert.rejects(get(whereAmI.options({ numCpus: 2 }).remote()), /none of the 2 nodes has that: CPU:1 at most/)
    await assert.rejects(ready(remote(Place, { labelSelector: { zone: 'x' } }).remote()), ActorUnschedulableError)
  })

  test('a group spreads over nodes; tasks and actors run where their bundle is', async () => {
    const group = placementGroup([{ CPU: 1 }, { CPU: 1 }], { strategy: 'STRICT_SPREAD' })
    assert.equal(await group.wait(), true)
    const [row] = (await state.listPlacementGroups()).filter(each => each.placementGroupId === group.id)
    assert.deepEqual(new Set(row?.nodeIds), new Set([home, other.nodeId]))
    for (const bundleIndex of [0, 1]) {
      const schedulingStrategy = placementGroupStrategy({ placementGroup: group, bundleIndex })
      assert.equal(await get(whereAmI.options({ schedulingStrategy }).remote()), row?.nodeIds[bundleIndex])
      assert.equal(await get(remote(Place, { schedulingStrategy }).remote().node.remote()), row?.nodeIds[bundleIndex])
    }
    removePlacementGroup(group)
    await waitFor(async () => (await nodes()).every(node => node.available.CPU === 1), 'all comes back')
  })

  test('bundles of a node that dies are placed again, and work in them goes on', async () => {
    const third = await cluster.addNode({ numCpus: 1, resources: { third: 1 } })
    const group = placementGroup([{ third: 1 }])
    await group.wait()
    await cluster.removeNode(third, { graceful: false })
    await waitFor(
      async () => (await state.listPlacementGroups()).some(each => each.placementGroupId === group.id && each.state === 'rescheduling'),
      'it is lost',
    )
    const strategy = placementGroupStrategy({ placementGroup: group })
    const task = whereAmI.options({ numCpus: 0, resources: { third: 1 }, schedulingStrategy: strategy }).remote()
    const fourth = await cluster.addNode({ numCpus: 1, resources: { third: 1 } })
    assert.equal(await get(task), fourth.nodeId)
    removePlacementGroup(group)
  }).timeout(60_000)
})
