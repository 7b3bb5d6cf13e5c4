// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { limits } from '#lib/options.js'
import { PROTOCOL_VERSION } from '#lib/wire/messages.js'
import { actorSpec, FakeCluster, type MessageOf, TOKEN, workerIdOf } from '../../fakes/cluster.js'

suite('the worker pool', () => {
  test('as many workers as CPUs are started at once, before anybody asks', () => {
    const cluster = new FakeCluster({ resources: { CPU: 3 } })
    cluster.event({ is: 'tick' })
    assert.equal(cluster.children.size, 3)
  })

  test('the driver is welcomed when the first warm worker is there', () => {
    const cluster = new FakeCluster()
    cluster.event({ is: 'tick' })
    cluster.hello(cluster.driver, 'driver', 1)
    assert.equal(cluster.all('welcome').length, 0)
    cluster.start([...cluster.children.keys()][0] as string)
    assert.equal(cluster.all('welcome', cluster.driver).length, 1)
  })

  test('the driver is welcomed too when no worker gets started, and is told why', () => {
    const cluster = new FakeCluster({ resources: { CPU: 1 } })
    cluster.event({ is: 'tick' })
    cluster.hello(cluster.driver, 'driver', 1)
    cluster.exit([...cluster.children.keys()][0] as string, 1, null, 'Error: no such module')
    assert.equal(cluster.all('welcome').length, 1)
    assert.match(cluster.last('warning', cluster.driver)?.text ?? '', /exit code 1.*1 in a row.*\n.*no such module/)
  })

  test('failed starts are repeated with growing pauses, one at a time, until one succeeds', () => {
    const cluster = new FakeCluster({ resources: { CPU: 4 } })
    cluster.event({ is: 'tick' })
    for (const key of [...cluster.children.keys()]) cluster.exit(key, 1)
    assert.equal(cluster.children.size, 0)
    cluster.pass(limits.workerStartPauseMs[1])
    assert.equal(cluster.children.size, 1)
    cluster.settle()
    assert.equal(cluster.children.size, 4)
  })

  test('a worker that does not say hello in time is killed', () => {
    const cluster = new FakeCluster({ resources: { CPU: 1 } })
    cluster.event({ is: 'tick' })
    cluster.pass(limits.workerStartMs)
    assert.equal(cluster.killed.size, 1)
  })

  test('a stranger, a wrong token and a wrong protocol are refused', () => {
    const cluster = FakeCluster.started()
    const stranger = workerIdOf(77)
    const hello = { is: 'hello', protocol: PROTOCOL_VERSION, workerId: stranger, pid: 77, kind: 'worker', token: TOKEN, job: null } as const
    cluster.from(stranger, hello)
    cluster.from(stranger, { ...hello, kind: 'driver', token: 'guess' })
    cluster.from(stranger, { ...hello, kind: 'driver', protocol: PROTOCOL_VERSION + 1 })
    cluster.from(stranger, { ...hello, kind: 'driver' })
    assert.equal(cluster.all('refused', stranger).length, 4)
    cluster.want(stranger, { CPU: 1 })
    cluster.from(stranger, { is: 'query', request: 1, what: 'nodes', argument: '' })
    assert.equal(cluster.all('grant').length + cluster.all('answer').length, 0)
  })

  test('twenty actors are started at once', () => {
    const cluster = FakeCluster.started()
    for (let i = 0; i < 20; i++) cluster.event({ is: 'message', from: cluster.driver, message: { is: 'actorCreate', spec: actor(i) } })
    assert.equal(cluster.all('actorStart').length, 2)
    assert.equal(cluster.children.size, 20)
    cluster.settle()
    assert.equal(cluster.all('actorStart').length, 20)
    assert.equal(cluster.children.size, 22, 'the pool has refilled behind them')
  })

  test('workers beyond the number of CPUs leave after a while, the longest idle first', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1, disk: 4 } })
    cluster.want(cluster.driver, { disk: 1 }, 3)
    cluster.settle()
    const grants = cluster.all('grant')
    assert.equal(grants.length, 3)
    for (const grant of grants) cluster.giveBack(grant)
    cluster.pass(limits.workerIdleMs - 1)
    assert.equal(cluster.all('retire').length, 0)
    cluster.pass(1)
    assert.equal(cluster.all('retire').length, 2)
  })

  test('a worker that retires, or said goodbye, gets nothing more; its exit is no crash', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    cluster.want(cluster.driver, { CPU: 1 })
    const first = cluster.last('grant') as MessageOf<'grant'>
    cluster.giveBack(first, cluster.driver, true)
    assert.deepEqual(cluster.all('retire', first.workerId), [{ is: 'retire' }])
    cluster.die(first.workerId, 0)
    assert.match(cluster.last('workerDied', cluster.driver)?.death.reason ?? '', /not needed/)
    cluster.settle()
    cluster.want(cluster.driver, { CPU: 1 })
    const second = cluster.last('grant') as MessageOf<'grant'>
    assert.notEqual(second.workerId, first.workerId)
    cluster.from(second.workerId, { is: 'goodbye', reason: 'maxCalls' })
    cluster.giveBack(second)
    cluster.settle()
    cluster.want(cluster.driver, { CPU: 1 })
    assert.notEqual(cluster.last('grant')?.workerId, second.workerId)
  })

  test('the death of a worker frees its lease, is told to all, after it was reaped', () => {
    const cluster = FakeCluster.started()
    cluster.want(cluster.driver, { CPU: 2 })
    const grant = cluster.last('grant') as MessageOf<'grant'>
    cluster.die(grant.workerId, null, 'SIGSEGV')
    assert.equal(cluster.available('CPU'), 2)
    assert.deepEqual(cluster.reaped, [grant.workerId])
    const death = { exitCode: null, signal: 'SIGSEGV', stderrTail: '', reason: null, outOfMemory: false }
    assert.deepEqual(cluster.last('workerDied', cluster.driver), { is: 'workerDied', workerId: grant.workerId, death })
    cluster.settle()
    assert.equal(cluster.children.size, 2)
  })

  test('a dead owner takes its wants and the workers of its tasks along', () => {
    const cluster = FakeCluster.started()
    cluster.want(cluster.driver, { CPU: 1 })
    const parent = cluster.last('grant') as MessageOf<'grant'>
    cluster.want(parent.workerId, { CPU: 1 }, 3)
    const child = cluster.last('grant', parent.workerId) as MessageOf<'grant'>
    cluster.die(parent.workerId)
    assert.ok(cluster.killed.has(cluster.keyOf(child.workerId)))
    assert.equal(cluster.available('CPU'), 1, 'what the killed one holds comes back with its death')
    cluster.settle()
    assert.equal(cluster.available('CPU'), 2)
    assert.match(cluster.last('workerDied')?.death.reason ?? '', /owner/)
  })

  test('an owner may have the worker of its own lease killed, and no other', () => {
    const cluster = FakeCluster.started()
    cluster.want(cluster.driver, { CPU: 1 })
    const { workerId } = cluster.last('grant') as MessageOf<'grant'>
    const other = workerIdOf(99)
    cluster.hello(other, 'driver', 99)
    cluster.from(other, { is: 'killWorker', workerId, reason: 'cancelled' })
    assert.equal(cluster.killed.size, 0)
    cluster.from(cluster.driver, { is: 'killWorker', workerId, reason: 'cancelled' })
    cluster.settle()
    assert.equal(cluster.last('workerDied')?.death.reason, 'cancelled')
  })

  test('a worker whose channel is closed may end by itself; one that sends garbage is killed', () => {
    const cluster = FakeCluster.started()
    const [one, two] = [...cluster.children.values()].map(child => child.workerId as string)
    cluster.event({ is: 'peerClosed', workerId: one as string, reason: 'closed' })
    assert.equal(cluster.killed.size, 0)
    cluster.pass(limits.workerExitMs)
    assert.equal(cluster.killed.size, 1)
    cluster.event({ is: 'peerClosed', workerId: two as string, reason: 'corrupt' })
    assert.equal(cluster.killed.size, 2)
  })

  test('of two processes whose channel is lost to garbage one is ended: who sent it, and never the driver', () => {
    const cluster = FakeCluster.started()
    const [one, two] = [...cluster.children.values()].map(child => child.workerId as string) as [string, string]
    cluster.from(workerIdOf(98), { is: 'corrupt', workerId: one, detail: 'unknown frame kind 77' })
    cluster.from(one, { is: 'corrupt', workerId: workerIdOf(98), detail: 'it is dead by now' })
    assert.equal(cluster.killed.size, 0)
    cluster.from(two, { is: 'corrupt', workerId: one, detail: 'unknown frame kind 77' })
    assert.deepEqual([...cluster.killed], [cluster.keyOf(one)])
    cluster.settle()
    assert.match(cluster.last('workerDied', cluster.driver)?.death.reason ?? '', new RegExp(`sent process ${two}.*frame kind 77`))
    cluster.from(two, { is: 'corrupt', workerId: cluster.driver, detail: 'an empty fragment' })
    cluster.settle()
    assert.equal(cluster.last('workerDied', cluster.driver)?.workerId, two)
    assert.match(cluster.last('workerDied', cluster.driver)?.death.reason ?? '', /the driver sent it.*empty fragment/)
    assert.equal(cluster.ended, null)
  })

  test('the end of the driver is the end of everything', () => {
    for (const end of ['endJob', 'closed'] as const) {
      const cluster = FakeCluster.started()
      if (end === 'endJob') cluster.from(cluster.driver, { is: 'endJob' })
      else cluster.event({ is: 'peerClosed', workerId: cluster.driver, reason: 'died' })
      assert.notEqual(cluster.ended, null)
    }
  })
})

function actor(i: number): MessageOf<'actorCreate'>['spec'] {
  return actorSpec(workerIdOf(1) + i.toString(16).padStart(16, '0'))
}
