// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { limits } from '#lib/options.js'
import { FakeCluster, type MessageOf, workerIdOf } from '../../fakes/cluster.js'

suite('scheduling', () => {
  test('an idle worker is granted at once, and the count goes down with it', () => {
    const cluster = FakeCluster.started()
    cluster.want(cluster.driver, { CPU: 1 }, 5)
    assert.equal(cluster.all('grant').length, 2)
    assert.equal(cluster.available('CPU'), 0)
    cluster.giveBack(cluster.all('grant')[0] as MessageOf<'grant'>)
    assert.equal(cluster.all('grant').length, 3)
  })

  test('a count replaces the one before, and 0 withdraws', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    cluster.want(cluster.driver, { CPU: 1 }, 5)
    cluster.want(cluster.driver, { CPU: 1 }, 0)
    cluster.giveBack(cluster.all('grant')[0] as MessageOf<'grant'>)
    assert.equal(cluster.all('grant').length, 1)
    assert.equal(cluster.available('CPU'), 1)
  })

  test('owners take turns', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    const other = workerIdOf(99)
    cluster.hello(other, 'driver', 99)
    cluster.want(cluster.driver, { CPU: 1 }, 10)
    cluster.want(other, { CPU: 1 }, 10)
    const served: string[] = []
    for (let i = 0; i < 6; i++) {
      const { to, message } = cluster.sent.findLast(each => each.message.is === 'grant') as { to: string; message: MessageOf<'grant'> }
      served.push(to)
      cluster.giveBack(message, to)
    }
    assert.deepEqual(served.slice(1), [cluster.driver, other, cluster.driver, other, cluster.driver])
  })

  test('a waiting task lends its CPU, keeps the rest, and goes on before anything new begins', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1, disk: 1 } })
    cluster.want(cluster.driver, { CPU: 1, disk: 1 })
    const parent = cluster.last('grant') as MessageOf<'grant'>
    cluster.want(parent.workerId, { CPU: 1 })
    assert.equal(cluster.all('grant').length, 1)
    cluster.from(parent.workerId, { is: 'blocked', leaseId: parent.leaseId })
    assert.equal(cluster.available('disk'), 0)
    cluster.settle()
    const child = cluster.last('grant', parent.workerId) as MessageOf<'grant'>
    assert.notEqual(child.workerId, parent.workerId)
    cluster.want(cluster.driver, { CPU: 1 })
    cluster.from(parent.workerId, { is: 'unblock', leaseId: parent.leaseId })
    assert.equal(cluster.all('resumed').length, 0)
    cluster.giveBack(child, parent.workerId)
    assert.deepEqual(cluster.all('resumed', parent.workerId), [{ is: 'resumed', leaseId: parent.leaseId }])
    assert.equal(cluster.all('grant', cluster.driver).length, 1)
  })

  test('children of waiting tasks go before new work, so that 1000 nested roots need few processes', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    let roots = 200
    let most = 0
    cluster.want(cluster.driver, { CPU: 1 }, roots)
    const depth = new Map<string, number>([[cluster.driver, 0]])
    const parents = new Map<number, MessageOf<'grant'>>()
    let done = 0
    for (let seen = 0; done < 200; ) {
      cluster.settle()
      const next = cluster.sent.slice(seen).find(each => each.message.is === 'grant')
      assert.ok(next, 'everything waits')
      seen = cluster.sent.indexOf(next) + 1
      const grant = next.message as MessageOf<'grant'>
      const level = (depth.get(next.to) as number) + 1
      depth.set(grant.workerId, level)
      if (level < 3) {
        cluster.want(grant.workerId, { CPU: 1 })
        cluster.from(grant.workerId, { is: 'blocked', leaseId: grant.leaseId })
      } else {
        finish(grant, next.to)
      }
      parents.set(grant.leaseId, grant)
      most = Math.max(most, cluster.children.size)
    }
    assert.ok(most <= 4, `${most} processes for chains of 3 on one CPU`)
    assert.equal(roots, 0)

    function finish(grant: MessageOf<'grant'>, owner: string): void {
      cluster.giveBack(grant, owner)
      if (owner === cluster.driver) {
        roots--
        done++
        return
      }
      const parent = [...parents.values()].findLast(each => each.workerId === owner) as MessageOf<'grant'>
      cluster.from(owner, { is: 'unblock', leaseId: parent.leaseId })
      const ownerOfParent = cluster.sent.findLast(each => each.message === parent)?.to as string
      finish(parent, ownerOfParent)
    }
  })

  test('who holds what others lack is asked for it: at once, then once a quantum', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    const other = workerIdOf(99)
    cluster.hello(other, 'driver', 99)
    cluster.want(cluster.driver, { CPU: 1 }, 5)
    assert.equal(cluster.all('reclaim').length, 0, 'it waits only for itself')
    cluster.want(other, { CPU: 1 })
    assert.equal(cluster.all('reclaim', cluster.driver).length, 1)
    cluster.want(other, { CPU: 1 }, 3)
    assert.equal(cluster.all('reclaim').length, 1)
    cluster.pass(limits.leaseQuantumMs)
    assert.equal(cluster.all('reclaim').length, 2)
    cluster.want(other, { CPU: 1 }, 0)
    cluster.pass(1000)
    assert.equal(cluster.all('reclaim').length, 2)
  })

  test('a request that is passed over is protected after a while', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2 } })
    const other = workerIdOf(99)
    cluster.hello(other, 'driver', 99)
    cluster.want(cluster.driver, { CPU: 1 }, 1000)
    cluster.want(other, { CPU: 2 })
    const held = cluster.all('grant', cluster.driver)
    for (let rounds = 0; cluster.all('grant', other).length === 0; rounds++) {
      assert.ok(rounds < 100, 'it starves')
      const grant = held.shift()
      const before = cluster.all('grant', cluster.driver).length
      if (grant !== undefined) cluster.giveBack(grant)
      held.push(...cluster.all('grant', cluster.driver).slice(before))
      cluster.pass(50)
    }
  })

  test('what holds others back does so only for a time: its turn may need theirs', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 4, disk: 2 } })
    const other = workerIdOf(99)
    cluster.hello(other, 'driver', 99)
    cluster.want(cluster.driver, { disk: 1 })
    const parent = cluster.last('grant') as MessageOf<'grant'>
    cluster.from(parent.workerId, { is: 'blocked', leaseId: parent.leaseId })
    cluster.want(other, { disk: 2 })
    cluster.pass(limits.starvedAfterMs + 1)
    cluster.want(parent.workerId, { disk: 1 })
    assert.equal(cluster.all('grant', parent.workerId).length, 0)
    cluster.pass(limits.holdBackMs[0])
    assert.equal(cluster.all('grant', parent.workerId).length, 1)
  })

  test('tasks without CPU are bounded by a number that grows while they wait for each other', () => {
    const cluster = FakeCluster.started()
    cluster.want(cluster.driver, {}, 100)
    cluster.settle()
    assert.equal(cluster.all('grant').length, limits.cpulessTasksMax)
    cluster.pass(limits.cpulessGrowthMs[0])
    cluster.settle()
    assert.equal(cluster.all('grant').length, limits.cpulessTasksMax + 1)
    for (let i = 0; i < 10; i++) {
      cluster.pass(limits.cpulessGrowthMs[1])
      cluster.settle()
    }
    assert.ok(cluster.all('grant').length > limits.cpulessTasksMax + 5)
  })

  test('where no node can join, what can never be placed is told at once, with what it needs and what there is, and fails later', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2 }, gpuIds: ['0'] })
    cluster.want(cluster.driver, { CPU: 1, GPU: 2 }, 1, { name: 'train' })
    const [warning] = cluster.all('warning')
    assert.match(warning?.text ?? '', /Task train needs \{CPU:1,GPU:2\}.*\{CPU:2,GPU:1\} in all, so it can never be placed$/)
    cluster.pass(limits.infeasibleAfterMs - 1)
    assert.equal(cluster.all('unplaceable').length, 0)
    cluster.pass(1)
    assert.match(cluster.last('unplaceable', cluster.driver)?.message ?? '', /^Task train needs/)
    cluster.pass(limits.infeasibleAfterMs)
    assert.deepEqual([cluster.all('unplaceable').length, cluster.all('warning').length], [1, 1])
  })

  test('GPU ids come with the lease; a fresh worker is used once', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2 }, gpuIds: ['GPU-a', 'GPU-b'] })
    cluster.want(cluster.driver, { CPU: 0.1, GPU: 0.5 }, 3, { freshWorker: true })
    cluster.settle()
    const grants = cluster.all('grant')
    assert.deepEqual(
      grants.map(grant => grant.gpuIds),
      [['GPU-a'], ['GPU-a'], ['GPU-b']],
    )
    for (const grant of grants) cluster.giveBack(grant)
    assert.deepEqual(cluster.all('retire').length, 3)
    assert.equal(cluster.available('GPU'), 2)
    cluster.want(cluster.driver, { CPU: 1 })
    cluster.settle()
    assert.ok(!grants.some(grant => grant.workerId === cluster.last('grant')?.workerId))
  })

  test('a fresh worker is none that ran something before', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 }, gpuIds: ['0'] })
    cluster.want(cluster.driver, { CPU: 1 })
    const used = cluster.last('grant') as MessageOf<'grant'>
    cluster.giveBack(used)
    cluster.want(cluster.driver, { CPU: 1, GPU: 1 }, 1, { freshWorker: true })
    cluster.settle()
    assert.notEqual(cluster.last('grant')?.workerId, used.workerId)
  })
})
