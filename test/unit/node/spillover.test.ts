// SPDX-License-Identifier: Apache-2.0
// A node among others: what it sends away, what it serves for others and how long, and what ends with another node.

import assert from 'node:assert/strict'
import { toAmounts } from '#lib/core/resources.js'
import { limits } from '#lib/options.js'
import type { NodeView, Strategy, WorkerId } from '#lib/wire/messages.js'
import { classOf, FakeCluster, type MessageOf, NODE_ID } from '../../fakes/cluster.js'

const daemonOf = (nodeId: string): WorkerId => `${nodeId}0000dddddddddd`
const B = daemonOf('bbbbbbbbbb')
const C = daemonOf('cccccccccc')
const GUEST: WorkerId = 'bbbbbbbbbb0001eeeeeeeeee'

function view(
  daemonId: WorkerId,
  total: Record<string, number>,
  free: Record<string, number> = total,
  more: Partial<NodeView> = {},
): NodeView {
  return {
    ...{ nodeId: daemonId.slice(0, 10), daemonId, hostname: 'h', address: '', dataAddress: '', state: 'alive', labels: {}, gpuIds: [] },
    ...{ total: toAmounts(total), available: toAmounts(free), deathCause: null },
    ...more,
  }
}

/** A node with so many CPUs, and others. */
function among(cpus: number, ...nodes: NodeView[]): FakeCluster {
  const cluster = FakeCluster.started({ resources: { CPU: cpus }, founded: false })
  cluster.event({ is: 'view', full: true, nodes })
  return cluster
}

function wants(
  cluster: FakeCluster,
  owner: WorkerId,
  count: number,
  strategy: Strategy | null = null,
  need = { CPU: 1 },
  labels = {},
): void {
  const where = strategy === null ? null : { strategy, labels }
  const wanted = { ...classOf(need), where }
  cluster.from(owner, { is: 'want', class: wanted, count, held: 0, taskName: 'f' })
  cluster.settle()
}

/** Without letting workers start. */
function wantsOnly(cluster: FakeCluster, count: number): void {
  cluster.want(cluster.driver, { CPU: 1 }, count)
}

const spilled = (cluster: FakeCluster): Record<WorkerId, number> => {
  const sum: Record<WorkerId, number> = {}
  for (const { to, counts } of cluster.all('spill', cluster.driver))
    for (const [i, each] of to.entries()) sum[each] = (sum[each] ?? 0) + (counts[i] as number)
  return sum
}

