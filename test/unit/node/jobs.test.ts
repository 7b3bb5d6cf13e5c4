// SPDX-License-Identifier: Apache-2.0
// Several drivers on one node, one after the other and at once.
import assert from 'node:assert/strict'
import { limits } from '#lib/options.js'
import { actorSpec, FakeCluster, jobOf, workerIdOf } from '../../fakes/cluster.js'

const [A, B] = [workerIdOf(1), workerIdOf(200)]

/** A node of a cluster: it has workers for whoever comes, and outlives its drivers. */
function serving(cpus = 2): FakeCluster {
  const cluster = new FakeCluster({ resources: { CPU: cpus }, job: null })
  cluster.event({ is: 'tick' })
  cluster.settle()
  cluster.hello(A, 'driver', 1)
  cluster.hello(B, 'driver', 2)
  return cluster
}

const wants = (cluster: FakeCluster, driver: string, count = 1): void => cluster.want(driver, { CPU: 1 }, count, { job: jobOf(driver) })

suite('jobs on a node', () => {
  test('workers are started for nobody in particular, and belong to the job that first uses them', () => {
    const cluster = serving()
    assert.deepEqual(
      [...cluster.children.values()].map(child => child.job),
      [null, null],
    )
    wants(cluster, A, 2)
    const ofA = cluster.all('grant', A)
    assert.equal(ofA.length, 2)
    for (const grant of ofA) cluster.giveBack(grant, A)
    wants(cluster, B)
    assert.equal(cluster.all('grant', B).length, 0, 'the idle workers are those of A')
    cluster.settle()
    const [ofB] = cluster.all('grant', B)
    assert.ok(ofB !== undefined && !ofA.some(each => each.workerId === ofB.workerId))
    wants(cluster, A)
    assert.ok(
      ofA.some(each => each.workerId === cluster.last('grant', A)?.workerId),
      'A gets one of its own again',
    )
  })

  test('that a worker was ended for memory hears the driver whose it is; that nobody is large enough, all', () => {
    const cluster = serving()
    wants(cluster, A)
    wants(cluster, B)
    cluster.settle()
    const totals = { usedBytes: 99, totalBytes: 100, where: 'the machine', kernelKills: 0 }
    const weigh = (bytes: number): void => {
      cluster.event({ is: 'memory', totals })
      const pid = cluster.pidOf(cluster.last('grant', B)?.workerId as string)
      cluster.event({ is: 'weighed', totals, sizes: [[pid, bytes]], others: [] })
    }
    weigh(1)
    assert.deepEqual([cluster.all('warning', A).length, cluster.all('warning', B).length], [1, 1])
    weigh(1e9)
    assert.deepEqual([cluster.all('warning', A).length, cluster.all('warning', B).length], [1, 2])
  })

  test('of workers beyond the CPUs the idle ones go', () => {
    const cluster = serving(1)
    wants(cluster, A)
    cluster.giveBack(cluster.last('grant', A) as never, A)
    wants(cluster, B)
    cluster.settle()
    assert.equal(cluster.children.size, 2)
    cluster.pass(limits.workerIdleMs)
    assert.equal(cluster.all('retire').length, 1)
  })

  test('a job with flags of its own has workers that are started with them', () => {
    const cluster = serving()
    const job = { ...jobOf(A), execArgv: ['--conditions=x'] }
    cluster.want(A, { CPU: 1 }, 1, { job })
    assert.equal(cluster.all('grant', A).length, 0)
    assert.deepEqual([...cluster.children.values()].at(-1)?.job, job)
    cluster.settle()
    assert.equal(cluster.all('grant', A).length, 1)
  })

  test('the workers that a driver starts for itself are its own from the start', () => {
    const cluster = FakeCluster.started()
    assert.deepEqual([...cluster.children.values()][0]?.job, jobOf(cluster.driver))
    cluster.hello(B, 'driver', 2)
    wants(cluster, B)
    assert.deepEqual([...cluster.children.values()].at(-1)?.job, jobOf(B))
    cluster.settle()
    assert.equal(cluster.all('grant', B).length, 1)
  })

  test('a driver that leaves takes its idle workers along, and what ran for it; others go on', () => {
    const cluster = serving(3)
    wants(cluster, A, 2)
    wants(cluster, B)
    const [idle, running] = cluster.all('grant', A)
    cluster.giveBack(idle as never, A)
    cluster.from(A, { is: 'endJob' })
    assert.equal(cluster.all('jobOver', A).length, 1)
    assert.equal(cluster.all('retire', idle?.workerId).length, 1)
    assert.ok(cluster.killed.has(cluster.keyOf(running?.workerId as string)))
    assert.deepEqual(
      cluster.all('workerDied', B).map(each => each.workerId),
      [A],
    )
    assert.equal(cluster.ended, null)
    const [ofB] = cluster.all('grant', B)
    cluster.giveBack(ofB as never, B)
    wants(cluster, B)
    assert.equal(cluster.last('grant', B)?.workerId, ofB?.workerId)
  })

  test('workers hear that their job is over, whatever they do: they may have submitted what only they wait for', () => {
    const cluster = serving(3)
    wants(cluster, A, 3)
    const [leaving, idle, own] = cluster.all('grant', A)
    assert.ok(leaving !== undefined && idle !== undefined && own !== undefined)
    cluster.giveBack(leaving, A, true)
    cluster.giveBack(own, A)
    cluster.want(own.workerId, { CPU: 1 }, 1, { job: jobOf(A) })
    assert.equal(cluster.last('grant', own.workerId)?.workerId, own.workerId, 'it serves itself')
    cluster.giveBack(idle, A)
    cluster.from(A, { is: 'endJob' })
    for (const { workerId } of [leaving, idle, own]) assert.equal(cluster.all('jobOver', workerId).length, 1)
  })

  test('what it had in the store goes when its channel closes, whether or not it said that it leaves', () => {
    const cluster = serving()
    cluster.from(A, { is: 'endJob' })
    assert.deepEqual(cluster.reaped, [])
    cluster.event({ is: 'peerClosed', workerId: A, reason: 'closed' })
    cluster.event({ is: 'peerClosed', workerId: B, reason: 'died' })
    assert.deepEqual(cluster.reaped, [A, B])
    assert.equal(cluster.ended, null)
  })

  test('its actors die with it, detached ones do not, and keep the workers they use', () => {
    const cluster = serving(3)
    const idOf = (seq: number): string => A + seq.toString(16).padStart(16, '0')
    cluster.from(A, { is: 'actorCreate', spec: actorSpec(idOf(1), { job: jobOf(A) }) })
    cluster.from(A, { is: 'actorCreate', spec: actorSpec(idOf(2), { job: jobOf(A), detached: true }) })
    const [plain, detached] = cluster.sent.filter(each => each.message.is === 'actorStart').map(each => each.to) as [string, string]
    cluster.want(detached, { CPU: 1 }, 1, { job: jobOf(A) })
    cluster.settle()
    const grant = cluster.last('grant', detached)
    cluster.from(A, { is: 'endJob' })
    assert.deepEqual([...cluster.killed], [cluster.keyOf(plain)])
    cluster.settle()
    cluster.giveBack(grant as never, detached)
    cluster.want(detached, { CPU: 1 }, 1, { job: jobOf(A) })
    assert.equal(cluster.last('grant', detached)?.workerId, grant?.workerId, 'it serves the actor further')
    cluster.giveBack(cluster.last('grant', detached) as never, detached)
    cluster.pass(limits.workerIdleMs)
    assert.equal(cluster.all('retire', grant?.workerId).length, 1, 'and goes when it is idle')
  })

  test('warnings go to the driver whose task it is', () => {
    const cluster = serving()
    cluster.want(A, { CPU: 100 }, 1, { job: jobOf(A) })
    cluster.pass(limits.infeasibleWarnAfterMs)
    assert.equal(cluster.all('warning', A).length, 1)
    assert.equal(cluster.all('warning', B).length, 0)
  })

  test('jobs are listed, those that ended too', () => {
    const cluster = serving()
    cluster.from(A, { is: 'endJob' })
    cluster.from(B, { is: 'query', request: 7, what: 'jobs', argument: '' })
    const rows = [
      { jobId: jobOf(A).jobId, namespace: 'default', driver: A, state: 'ENDED' },
      { jobId: jobOf(B).jobId, namespace: 'default', driver: B, state: 'RUNNING' },
    ]
    assert.deepEqual(cluster.last('answer', B)?.rows, rows)
  })
})
