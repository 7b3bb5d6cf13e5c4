// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { placementOf } from '#lib/core/environment.js'
import { Environments } from '#lib/core/node/environments.js'
import { limits } from '#lib/options.js'
import type { Environment, WorkerId } from '#lib/wire/messages.js'
import { actorSpec, environmentOf, FakeCluster, type MessageOf, TOKEN, workerIdOf } from '../../fakes/cluster.js'

const plain = environmentOf('vars', { envVars: { A: '1' } })
const packed = environmentOf('npm', { packages: ['x'] })

const environmentOfWorker = (cluster: FakeCluster, workerId: WorkerId): Environment | null =>
  cluster.children.get(cluster.keyOf(workerId))?.environment ?? null

const explained = (cluster: FakeCluster, argument: string): { waitsFor: string; isSettingUp: boolean }[] => {
  cluster.from(cluster.driver, { is: 'query', request: 1, what: 'explain', argument })
  return cluster.last('answer')?.rows as { waitsFor: string; isSettingUp: boolean }[]
}

suite('workers by runtime environment', () => {
  test('a warm worker serves only the empty one; another is started, and serves its own again', () => {
    const cluster = FakeCluster.started()
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: plain })
    assert.equal(cluster.all('grant').length, 0)
    assert.equal(cluster.children.size, 3)
    cluster.settle()
    const first = cluster.last('grant') as MessageOf<'grant'>
    assert.equal(environmentOfWorker(cluster, first.workerId), plain)
    cluster.giveBack(first)
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: plain })
    assert.equal(cluster.last('grant')?.workerId, first.workerId)
    cluster.giveBack(cluster.last('grant') as MessageOf<'grant'>)
    cluster.want(cluster.driver, { CPU: 1 })
    assert.notEqual(cluster.last('grant')?.workerId, first.workerId)
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: environmentOf('other') })
    cluster.settle()
    assert.equal(environmentOfWorker(cluster, (cluster.last('grant') as MessageOf<'grant'>).workerId)?.key, 'other')
  })

  test('an actor gets a process of its environment', () => {
    const cluster = FakeCluster.started()
    cluster.from(cluster.driver, { is: 'actorCreate', spec: actorSpec(`${workerIdOf(1)}0000000000000001`, { environment: plain }) })
    assert.equal(cluster.all('actorStart').length, 0)
    cluster.settle()
    const { to } = cluster.sent.findLast(each => each.message.is === 'actorStart') as { to: WorkerId }
    assert.equal(environmentOfWorker(cluster, to), plain)
  })

  test('the job’s environment is that of the warm workers, once it is set up', () => {
    const cluster = new FakeCluster({ environment: packed })
    cluster.event({ is: 'tick' })
    cluster.event({ is: 'tick' })
    assert.deepEqual([cluster.children.size, cluster.setUps.length], [0, 1])
    cluster.event({ is: 'environmentReady', key: packed.key })
    assert.deepEqual(
      [...cluster.children.values()].map(child => child.environment),
      [packed, packed],
    )
  })

  test('idle workers of an environment leave after a while, those beyond the number of CPUs sooner', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1, disk: 3 } })
    cluster.want(cluster.driver, { disk: 1 }, 3, { environment: plain })
    cluster.settle()
    for (const grant of cluster.all('grant')) cluster.giveBack(grant)
    cluster.pass(limits.workerIdleMs)
    assert.equal(cluster.all('retire').length, 2)
    cluster.pass(limits.environmentIdleMs - limits.workerIdleMs)
    assert.equal(cluster.all('retire').length, 3)
    assert.equal(new Set(cluster.sent.filter(each => each.message.is === 'retire').map(each => each.to)).size, 3)
  })

  test('where there is room for no more processes, idle ones of other environments make it', () => {
    const cluster = FakeCluster.started({ resources: { CPU: limits.workersMax }, prestart: limits.workersMax })
    assert.equal(cluster.children.size, limits.workersMax)
    cluster.want(cluster.driver, { CPU: 1 }, 2, { environment: plain })
    const leaving = cluster.sent.filter(each => each.message.is === 'retire').map(each => each.to)
    assert.equal(leaving.length, 2)
    for (const workerId of leaving) cluster.die(workerId, 0)
    cluster.settle()
    assert.equal(cluster.all('grant').length, 2)
  })
})