suite('spilling to other nodes', () => {
  test('here to half, then elsewhere to half, then both; what fits nowhere waits here', () => {
    const cluster = among(4, view(B, { CPU: 4 }))
    wants(cluster, cluster.driver, 9)
    assert.equal(cluster.all('grant').length, 4)
    assert.deepEqual(spilled(cluster), { [B]: 4 })
    const [first] = cluster.all('grant')
    cluster.giveBack(first as MessageOf<'grant'>)
    cluster.settle()
    assert.equal(cluster.all('grant').length, 5, 'the ninth')
  })

  test('what was sent to a node counts as taken there, until it has had the time to tell', () => {
    const cluster = among(1, view(B, { CPU: 2 }))
    wants(cluster, cluster.driver, 4)
    assert.deepEqual(spilled(cluster), { [B]: 2 })
    cluster.event({ is: 'view', full: false, nodes: [view(B, { CPU: 2 })] })
    assert.deepEqual(spilled(cluster), { [B]: 2 })
    cluster.pass(limits.sentShowsAfterMs)
    cluster.event({ is: 'view', full: false, nodes: [view(B, { CPU: 2 }, { CPU: 1 })] })
    assert.deepEqual(spilled(cluster), { [B]: 3 })
  })

  test('what waits here goes as soon as another node has room, or joins', () => {
    const cluster = among(1, view(B, { CPU: 1 }, {}))
    wants(cluster, cluster.driver, 3)
    assert.deepEqual(spilled(cluster), {})
    cluster.event({ is: 'view', full: false, nodes: [view(C, { CPU: 1 })] })
    assert.deepEqual(spilled(cluster), { [C]: 1 })
    cluster.event({ is: 'view', full: false, nodes: [view(B, { CPU: 1 })] })
    assert.deepEqual(spilled(cluster), { [C]: 1, [B]: 1 })
  })

  test('more than this node can ever serve at once waits at others too, one at each in turn; what comes back goes again ever later', () => {
    const cluster = among(2, view(B, { CPU: 4 }, {}), view(C, { CPU: 4 }, {}))
    cluster.want(cluster.driver, { CPU: 1 }, 8)
    assert.deepEqual(spilled(cluster), {}, 'it is gathered first')
    cluster.pass(limits.spreadMs[0])
    assert.deepEqual(spilled(cluster), { [B]: 2, [C]: 2 })
    const rounds: number[] = []
    for (let from = cluster.now, seen = 1; rounds.length < 3; cluster.pass(limits.spreadMs[0])) {
      const spills = cluster.all('spill', cluster.driver).length
      if (spills > seen) {
        rounds.push(cluster.now - from)
        from = cluster.now
        seen = spills
      }
      // What was sent away comes back at once, each time.
      cluster.want(cluster.driver, { CPU: 1 }, 6, { held: 2 })
    }
    assert.deepEqual(
      rounds,
      [1, 2, 4].map(times => times * limits.guestRestMs),
    )
  })

  test('what this node can never serve waits at one that can, also while that is busy', () => {
    const cluster = among(1, view(B, { CPU: 1, disk: 2 }, {}), view(C, { CPU: 1, disk: 1 }, {}))
    wants(cluster, cluster.driver, 2, null, { CPU: 1, disk: 1 } as never)
    assert.deepEqual(spilled(cluster), { [B]: 1, [C]: 1 })
    assert.equal(cluster.all('unplaceable').length, 0)
  })

  test('SPREAD gives each node its share', () => {
    const cluster = among(4, view(B, { CPU: 4 }), view(C, { CPU: 4 }))
    wants(cluster, cluster.driver, 6, { is: 'spread' })
    assert.deepEqual(spilled(cluster), { [B]: 2, [C]: 2 })
    assert.equal(cluster.all('grant').length, 2)
  })

  test('SPREAD, one after another: each goes to the next node, also where it has just been', () => {
    const cluster = among(1, view(B, { CPU: 1 }), view(C, { CPU: 1 }))
    const went: string[] = []
    for (let n = 0; n < 9; n++) {
      const [grants, spills] = [cluster.all('grant').length, cluster.all('spill').length]
      wants(cluster, cluster.driver, 1, { is: 'spread' })
      if (cluster.all('grant').length > grants) {
        went.push(NODE_ID)
        cluster.giveBack(cluster.last('grant') as MessageOf<'grant'>)
      } else went.push(...cluster.all('spill').slice(spills)[0]!.to)
    }
    assert.equal(new Set(went.slice(0, 3)).size, 3)
    assert.deepEqual(went.slice(3), [...went.slice(0, 3), ...went.slice(0, 3)])
  })

  test('SPREAD: what no node has room for now waits at all in equal parts', () => {
    const cluster = among(1, view(B, { CPU: 1 }, {}), view(C, { CPU: 1 }, {}))
    wants(cluster, cluster.driver, 10, { is: 'spread' })
    assert.deepEqual(spilled(cluster), { [B]: 3, [C]: 3 })
    cluster.pass(limits.spreadMs[0])
    assert.deepEqual(spilled(cluster), { [B]: 3, [C]: 3 })
  })

  test('affinity: that node, also while it is busy; labels likewise', () => {
    const cluster = among(4, view(B, { CPU: 1 }, {}, { labels: { zone: 'b' } }))
    wants(cluster, cluster.driver, 1, { is: 'node', nodeId: 'bbbbbbbbbb', soft: false })
    assert.deepEqual(spilled(cluster), { [B]: 1 })
    const labelled = among(4, view(B, { CPU: 1 }, {}, { labels: { zone: 'b' } }))
    wants(labelled, labelled.driver, 2, { is: 'default' }, { CPU: 1 }, { zone: 'in(a,b)' })
    assert.deepEqual(spilled(labelled), { [B]: 2 })
    const own = among(1, view(B, { CPU: 9 }))
    wants(own, own.driver, 5, { is: 'node', nodeId: NODE_ID, soft: true })
    assert.deepEqual(spilled(own), {})
  })

  test('the node that holds what its tasks read is asked first, as far as it has room', () => {
    const cluster = among(4, view(B, { CPU: 1 }), view(C, { CPU: 4 }))
    const wanted = { ...classOf({ CPU: 1 }), near: 'bbbbbbbbbb' }
    cluster.from(cluster.driver, { is: 'want', class: wanted, count: 2, held: 0, taskName: 'f' })
    cluster.settle()
    assert.deepEqual(spilled(cluster), { [B]: 1 })
    assert.equal(cluster.all('grant').length, 1)
  })

  test('what no node of the cluster can serve is told, and fails unless one joins that can', () => {
    const cluster = among(1, view(B, { CPU: 2 }))
    wants(cluster, cluster.driver, 1, null, { CPU: 8 })
    cluster.pass(limits.infeasibleWarnAfterMs)
    const [warning] = cluster.all('warning', cluster.driver)
    assert.match(warning?.text ?? '', /Task f needs {CPU:8}, and none of the 2 nodes has that: CPU:2 at most. It fails 10 s after/)
    cluster.pass(limits.infeasibleAfterMs - limits.infeasibleWarnAfterMs - 1)
    cluster.event({ is: 'view', full: false, nodes: [view(C, { CPU: 8 })] })
    assert.deepEqual(spilled(cluster), { [C]: 1 })
    cluster.pass(limits.infeasibleAfterMs)
    assert.deepEqual([cluster.all('unplaceable').length, cluster.all('warning').length], [0, 1])
    wants(cluster, cluster.driver, 1, { is: 'node', nodeId: 'ffffffffff', soft: false })
    cluster.pass(limits.infeasibleAfterMs)
    assert.match(cluster.last('unplaceable')?.message ?? '', /on the node ffffffffff only, and that is not in the cluster/)
  })

  test('where nodes may join, nobody is warned of what one takes that comes soon; explain() says at once what is the matter', () => {
    const cluster = among(1, view(B, { CPU: 2 }))
    wants(cluster, cluster.driver, 1, null, { CPU: 8 })
    cluster.from(cluster.driver, { is: 'query', request: 1, what: 'explain', argument: classOf({ CPU: 8 }).key })
    const { request } = cluster.last('query', B) as MessageOf<'query'>
    cluster.from(B, { is: 'answer', request, rows: [] })
    const { rows } = cluster.last('answer', cluster.driver) as MessageOf<'answer'>
    const [row] = rows as { impossible: string }[]
    assert.match(row?.impossible ?? '', /^Task f needs {CPU:8}, and none of the 2 nodes has that.*unless a node joins/)
    cluster.pass(limits.infeasibleWarnAfterMs - 1)
    cluster.event({ is: 'view', full: false, nodes: [view(C, { CPU: 8 })] })
    cluster.pass(limits.infeasibleAfterMs)
    assert.equal(cluster.all('warning').length, 0)
    assert.deepEqual(spilled(cluster), { [C]: 1 })
  })
})

