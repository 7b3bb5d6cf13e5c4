// SPDX-License-Identifier: Apache-2.0
// Why something in a cluster is not there yet: what the nodes, the head and the owner know of it.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import {
  cancel,
  type Explanation,
  explain,
  get,
  init,
  nodes,
  type ObjectRef,
  placementGroup,
  placementGroupStrategy,
  remote,
  removePlacementGroup,
  shutdown,
  state,
} from 'eagleray'
import { Cluster } from 'eagleray/testing'
import { passed } from './programs/by-reference.js'
import { gate, waitFor } from './support.js'

const THERE = { resources: { there: 1 } }
class Place {
  call(): number {
    return 1
  }
}

class Opener {
  /** Holds up its process, as a long computation does. */
  pass(path: string, value: number): number {
    while (!existsSync(path)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
    return value
  }
}

/** What explain() says once that matches. */
function explained(ref: ObjectRef, state: Explanation['state'], pattern: RegExp): Promise<unknown> {
  let last: Explanation | null = null
  const matches = async (): Promise<boolean> => {
    last = await explain(ref)
    return last.state === state && pattern.test(last.reason)
  }
  return waitFor(matches, `${state}, ${pattern}`).catch(error => assert.fail(`${(error as Error).message}: ${JSON.stringify(last)}`))
}

suite('explain in a cluster', function () {
  this.timeout(60_000)
  let cluster: Cluster

  suiteSetup(async () => {
    cluster = await Cluster.start({ head: { numCpus: 1, labels: { zone: 'a' } } })
    await cluster.addNode({ numCpus: 1, resources: { there: 1 }, labels: { zone: 'b' } })
    await init({ address: cluster.address })
    await waitFor(async () => (await nodes()).filter(node => node.alive).length === 2, 'two nodes')
  })
  suiteTeardown(async () => {
    await shutdown()
    await cluster.shutdown()
  })

  test('a task and an actor that no node can serve', async () => {
    const task = remote(() => 1, { labelSelector: { zone: 'x' } }).remote()
    const actor = remote(Place, { labelSelector: { zone: 'x' } }).remote()
    await Promise.all([
      explained(task, 'waiting for a worker', /asks for the labels {zone=x}, and no node has them/),
      explained(actor.call.remote(), 'waiting for an actor', /Actor Place asks for the labels {zone=x}, and no node has them/),
    ])
    cancel(task)
  })

  test('a task in a placement group that is not there', async () => {
    const group = placementGroup([{ there: 1 }, { there: 1 }])
    const task = remote(() => 1, {
      ...{ numCpus: 0, ...THERE },
      schedulingStrategy: placementGroupStrategy({ placementGroup: group }),
    }).remote()
    await explained(task, 'waiting for a worker', /waits for its placement group, which is pending/)
    await explained(group.ready(), 'waiting for its placement group', /is pending: its bundles need {there:2} together/)
    removePlacementGroup(group)
    await assert.rejects(get(task))
  })

  test('a task that was sent ahead to a worker, and calls on an actor, say behind what they are queued', async () => {
    const door = gate()
    const wait = remote(passed<number>, { ...THERE, numCpus: 0 })
    const open = gate()
    open.open()
    // On another node nothing is sent behind a function that is not known to be quick.
    for (let i = 0; i < 20; i++) await get(wait.remote(open.path, i))
    const [first, second] = [1, 2].map(n => wait.remote(door.path, n)) as [ObjectRef, ObjectRef]
    await explained(first, 'running', /^passed is at worker/)
    await explained(second, 'queued behind another', /^passed is queued at worker \w+ behind passed, which runs there$/)
    const rows = (await state.listTasks()).filter(row => [first.id, second.id].includes(row.taskId))
    assert.deepEqual(rows.map(row => row.state).sort(), ['RUNNING', 'SUBMITTED_TO_WORKER'])
    const actor = remote(Opener, { numCpus: 0 }).remote()
    const calls = [1, 2, 3].map(n => actor.pass.remote(door.path, n)) as [ObjectRef, ObjectRef, ObjectRef]
    await explained(calls[0], 'running', /is at the actor, which is alive; it runs, or waits there behind calls of other processes/)
    await explained(calls[2], 'queued behind another', /is at the actor, which is alive, behind 2 earlier calls of this process/)
    door.open()
    assert.deepEqual(await get([first, second, ...calls]), [1, 2, 1, 2, 3])
  })

  test('what waits on another node for what is in use there, and asked by who borrows it', async () => {
    const door = gate()
    const holder = remote(passed<number>, THERE).remote(door.path, 1)
    await explained(holder, 'running', /is at worker/)
    const task = remote(() => 2, { ...THERE, numCpus: 0, name: 'second' }).remote()
    await explained(task, 'waiting for a worker', /^second waits for .*there, of which its node has too little free/)
    const actor = remote(Place, THERE).remote()
    const call = actor.call.remote()
    await explained(call, 'waiting for an actor', /^the actor Place waits for there, of which its node has too little free/)
    const asker = remote(async ([ref]: [ObjectRef]) => (await import('eagleray')).explain(ref), { numCpus: 0 })
    const told = await get(asker.remote([task]))
    assert.deepEqual([told.state, told.objectId], ['waiting for a worker', task.id])
    door.open()
    assert.deepEqual(await get([holder, task, call]), [1, 2, 1])
  })
})