suite('setting up runtime environments', () => {
  test('what needs no setup is ready at once; what does is set up once for all who ask meanwhile', () => {
    const cluster = FakeCluster.started()
    const other = workerIdOf(99)
    cluster.hello(other, 'driver', 99)
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: packed })
    cluster.want(other, { CPU: 1 }, 1, { environment: packed })
    cluster.want(other, { CPU: 0.5 }, 1, { environment: packed })
    assert.deepEqual(cluster.setUps, [packed])
    assert.equal(cluster.children.size, 2, 'nothing is started before it is ready')
    cluster.event({ is: 'environmentReady', key: packed.key })
    cluster.settle()
    assert.equal(cluster.all('grant').length, 2)
    cluster.want(other, { CPU: 0.25 }, 1, { environment: packed })
    assert.equal(cluster.setUps.length, 1)
  })

  test('what waits for it holds nobody back, and is explained', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2 } })
    const other = workerIdOf(99)
    cluster.hello(other, 'driver', 99)
    cluster.want(cluster.driver, { CPU: 1 })
    cluster.want(other, { CPU: 2 }, 1, { environment: packed })
    cluster.pass(limits.starvedAfterMs + 1)
    assert.equal(cluster.all('reclaim').length, 0)
    cluster.want(cluster.driver, { CPU: 1 }, 1)
    assert.equal(cluster.all('grant', cluster.driver).length, 2)
    const [row] = explained(cluster, JSON.stringify([{ CPU: 2 }, false, 'npm']))
    assert.deepEqual([row?.isSettingUp, row?.waitsFor], [true, 'its runtime environment: npm packages x being set up'])
  })

  test('a setup that fails fails all that wait for it; the next request tries again', () => {
    const cluster = FakeCluster.started()
    const actorId = `${workerIdOf(1)}0000000000000001`
    cluster.want(cluster.driver, { CPU: 1 }, 3, { environment: packed })
    cluster.want(cluster.driver, { CPU: 1 }, 3, { environment: environmentOf('other', { packages: ['y'] }) })
    cluster.from(cluster.driver, { is: 'actorCreate', spec: actorSpec(actorId, { environment: packed }) })
    assert.equal(explained(cluster, placementOf(actorId))[0]?.isSettingUp, true)
    cluster.event({ is: 'environmentFailed', key: packed.key, field: 'runtimeEnv.npm', message: 'no x' })
    assert.deepEqual(
      cluster.all('envBroken').map(({ field, message }) => [field, message]),
      [['runtimeEnv.npm', 'no x']],
    )
    const { view } = cluster.last('actorState') as MessageOf<'actorState'>
    assert.match(new TextDecoder().decode(view.deathCause as Uint8Array), /^RuntimeEnvError: Counter .*runtimeEnv\.npm: no x/)
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: packed })
    assert.equal(cluster.setUps.filter(each => each === packed).length, 2)
    cluster.event({ is: 'environmentReady', key: packed.key })
    cluster.settle()
    assert.equal(cluster.all('grant').length, 1)
  })
})

suite('workers that cannot be in their environment', () => {
  const starting = (cluster: FakeCluster): string[] =>
    [...cluster.children].filter(([, each]) => each.workerId === null).map(([key]) => key)
  const failed = (cluster: FakeCluster, key: string, token = TOKEN): void =>
    cluster.from(workerIdOf(500), {
      ...{ is: 'envFailed', pid: cluster.children.get(key)?.pid ?? 0, token },
      ...{ field: 'runtimeEnv.preload', message: 'boom' },
    })

  test('one that says so fails what waits, and all that start with it are ended; a later request starts anew', () => {
    const cluster = FakeCluster.started()
    cluster.want(cluster.driver, { CPU: 1 }, 2, { environment: plain })
    const [first, second] = starting(cluster) as [string, string]
    failed(cluster, first, 'guess')
    assert.equal(cluster.all('envBroken').length, 0)
    failed(cluster, first)
    assert.equal(cluster.all('envBroken', cluster.driver).length, 1)
    assert.deepEqual([...cluster.killed].sort(), [first, second])
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: plain })
    cluster.settle()
    assert.equal(cluster.all('envBroken').length, 1, 'the end of the old ones is not held against the new attempt')
    assert.equal(cluster.all('grant').length, 1)
    assert.equal(cluster.ended, null)
  })

  test('one that exits before it says hello fails what waits, with its last output', () => {
    const cluster = FakeCluster.started()
    const flags = environmentOf('flags', { nodeOptions: ['--none'] })
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: flags })
    cluster.exit(starting(cluster)[0] as string, 9, null, 'node: bad option: --none')
    const { field, message } = cluster.last('envBroken', cluster.driver) as MessageOf<'envBroken'>
    assert.equal(field, 'runtimeEnv.nodeOptions')
    assert.match(message, /exit code 9.*\nnode: bad option/)
    assert.equal(starting(cluster).length, 0)
    assert.equal(cluster.all('warning').length, 0)
  })

  test('one that the system ends is tried again, a few times', () => {
    const cluster = FakeCluster.started()
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: plain })
    for (let i = 1; i < limits.environmentStartsMax; i++) cluster.exit(starting(cluster)[0] as string, null, 'SIGKILL')
    assert.equal(cluster.all('envBroken').length, 0)
    cluster.exit(starting(cluster)[0] as string, null, 'SIGKILL')
    assert.equal(cluster.all('envBroken').length, 1)
  })

  test('one that does not start in time fails what waits', () => {
    const cluster = FakeCluster.started()
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: plain })
    cluster.pass(limits.workerStartMs)
    cluster.exit([...cluster.killed][0] as string, null, 'SIGKILL')
    assert.match(cluster.last('envBroken')?.message ?? '', /within 60 s/)
  })

  test('warm workers of a broken environment are not started again and again, but once it works', () => {
    const cluster = new FakeCluster({ environment: plain })
    cluster.event({ is: 'tick' })
    for (const key of starting(cluster)) cluster.exit(key, 1)
    cluster.pass(60_000)
    assert.equal(cluster.children.size, 0)
    cluster.hello(cluster.driver, 'driver', 1)
    cluster.want(cluster.driver, { CPU: 1 }, 1, { environment: plain })
    cluster.settle()
    assert.equal(cluster.children.size, 2)
  })
})

suite('the table of environments', () => {
  test('forgets a failed setup, but not one that worked', () => {
    const environments = new Environments()
    const out: Parameters<Environments['require']>[1] = []
    environments.require(packed, out)
    environments.require(packed, out)
    assert.deepEqual(out, [{ is: 'setUp', environment: packed }])
    environments.failed(packed.key)
    environments.require(packed, out)
    assert.equal(out.length, 2)
    environments.ready(packed.key)
    environments.failed(packed.key)
    assert.ok(environments.isReady(packed))
    assert.ok(environments.isReady(null))
  })
})
