// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { limits } from '#lib/options.js'
import type { WorkerId } from '#lib/wire/messages.js'
import { actorSpec, FakeCluster, type MessageOf } from '../../fakes/cluster.js'

const MB = 1e6
const GB = 1e9
const totals = (usedGB: number, kernelKills = 0) => ({ usedBytes: usedGB * GB, totalBytes: 10 * GB, where: 'the machine', kernelKills })

/** A check above the limit, answered with those sizes. */
function press(cluster: FakeCluster, sizes: Record<WorkerId, number>, others: { what: string; bytes: number }[] = []): void {
  cluster.event({ is: 'memory', totals: totals(9.9) })
  const pids = cluster.weighings.at(-1) ?? []
  const bytes = new Map(Object.entries(sizes).map(([workerId, size]) => [cluster.pidOf(workerId), size]))
  cluster.event({ is: 'weighed', totals: totals(9.9), sizes: pids.map(pid => [pid, bytes.get(pid) ?? 30 * MB]), others })
}

function grants(cluster: FakeCluster, ...needs: Record<string, number>[]): WorkerId[] {
  for (const need of needs) cluster.want(cluster.driver, need, 1, { name: 'crunch' })
  cluster.settle()
  return cluster.all('grant').map(grant => grant.workerId)
}

