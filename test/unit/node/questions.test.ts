// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { limits } from '#lib/options.js'
import type { NodeView } from '#lib/wire/messages.js'
import { FakeCluster, type MessageOf } from '../../fakes/cluster.js'

const OTHER = 'bbbbbbbbbb'
const OTHER_DAEMON = `${OTHER}0000dddddddddd`

function amongTwo(): FakeCluster {
  const cluster = FakeCluster.started({ resources: { CPU: 1 } })
  const node: NodeView = {
    ...{ nodeId: OTHER, daemonId: OTHER_DAEMON, hostname: 'h', address: '', dataAddress: '', state: 'alive', labels: {}, gpuIds: [] },
    ...{ total: {}, available: {}, deathCause: null },
  }
  cluster.event({ is: 'view', full: true, nodes: [node] })
  return cluster
}

suite('questions of the state API', () => {
  test('tasks: every process is asked, and the rows are put together', () => {
    const cluster = FakeCluster.started()
    cluster.from(cluster.driver, { is: 'query', request: 7, what: 'tasks', argument: '' })
    const asked = cluster.sent.filter(each => each.message.is === 'ask')
    assert.equal(asked.length, 3)
    for (const { to, message } of asked) {
      assert.equal(cluster.all('answer').length, 0)
      cluster.from(to, { is: 'told', request: (message as MessageOf<'ask'>).request, rows: [to] })
    }
    assert.deepEqual(cluster.last('answer', cluster.driver), { is: 'answer', request: 7, rows: asked.map(each => each.to) })
  })

  test('who does not answer in time, or dies, is left out', () => {
    const cluster = FakeCluster.started()
    cluster.from(cluster.driver, { is: 'query', request: 1, what: 'objects', argument: '' })
    const { request } = cluster.last('ask') as MessageOf<'ask'>
    cluster.from(cluster.driver, { is: 'told', request, rows: ['mine'] })
    cluster.from(cluster.driver, { is: 'told', request, rows: ['twice'] })
    const [worker] = [...cluster.children.values()]
    cluster.die(worker?.workerId as string)
    cluster.pass(limits.questionMs)
    assert.deepEqual(cluster.last('answer'), { is: 'answer', request: 1, rows: ['mine'] })
  })

  test('nodes, resources and workers are known here', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2, disk: 1 } })
    cluster.want(cluster.driver, { CPU: 0.5 })
    const ask = (what: MessageOf<'query'>['what']): unknown[] => {
      cluster.from(cluster.driver, { is: 'query', request: 1, what, argument: '' })
      return cluster.last('answer')?.rows ?? []
    }
    const amounts = { resources: { CPU: 2, disk: 1 }, available: { CPU: 1.5, disk: 1 } }
    assert.deepEqual(ask('resources'), [amounts])
    assert.deepEqual(ask('nodes'), [
      { nodeId: 'aaaaaaaaaa', address: '127.0.0.1', alive: true, ...amounts, labels: { 'eagleray.io/node-id': 'aaaaaaaaaa' } },
    ])
    assert.deepEqual((ask('workers') as { state: string }[]).map(row => row.state).sort(), ['idle', 'leased'])
  })

  test('explain: the owner of an object is asked; what a class waits for is known here', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    cluster.from(cluster.driver, { is: 'query', request: 1, what: 'explain', argument: `${cluster.driver}0000000000000001` })
    assert.equal(cluster.all('ask', cluster.driver).length, 1)
    cluster.want(cluster.driver, { CPU: 1 }, 2, { name: 'slow' })
    const classKey = cluster.last('grant')?.classKey as string
    cluster.from(cluster.driver, { is: 'query', request: 2, what: 'explain', argument: classKey })
    const [row] = cluster.all('answer').at(-1)!.rows as { waitsFor: string; name: string; count: number }[]
    assert.deepEqual([row?.waitsFor, row?.name, row?.count], ['CPU, of which its node has too little free', 'slow', 1])
  })

  test('explain: what no node can ever serve says so', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    cluster.want(cluster.driver, { CPU: 4 }, 1, { name: 'huge' })
    cluster.from(cluster.driver, { is: 'query', request: 1, what: 'explain', argument: JSON.stringify([{ CPU: 4 }, false]) })
    const [row] = cluster.last('answer')!.rows as { impossible: string }[]
    assert.equal(row?.impossible, 'Task huge needs {CPU:4}, and this node has {CPU:1} in all, so it can never be placed')
  })

  test('explain: what was sent on to another node waits there, so its daemon is asked as well', () => {
    const cluster = amongTwo()
    cluster.from(cluster.driver, { is: 'query', request: 1, what: 'explain', argument: 'a class' })
    const { request } = cluster.last('query', OTHER_DAEMON) as MessageOf<'query'>
    assert.equal(cluster.all('answer').length, 0)
    cluster.from(OTHER_DAEMON, { is: 'answer', request, rows: ['theirs'] })
    assert.deepEqual(cluster.last('answer', cluster.driver)?.rows, ['theirs'])
    cluster.from(OTHER_DAEMON, { is: 'query', request: 4, what: 'explain', argument: 'a class' })
    assert.deepEqual(cluster.last('answer', OTHER_DAEMON)?.rows, [], 'it asks nobody else')
  })

  test('the daemons of other nodes are asked for the rows of theirs', () => {
    const cluster = amongTwo()
    cluster.from(cluster.driver, { is: 'query', request: 7, what: 'workers', argument: '' })
    const { request, what } = cluster.last('query', OTHER_DAEMON) as MessageOf<'query'>
    assert.equal(what, 'workers')
    assert.equal(cluster.all('answer').length, 0)
    cluster.from(OTHER_DAEMON, { is: 'answer', request, rows: ['theirs'] })
    const { rows } = cluster.last('answer', cluster.driver) as MessageOf<'answer'>
    assert.deepEqual([rows.length, rows.includes('theirs')], [2, true])
  })

  test('a daemon that asks gets the rows of this node only', () => {
    const cluster = amongTwo()
    cluster.from(OTHER_DAEMON, { is: 'query', request: 3, what: 'tasks', argument: '' })
    assert.equal(cluster.all('query').length, 0)
    for (const { to, message } of cluster.sent.filter(each => each.message.is === 'ask'))
      cluster.from(to, { is: 'told', request: (message as MessageOf<'ask'>).request, rows: [to] })
    assert.equal(cluster.last('answer', OTHER_DAEMON)?.rows.length, 2)
  })

  test('a node that dies, or does not answer in time, is left out', () => {
    const cluster = amongTwo()
    cluster.from(cluster.driver, { is: 'query', request: 1, what: 'workers', argument: '' })
    cluster.pass(limits.questionMs)
    assert.equal(cluster.all('answer').length, 0, 'the other daemon may wait as long itself')
    cluster.pass(limits.questionMs)
    assert.equal(cluster.last('answer')?.rows.length, 1)
    cluster.from(cluster.driver, { is: 'query', request: 2, what: 'workers', argument: '' })
    cluster.event({ is: 'nodeDied', nodeId: OTHER, why: 'gone' })
    assert.equal(cluster.last('answer')?.request, 2)
  })

  test('explain: the owner on another node is asked through its daemon', () => {
    const cluster = amongTwo()
    const argument = `${OTHER}0001eeeeeeeeee0000000000000001`
    cluster.from(cluster.driver, { is: 'query', request: 1, what: 'explain', argument })
    assert.equal(cluster.last('query', OTHER_DAEMON)?.argument, argument)
    assert.equal(cluster.all('ask').length, 0)
  })
})
