// SPDX-License-Identifier: Apache-2.0
// Leases that others wait for: whose are asked for, how many, and when those of somebody else.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { limits } from '#lib/options.js'
import { classOf, FakeCluster, jobOf, type MessageOf, workerIdOf } from '../../fakes/cluster.js'

const ONE = { CPU: 1 }
const [A, B, C] = [90, 91, 92].map(workerIdOf) as [string, string, string]
const keyOf = (need: Record<string, number>): string => classOf(need).key

/** Owners A, B and C on a node, and what each has before others want anything. */
function node(resources: Record<string, number>, has: readonly (readonly [string, Record<string, number>, number])[]): FakeCluster {
  const cluster = FakeCluster.started({ resources, gpuIds: resources.GPU === undefined ? [] : ['0', '1'], job: null })
  for (const owner of [A, B, C]) cluster.hello(owner, 'driver', 1)
  for (const [owner, need, count] of has) {
    cluster.want(owner, need, count)
    cluster.settle()
  }
  return cluster
}

const asked = (cluster: FakeCluster, owner: string): number[] => cluster.all('reclaim', owner).map(each => each.count)
const giveOne = (cluster: FakeCluster, owner: string): void => {
  cluster.giveBack(cluster.last('grant', owner) as MessageOf<'grant'>, owner)
  cluster.settle()
}
const yields = (cluster: FakeCluster, owner: string, count: number, held: number, need: Record<string, number> = ONE): void =>
  cluster.from(owner, { is: 'yields', classKey: keyOf(need), count, held })