suite('serving owners of other nodes', () => {
  test('they are granted, return leases, and end what they lease', () => {
    const cluster = among(2, view(B, { CPU: 1 }, {}))
    wants(cluster, GUEST, 2)
    const grants = cluster.all('grant', GUEST)
    assert.equal(grants.length, 2)
    cluster.giveBack(grants[0] as MessageOf<'grant'>, GUEST)
    assert.equal(cluster.available('CPU'), 1)
    cluster.from(GUEST, { is: 'killWorker', workerId: (grants[1] as MessageOf<'grant'>).workerId, reason: 'r' })
    assert.equal(cluster.killed.size, 1)
  })

  test('they hear of nothing else, and processes of dead nodes of nothing at all', () => {
    const cluster = among(2, view(B, { CPU: 1 }))
    cluster.from(GUEST, { is: 'query', request: 1, what: 'workers', argument: '' })
    assert.equal(cluster.all('answer').length, 0)
    cluster.event({ is: 'nodeDied', nodeId: 'bbbbbbbbbb', why: 'silence' })
    wants(cluster, GUEST, 1)
    assert.equal(cluster.all('grant').length, 0)
  })

  test('one that waits is sent back once another node has room, and not before', () => {
    const cluster = among(1, view(B, { CPU: 1 }, {}), view(C, { CPU: 1 }, {}))
    wants(cluster, cluster.driver, 1)
    wants(cluster, GUEST, 3)
    cluster.pass(3 * limits.guestWaitMs)
    assert.equal(cluster.all('wantRefused').length, 0)
    cluster.event({ is: 'view', full: false, nodes: [view(C, { CPU: 2 })] })
    cluster.pass(limits.guestWaitMs)
    assert.deepEqual(
      cluster.all('wantRefused', GUEST).map(each => each.count),
      [2],
      'as many as have room there',
    )
    cluster.event({ is: 'view', full: false, nodes: [view(C, { CPU: 3 })] })
    cluster.pass(limits.guestWaitMs)
    assert.equal(cluster.all('wantRefused', GUEST).length, 2)
    cluster.giveBack(cluster.last('grant', cluster.driver) as MessageOf<'grant'>)
    cluster.settle()
    assert.equal(cluster.all('grant', GUEST).length, 0, 'it waits no more')
  })

  test('what nobody here can be asked for is tried elsewhere after a while, but for one', () => {
    const cluster = among(1, view(B, { CPU: 1 }, {}), view(C, { CPU: 1 }, {}))
    wants(cluster, cluster.driver, 1)
    cluster.from(GUEST, { is: 'want', class: { ...classOf({ CPU: 1 }), where: null }, count: 5, held: 9, taskName: 'f' })
    const classKey = (cluster.last('reclaim', cluster.driver) as MessageOf<'reclaim'>).classKey
    cluster.from(cluster.driver, { is: 'yields', classKey, count: 0, held: 1 })
    cluster.pass(limits.guestRestMs - 1)
    assert.equal(cluster.all('wantRefused').length, 0)
    cluster.pass(limits.guestRestMs)
    assert.deepEqual(
      cluster.all('wantRefused', GUEST).map(each => each.count),
      [4],
    )
  })

  test('what waits for nothing but a worker that starts is not told as free', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2 }, prestart: 0 })
    wantsOnly(cluster, 1)
    assert.equal(cluster.node.load().available.CPU, 10_000)
  })

  test('one that has only come is given a moment here', () => {
    const cluster = among(1, view(B, { CPU: 1 }, {}), view(C, { CPU: 1 }))
    wants(cluster, cluster.driver, 1)
    wants(cluster, GUEST, 1)
    cluster.pass(limits.guestWaitMs - 1)
    assert.equal(cluster.all('wantRefused').length, 0)
    cluster.pass(1)
    assert.equal(cluster.all('wantRefused').length, 1)
  })

  test('what this node can never serve is sent back at once', () => {
    const cluster = among(1, view(B, { CPU: 1 }), view(C, { CPU: 9 }))
    wants(cluster, GUEST, 2, null, { CPU: 9 })
    assert.deepEqual(
      cluster.all('wantRefused', GUEST).map(each => each.count),
      [2],
    )
    assert.equal(cluster.all('unplaceable').length, 0)
  })

  const death = { exitCode: null, signal: 'SIGKILL', stderrTail: '', reason: null, outOfMemory: false }

  test('with an owner, and with its node, end its leases and what it waits for', () => {
    for (const end of [
      { is: 'message', from: B, message: { is: 'workerDied', workerId: GUEST, death } },
      { is: 'nodeDied', nodeId: 'bbbbbbbbbb', why: 'silence' },
    ] as const) {
      const cluster = among(1, view(B, { CPU: 1 }))
      wants(cluster, GUEST, 2)
      const leased = (cluster.last('grant', GUEST) as MessageOf<'grant'>).workerId
      cluster.event(end)
      assert.deepEqual([...cluster.killed], [cluster.keyOf(leased)])
      cluster.settle()
      assert.equal(cluster.available('CPU'), 1)
      assert.equal(cluster.all('grant', GUEST).length, 1)
      // That the guest died the relay tells, after all that it had sent.
      assert.equal(cluster.all('nodeDied').length, 0, 'the relay tells')
      assert.equal(cluster.all('workerDied', cluster.driver).filter(each => each.workerId === GUEST).length, 0)
    }
  })

  test('only the daemon of its own node says that an owner is dead', () => {
    const cluster = among(1, view(B, { CPU: 1 }), view(C, { CPU: 1 }))
    wants(cluster, GUEST, 1)
    const leased = (cluster.last('grant', GUEST) as MessageOf<'grant'>).workerId
    for (const from of [C, GUEST, cluster.driver, leased]) cluster.from(from, { is: 'workerDied', workerId: GUEST, death })
    for (const from of [B, cluster.driver, leased]) cluster.from(from, { is: 'workerDied', workerId: cluster.driver, death })
    assert.equal(cluster.killed.size, 0)
    assert.equal(cluster.available('CPU'), 0)
  })

  test('a draining node serves nobody anew: its own owners go elsewhere, others are sent back', () => {
    const cluster = among(2, view(B, { CPU: 1 }))
    wants(cluster, cluster.driver, 1)
    cluster.node.handle({ is: 'drain' }, cluster.now, [])
    wants(cluster, cluster.driver, 1)
    wants(cluster, GUEST, 1)
    assert.equal(cluster.all('grant').length, 1)
    assert.deepEqual(spilled(cluster), { [B]: 1 })
    assert.equal(cluster.all('wantRefused', GUEST).length, 1)
    wants(cluster, cluster.driver, 1, { is: 'node', nodeId: NODE_ID, soft: false })
    assert.equal(cluster.all('grant').length, 1)
    cluster.pass(limits.infeasibleAfterMs)
    assert.match(cluster.last('unplaceable')?.message ?? '', /being drained/)
  })
})