suite('the memory monitor', () => {
  test('below the limit nobody is weighed or ended', () => {
    const cluster = FakeCluster.started()
    cluster.event({ is: 'memory', totals: totals(9.5) })
    assert.equal(cluster.weighings.length, 0)
    cluster.event({ is: 'memory', totals: totals(9.51) })
    assert.equal(cluster.weighings.length, 1)
    cluster.event({ is: 'weighed', totals: totals(9.5), sizes: [], others: [] })
    assert.equal(cluster.killed.size, 0, 'it has gone down meanwhile')
  })

  test('the worker furthest above what it declared is ended, not the largest; owner and driver hear why', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 3, memory: 8 * GB } })
    const [honest, liar, small] = grants(cluster, { CPU: 1, memory: 4 * GB }, { CPU: 1, memory: GB }, { CPU: 1 }) as [
      string,
      string,
      string,
    ]
    press(cluster, { [honest]: 4.2 * GB, [liar]: 2 * GB, [small]: 0.5 * GB }, [{ what: 'the driver (pid 1)', bytes: 3 * GB }])
    assert.deepEqual([...cluster.killed], [cluster.keyOf(liar)])
    const pid = cluster.pidOf(liar)
    cluster.settle()
    const { death } = cluster.last('workerDied', cluster.driver) as MessageOf<'workerDied'>
    assert.equal(death.outOfMemory, true)
    const text = death.reason ?? ''
    assert.match(text, /node aaaaaaaaaa is out of memory: 9\.9 GB of the 10 GB of the machine .* limit of 9\.5 GB \(95 %\)/)
    assert.match(text, new RegExp(`crunch \\(pid ${pid}\\) .*uses 2\\.0 GB and declared memoryBytes of 1\\.0 GB`))
    assert.match(text, /largest here: crunch \(pid \d+\) 4\.2 GB, the driver \(pid 1\) 3\.0 GB, crunch \(pid \d+\) 2\.0 GB/)
    assert.deepEqual(
      cluster.all('warning', cluster.driver).map(warning => warning.text),
      [`crunch was ended: ${text}`],
    )
  })

  test('one at a time: the next only when the last is dead and it is still too much', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2 } })
    const [one, two] = grants(cluster, { CPU: 1 }, { CPU: 0.9 }) as [string, string]
    press(cluster, { [one]: 3 * GB, [two]: 2 * GB })
    press(cluster, { [two]: 2 * GB })
    assert.deepEqual([...cluster.killed], [cluster.keyOf(one)])
    cluster.settle()
    press(cluster, { [two]: 2 * GB })
    assert.deepEqual([...cluster.killed], [cluster.keyOf(two)])
  })

  test('where no worker is to blame nobody is ended, and the driver is told once who is', () => {
    const cluster = FakeCluster.started()
    for (let i = 0; i < 3; i++) press(cluster, {}, [{ what: 'the driver (pid 1)', bytes: 9 * GB }])
    assert.equal(cluster.killed.size, 0)
    assert.equal(cluster.all('warning').length, 1)
    assert.match(cluster.last('warning')?.text ?? '', /no worker is so large.*the driver \(pid 1\) 9\.0 GB/)
    cluster.event({ is: 'memory', totals: totals(5) })
    press(cluster, {}, [])
    assert.equal(cluster.all('warning').length, 2)
  })

  test('an actor is ended for what it holds, and dies of memory or is restarted', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2, memory: 8 * GB } })
    const id = (n: number) => cluster.driver + n.toString(16).padStart(16, '0')
    const spec = { ...actorSpec(id(1)), held: { memory: 2 * GB }, placement: { memory: 2 * GB } }
    cluster.from(cluster.driver, { is: 'actorCreate', spec })
    cluster.from(cluster.driver, { is: 'actorCreate', spec: { ...spec, actorId: id(2), held: {}, placement: {}, maxRestarts: 1 } })
    cluster.settle()
    const views = () => new Map(cluster.all('actorState').map(({ view }) => [view.actorId, view]))
    const [declared, restarted] = [1, 2].map(n => views().get(id(n))?.workerId as string) as [string, string]
    press(cluster, { [declared]: 2.1 * GB, [restarted]: GB })
    cluster.settle()
    assert.ok(['restarting', 'starting'].includes(views().get(id(2))?.phase ?? ''))
    press(cluster, { [declared]: 2.1 * GB })
    cluster.settle()
    const view = views().get(id(1))
    assert.equal(view?.phase, 'dead')
    assert.match(new TextDecoder().decode(view?.deathCause ?? undefined), /ActorDiedError.*is out of memory.*OutOfMemoryError/s)
  })

  test('an idle or leaving worker may be what is large', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    const [worker] = grants(cluster, { CPU: 1 }) as [string]
    cluster.giveBack(cluster.last('grant') as MessageOf<'grant'>, cluster.driver, true)
    press(cluster, { [worker]: GB })
    cluster.settle()
    const { death } = cluster.last('workerDied', cluster.driver) as MessageOf<'workerDied'>
    assert.match(death.reason ?? '', /out of memory/)
  })

  test('a SIGKILL right after the kernel ended a process for memory was most likely that', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2 } })
    const [one, two] = grants(cluster, { CPU: 1 }, { CPU: 0.9 }) as [string, string]
    cluster.event({ is: 'memory', totals: totals(5, 3) })
    cluster.kernelKills = 4
    cluster.die(one, null, 'SIGKILL')
    cluster.die(two, null, 'SIGKILL')
    const deaths = cluster.all('workerDied', cluster.driver).map(each => each.death)
    assert.deepEqual(
      deaths.map(death => death.outOfMemory),
      [true, false],
      'one kill explains one exit',
    )
    assert.match(deaths[0]?.reason ?? '', /most likely node aaaaaaaaaa ran out of memory/)
    assert.equal(cluster.all('warning').length, 1)
  })

  test('but not long after, nor when it ended otherwise or was ended by us', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 3 } })
    const [one, two, three] = grants(cluster, { CPU: 1 }, { CPU: 0.9 }, { CPU: 0.8 }) as [string, string, string]
    cluster.event({ is: 'memory', totals: totals(5, 3) })
    cluster.kernelKills = 4
    cluster.die(one, null, 'SIGSEGV')
    cluster.from(cluster.driver, { is: 'killWorker', workerId: two, reason: 'cancelled' })
    cluster.die(two, null, 'SIGKILL')
    cluster.now += limits.kernelKillMs
    cluster.die(three, null, 'SIGKILL')
    assert.ok(cluster.all('workerDied', cluster.driver).every(each => !each.death.outOfMemory))
  })

  test('the count of the kernel at the start is not of our time', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    const [worker] = grants(cluster, { CPU: 1 }) as [string]
    cluster.event({ is: 'memory', totals: totals(5, 7) })
    cluster.kernelKills = 7
    cluster.die(worker, null, 'SIGKILL')
    assert.equal(cluster.last('workerDied', cluster.driver)?.death.outOfMemory, false)
  })
})