suite('leases that others wait for', () => {
  test('as many are asked for as lack, and the last figure counts', () => {
    const cluster = node({ CPU: 4 }, [[A, ONE, 4]])
    cluster.want(B, ONE)
    assert.deepEqual(asked(cluster, A), [1])
    cluster.want(B, ONE, 3)
    assert.deepEqual(asked(cluster, A), [1, 3])
    giveOne(cluster, A)
    assert.deepEqual(asked(cluster, A), [1, 3], 'two are to come still')
    cluster.want(B, ONE, 0)
    assert.deepEqual(asked(cluster, A), [1, 3, 0])
  })

  test('a request of several units makes owners give several leases, and only such as hold what it lacks', () => {
    const cluster = node({ CPU: 4, disk: 2 }, [
      [A, ONE, 3],
      [C, { disk: 2 }, 1],
    ])
    cluster.want(B, { CPU: 4 })
    assert.deepEqual([asked(cluster, A), asked(cluster, C)], [[3], []])
    cluster.want(B, { disk: 1 }, 2)
    assert.deepEqual([asked(cluster, A), asked(cluster, C)], [[3], [1]])
    assert.equal(cluster.last('reclaim', C)?.classKey, keyOf({ disk: 2 }))
  })

  test('a device that has room for part of a fraction is freed too', () => {
    const cluster = node({ CPU: 4, GPU: 2 }, [[A, { GPU: 0.6 }, 2]])
    cluster.want(B, { GPU: 0.7 })
    assert.deepEqual(asked(cluster, A), [1])
  })

  test('who has most is asked first; who says that it has no more than who waits is not, and the next is at once', () => {
    const cluster = node({ CPU: 4 }, [
      [A, ONE, 3],
      [C, ONE, 1],
    ])
    cluster.want(B, ONE, 1, { held: 5 })
    assert.deepEqual([asked(cluster, A), asked(cluster, C)], [[1], []])
    assert.equal(cluster.last('reclaim', A)?.must, 0)
    yields(cluster, A, 0, 6)
    assert.deepEqual([asked(cluster, A), asked(cluster, C)], [[1], [1]])
    yields(cluster, C, 0, 6)
    cluster.pass(5 * limits.leaseQuantumMs)
    assert.deepEqual([asked(cluster, A), asked(cluster, C)], [[1], [1]], 'it knows that, for a while')
    cluster.want(B, ONE, 1, { held: 2 })
    assert.equal(asked(cluster, A).length + asked(cluster, C).length, 3, 'now it has clearly less')
    cluster.want(B, ONE, 1, { held: 9 })
    cluster.pass(limits.heldKnownMs + limits.leaseQuantumMs)
    assert.ok(asked(cluster, A).length > 1 && asked(cluster, C).length > 1, 'what it knows is too old')
  })

  test('who has nothing gets one, whatever that needs, on its own node, and more by what both have', () => {
    const cluster = node({ CPU: 2 }, [[A, ONE, 2]])
    cluster.want(B, ONE, 2)
    assert.deepEqual(
      cluster.all('reclaim', A).map(({ count, held, must }) => ({ count, held, must })),
      [{ count: 2, held: 0, must: 1 }],
    )
  })

  test('nothing is asked of anybody for a request that cannot have all it needs', () => {
    const cluster = node({ CPU: 4 }, [[A, ONE, 3]])
    cluster.want(C, { CPU: 1 }, 1)
    cluster.settle()
    cluster.want(B, { CPU: 4 }, 1, { held: 2 })
    yields(cluster, C, 0, 1)
    yields(cluster, A, 0, 3)
    const before = asked(cluster, A).length + asked(cluster, C).length
    cluster.pass(3 * limits.leaseQuantumMs)
    assert.equal(asked(cluster, A).length + asked(cluster, C).length, before)
  })

  test('an owner that promises more than is still lacking is told', () => {
    const cluster = node({ CPU: 4 }, [[A, ONE, 4]])
    cluster.want(B, ONE, 2)
    assert.deepEqual(asked(cluster, A), [2])
    giveOne(cluster, A)
    yields(cluster, A, 2, 1)
    assert.deepEqual(asked(cluster, A), [2, 1], 'one was under way when it said so')
    cluster.want(B, ONE, 0)
    yields(cluster, A, 1, 1)
    assert.deepEqual(asked(cluster, A).slice(-1), [0])
  })

  test('who was asked for what does not lack any more is told, also while others wait for something else', () => {
    const cluster = node({ CPU: 2, disk: 1 }, [
      [A, ONE, 2],
      [C, { disk: 1 }, 1],
    ])
    cluster.want(A, { disk: 1 })
    cluster.want(B, ONE)
    assert.deepEqual(asked(cluster, A), [1])
    yields(cluster, A, 1, 1)
    cluster.want(B, ONE, 0)
    cluster.pass(limits.leaseQuantumMs)
    assert.deepEqual(asked(cluster, A), [1, 0])
  })

  test('what does not come within a quantum is asked of another as well', () => {
    const cluster = node({ CPU: 4 }, [
      [A, ONE, 3],
      [C, ONE, 1],
    ])
    cluster.want(B, ONE)
    yields(cluster, A, 1, 2)
    cluster.pass(limits.leaseQuantumMs)
    assert.deepEqual([asked(cluster, A), asked(cluster, C)], [[1], [1]])
    giveOne(cluster, C)
    assert.deepEqual([asked(cluster, A), asked(cluster, C)], [[1, 0], [1]], 'A keeps what it has')
  })

  test('a process is started for what is about to come back, if none is there that would do', () => {
    const cluster = node({ CPU: 2 }, [[A, ONE, 2]])
    const before = cluster.children.size
    cluster.want(B, ONE, 1, { job: jobOf(B) })
    assert.equal(cluster.children.size, before)
    yields(cluster, A, 1, 1)
    assert.equal(cluster.children.size, before + 1)
    cluster.settle()
    yields(cluster, A, 1, 1)
    assert.equal(cluster.children.size, before + 1, 'it is there')
    cluster.giveBack(cluster.last('grant', A) as MessageOf<'grant'>, A)
    assert.equal(cluster.all('grant', B).length, 1, 'at once')
  })

  test('a worker that was started for what does not come, and sent away, is not started again', () => {
    const cluster = node({ CPU: 2 }, [[A, ONE, 2]])
    cluster.want(B, ONE, 1, { job: jobOf(B) })
    const before = cluster.children.size
    yields(cluster, A, 1, 1)
    cluster.settle()
    const started = cluster.children.size
    assert.equal(started, before + 1)
    const pids = [...cluster.children.keys()]
    for (let i = 0; i < 60; i++) {
      cluster.pass(limits.leaseQuantumMs)
      cluster.settle()
    }
    assert.deepEqual(
      [...cluster.children.keys()].filter(pid => !pids.includes(pid)),
      [],
    )
  })

  test('none is started where the worker that comes back will do', () => {
    const cluster = node({ CPU: 2 }, [[A, ONE, 2]])
    const before = cluster.children.size
    cluster.want(B, ONE, 1)
    cluster.want(C, ONE, 1)
    yields(cluster, A, 2, 0)
    assert.equal(cluster.children.size, before)
  })

  test('what gets free goes to who has clearly less than who was there first', () => {
    const cluster = node({ CPU: 1 }, [[A, ONE, 1]])
    cluster.want(C, ONE, 1, { held: 5 })
    cluster.want(B, ONE, 1, { held: 3 })
    giveOne(cluster, A)
    assert.deepEqual([cluster.all('grant', B).length, cluster.all('grant', C).length], [1, 0])
  })

  test('who wants nothing any more is asked whatever it said, since it may not use what it has', () => {
    const cluster = node({ CPU: 2 }, [[A, ONE, 2]])
    cluster.want(B, ONE, 1, { held: 5 })
    yields(cluster, A, 0, 2)
    cluster.pass(limits.leaseQuantumMs)
    assert.equal(asked(cluster, A).length, 1)
    cluster.want(A, ONE, 0)
    assert.equal(asked(cluster, A).length, 2)
  })

  test('property: no more is asked for than lacks, and enough, whatever the sizes', () => {
    const size = fc.integer({ min: 1, max: 4 })
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 6 }), size, fc.integer({ min: 1, max: 3 }), (sizes, need, count) => {
        const total = sizes.reduce((sum, each) => sum + each, 0)
        const cluster = node({ CPU: Math.max(total, need) }, [])
        for (const each of sizes) {
          cluster.want(A, { CPU: each })
          cluster.settle()
        }
        cluster.want(B, { CPU: need }, count)
        cluster.settle()
        const told = new Map(cluster.all('reclaim', A).map(each => [each.classKey, each.count]))
        const coming = sizes.filter(
          (each, i) => sizes.slice(0, i).filter(other => other === each).length < (told.get(keyOf({ CPU: each })) ?? 0),
        )
        const sum = coming.reduce((all, each) => all + each, 0)
        const possible = Math.min(count, Math.floor(Math.max(total, need) / need))
        const lacking = Math.max(0, possible * need - (Math.max(total, need) - total))
        if (coming.length === sizes.length) return
        assert.ok(sum >= lacking, `${sum} of ${lacking} are to come`)
        // The last that was asked for is needed; what it has beyond that comes with it.
        assert.ok(sum - Math.max(0, ...coming) < count * need, `${coming} for ${count} of ${need}`)
      }),
      { numRuns: 100 },
    )
  })
})
