// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { toAmounts } from '#lib/core/resources.js'
import { objectId } from '#lib/ids.js'
import { limits } from '#lib/options.js'
import type { ActorSpec, ActorView, GroupStrategy, WorkerId } from '#lib/wire/messages.js'
import { actorSpec, jobOf } from '../../fakes/cluster.js'
import { type FakeNode, FakeWorld } from '../../fakes/head.js'

const A = 'aaaaaaaaaa'
const B = 'bbbbbbbbbb'
const C = 'cccccccccc'

function create(node: FakeNode, from: WorkerId, seq: number, more: Partial<ActorSpec> = {}): string {
  const actorId = objectId(from, seq)
  node.from(from, { is: 'actorCreate', spec: actorSpec(actorId, { job: jobOf(from), ...more }) })
  return actorId
}

function view(node: FakeNode, to: WorkerId, actorId: string): ActorView | undefined {
  return node.all('actorState', to).findLast(state => state.actorId === actorId)?.view
}

function causeOf(of: ActorView | undefined): string {
  assert.equal(of?.phase, 'dead')
  return new TextDecoder().decode(of.deathCause ?? new Uint8Array(0))
}

/** Of the head, as a process sees them. */
function rows(
  world: FakeWorld,
  node: FakeNode,
  from: WorkerId,
  what: 'nodes' | 'actors' | 'jobs' | 'placement',
  argument = '',
): Record<string, unknown>[] {
  node.from(from, { is: 'query', request: 1, what, argument })
  world.settle()
  return node.last('answer', from)?.rows as Record<string, unknown>[]
}

function group(node: FakeNode, from: WorkerId, seq: number, strategy: GroupStrategy, cpus: number[]): string {
  const groupId = objectId(from, seq)
  const bundles = cpus.map(CPU => toAmounts({ CPU }))
  const common = { groupId, name: null, namespace: 'default', jobId: jobOf(from).jobId, detached: false }
  node.from(from, { is: 'groupCreate', spec: { ...common, strategy, bundles } })
  return groupId
}

const cpu = (count: number) => ({ placement: toAmounts({ CPU: count }), held: toAmounts({ CPU: count }) })

function two(more: { dead?: number } = {}): { world: FakeWorld; a: FakeNode; b: FakeNode; driver: WorkerId } {
  const world = new FakeWorld(more.dead)
  const a = world.add(A)
  const b = world.add(B)
  world.pass(1_000)
  const driver = a.driver()
  world.settle()
  return { world, a, b, driver }
}

suite('nodes of a cluster', () => {
  test('each hears of all, of what is free on them, and of nothing twice', () => {
    const { world, a, b, driver } = two()
    const seen: unknown[] = []
    const original = b.handle.bind(b)
    b.handle = event => {
      if (event.is === 'fromHead' && event.message.is === 'view') seen.push(event.message)
      original(event)
    }
    world.pass(5_000)
    assert.deepEqual(seen, [], 'nothing changed')
    create(a, driver, 1, cpu(1))
    world.pass(1_000)
    const views = seen as { full: boolean; nodes: { nodeId: string; available: Record<string, number> }[] }[]
    assert.ok(views.length >= 1 && views.length <= 3, `${views.length} views`)
    assert.deepEqual(views.at(-1)?.nodes, [{ ...views.at(-1)?.nodes[0], nodeId: A, available: toAmounts({ CPU: 1 }) }])
    const [row] = rows(world, a, driver, 'nodes')
    assert.deepEqual([row?.nodeId, row?.alive, row?.resources, row?.available], [A, true, { CPU: 2 }, { CPU: 1 }])
    assert.equal(row?.address, '127.0.0.1')
  })

  test('an actor goes where there is room, and its creator, on another node, hears of it', () => {
    const { world, a, b, driver } = two()
    const ids = [1, 2, 3, 4].map(seq => create(a, driver, seq, cpu(1)))
    world.pass(500)
    const where = ids.map(id => view(a, driver, id)?.nodeId)
    assert.deepEqual(where.sort(), [A, A, B, B])
    assert.equal(b.all('actorStart').length, 2)
    assert.ok(ids.every(id => view(a, driver, id)?.phase === 'alive'))
  })

  test('one that fits nowhere now queues on a node, which gives it back while another has room', () => {
    const { world, a, b, driver } = two()
    const first = [1, 2, 3, 4].map(seq => create(a, driver, seq, cpu(1)))
    world.pass(500)
    const late = create(a, driver, 9, cpu(2))
    world.pass(100)
    assert.equal(view(a, driver, late)?.phase, 'pending')
    for (const id of first) if (view(a, driver, id)?.nodeId === B) a.from(driver, { is: 'actorKill', actorId: id, noRestart: true })
    world.pass(2 * limits.placeWaitMs + 1_000)
    assert.equal(view(a, driver, late)?.nodeId, B)
    assert.equal(b.last('actorStart')?.spec.actorId, late)
  })

  test('one that no node could ever hold is given up, unless one comes that can', () => {
    const { world, a, driver } = two()
    const never = create(a, driver, 1, cpu(8))
    world.pass(limits.infeasibleWarnAfterMs)
    assert.match(a.last('warning', driver)?.text ?? '', /Actor Counter needs \{CPU:8\}.*none of the 2 nodes.*unless a node joins/)
    world.pass(limits.infeasibleAfterMs)
    assert.match(causeOf(view(a, driver, never)), /^ActorUnschedulableError: Actor Counter needs/)
    const later = create(a, driver, 2, cpu(8))
    world.pass(limits.infeasibleAfterMs / 2)
    world.add(C, { resources: { CPU: 16 } })
    world.pass(limits.infeasibleAfterMs)
    assert.equal(view(a, driver, later)?.nodeId, C)
  })

  test('nobody is warned of actors that a node takes which comes soon; explain() says at once what is the matter', () => {
    const { world, a, driver } = two()
    const early = [1, 2, 3].map(seq => create(a, driver, seq, cpu(8)))
    world.settle()
    for (const actorId of early)
      assert.match(String(rows(world, a, driver, 'placement', actorId)[0]?.reason), /Actor Counter needs \{CPU:8\}.*unless a node joins/)
    world.pass(limits.infeasibleWarnAfterMs - 1)
    world.add(C, { resources: { CPU: 16 } })
    world.pass(2 * limits.infeasibleAfterMs)
    assert.deepEqual(a.all('warning'), [])
    // The node has room for two; the third waits there, and is not hopeless.
    assert.deepEqual(early.map(actorId => view(a, driver, actorId)?.phase).sort(), ['alive', 'alive', 'pending'])
  })

  test('once a node of their size has registered, no actor that waits for one is given up, though it takes none yet', () => {
    const { world, a, driver } = two()
    const early = [1, 2, 3].map(seq => create(a, driver, seq, cpu(8)))
    world.pass(limits.infeasibleAfterMs - 2_000)
    const total = toAmounts({ CPU: 32 })
    const own = { nodeId: C, daemonId: `${C}0000bbbbbbbbbb`, hostname: 'h', address: '', dataAddress: '', labels: {}, gpuIds: [] }
    const node = { ...own, state: 'alive', total, available: total, deathCause: null } as const
    world.headHandle({ is: 'fromDaemon', nodeId: C, message: { is: 'register', clusterId: null, node } })
    world.pass(5_000)
    assert.deepEqual(
      early.map(actorId => view(a, driver, actorId)?.phase),
      ['pending', 'pending', 'pending'],
    )
  })

  test('a placement group that the nodes could not hold: its maker is warned after a while, once, and explain() says so at once', () => {
    const { world, a, driver } = two()
    const ids = [1, 2, 3].map(seq => group(a, driver, seq, 'STRICT_SPREAD', [1, 1, 1]))
    world.settle()
    for (const groupId of ids)
      assert.match(
        String(rows(world, a, driver, 'placement', groupId)[0]?.reason),
        /Placement group .* \(STRICT_SPREAD\) is pending: its 3 bundles need a node each, and there are 2 nodes/,
      )
    world.pass(limits.infeasibleWarnAfterMs - 1)
    assert.deepEqual(a.all('warning', driver), [])
    world.pass(limits.infeasibleAfterMs)
    assert.equal(a.all('warning', driver).length, 3)
    assert.match(a.last('warning', driver)?.text ?? '', /its 3 bundles need a node each, and there are 2 nodes. It waits until nodes join/)
  })

  test('nobody is warned of placement groups that fit once a node comes soon, also not of those that then wait for room', () => {
    const { world, a, driver } = two()
    const ids = [1, 2, 3].map(seq => group(a, driver, seq, 'STRICT_SPREAD', [2, 2, 2]))
    world.pass(limits.infeasibleWarnAfterMs - 1)
    world.add(C, { resources: { CPU: 2 } })
    world.pass(2 * limits.infeasibleAfterMs)
    assert.deepEqual(a.all('warning', driver), [])
    const reasons = ids.map(groupId => rows(world, a, driver, 'placement', groupId)[0]?.reason ?? null)
    assert.equal(reasons[0], null)
    for (const reason of reasons.slice(1)) assert.match(String(reason), /there is no room for all of its bundles now/)
  })

  test('a silent node is dead after the configured time: all hear of it, its actors restart elsewhere or are dead', () => {
    const { world, a, b, driver } = two({ dead: 3_000 })
    const stays = create(a, driver, 1, {
      ...cpu(1),
      where: { strategy: { is: 'node', nodeId: B, soft: true }, labels: {} },
      maxRestarts: 1,
    })
    const goes = create(a, driver, 2, { ...cpu(1), where: { strategy: { is: 'node', nodeId: B, soft: false }, labels: {} } })
    world.pass(500)
    assert.deepEqual([view(a, driver, stays)?.nodeId, view(a, driver, goes)?.nodeId], [B, B])
    world.cut(B, true)
    world.pass(2_000)
    assert.equal(view(a, driver, goes)?.phase, 'alive', 'not yet')
    world.pass(2_000)
    assert.deepEqual([view(a, driver, stays)?.nodeId, view(a, driver, stays)?.incarnation], [A, 1])
    assert.match(causeOf(view(a, driver, goes)), /^ActorDiedError: Actor Counter died with its node bbbbbbbbbb: nothing was heard/)
    const dead = rows(world, a, driver, 'nodes').find(row => row.nodeId === B)
    assert.deepEqual([dead?.alive, dead?.state], [false, 'dead'])
    // It comes back, and is told that it is over.
    world.cut(B, false)
    world.pass(2_000)
    assert.match(b.fenced ?? '', /declared dead/)
  })

  test('what a process of a dead node created dies with it, and its job ends', () => {
    const { world, a, b } = two({ dead: 3_000 })
    const other = b.driver()
    const actorId = create(b, other, 1, { where: { strategy: { is: 'node', nodeId: A, soft: false }, labels: {} } })
    world.pass(500)
    assert.equal(view(b, other, actorId)?.nodeId, A)
    const worker = view(b, other, actorId)?.workerId as WorkerId
    world.removeNode(B)
    world.pass(5_000)
    assert.equal(
      [...a.children.values()].some(child => child.workerId === worker),
      false,
    )
    const driver = a.driver(3)
    assert.deepEqual(
      rows(world, a, driver, 'jobs').map(row => row.state),
      ['ENDED', 'RUNNING', 'RUNNING'],
    )
  })

  test('a detached actor outlives the node of its creator, and its name finds it', () => {
    const { world, a, b, driver } = two({ dead: 3_000 })
    const other = b.driver()
    create(b, other, 1, { name: 'keeper', detached: true, where: { strategy: { is: 'node', nodeId: A, soft: false }, labels: {} } })
    world.pass(500)
    world.removeNode(B)
    world.pass(5_000)
    a.from(driver, { is: 'actorByName', request: 4, name: 'keeper', namespace: 'default' })
    world.settle()
    assert.equal(a.last('actorNamed', driver)?.view?.phase, 'alive')
  })

  test('a draining node gets nothing new and leaves once it is empty', () => {
    const { world, a, b, driver } = two()
    const actorId = create(a, driver, 1, { ...cpu(1), where: { strategy: { is: 'node', nodeId: B, soft: false }, labels: {} } })
    world.pass(500)
    a.from(driver, { is: 'drainNode', request: 7, nodeId: B })
    world.pass(500)
    assert.deepEqual(a.last('answer', driver)?.rows, [{ nodeId: B, state: 'draining' }])
    const others = [2, 3].map(seq => create(a, driver, seq, cpu(1)))
    world.pass(500)
    assert.deepEqual(
      others.map(id => view(a, driver, id)?.nodeId),
      [A, A],
    )
    assert.equal(b.ended, null)
    a.from(driver, { is: 'actorKill', actorId, noRestart: true })
    world.pass(1_000)
    assert.equal(b.ended, 'it was drained')
    assert.equal(rows(world, a, driver, 'nodes').find(row => row.nodeId === B)?.deathCause, 'it was drained')
  })

  test('a node that has said that it is empty takes no driver any more, and leaves also where the head could not say so', () => {
    const { world, a, b, driver } = two()
    a.from(driver, { is: 'drainNode', request: 7, nodeId: B })
    world.settle()
    assert.equal(b.ended, 'it was drained')
    const late = b.driver(9)
    assert.match(b.last('refused', late)?.message ?? '', /this node was drained and leaves its cluster/)
    const c = world.add('cccccccccc')
    world.pass(1_000)
    a.from(driver, { is: 'drainNode', request: 8, nodeId: c.nodeId })
    for (let steps = 0; rows(world, a, driver, 'nodes').find(row => row.nodeId === c.nodeId)?.alive !== false; steps++)
      assert.ok(steps < 100)
    c.ended = null
    world.killHead()
    world.startHead()
    world.pass(1_000)
    assert.deepEqual([c.ended, c.fenced], ['it was drained', null])
  })

  test('an actor asked about before it is created: its creator’s node says whether it still may be', () => {
    const { world, a, b, driver } = two()
    const other = b.driver()
    const actorId = objectId(other, 5)
    a.from(driver, { is: 'actorWatch', actorId })
    world.settle()
    assert.equal(view(a, driver, actorId), undefined)
    b.die(other)
    world.settle()
    assert.match(causeOf(view(a, driver, actorId)), /the process that created it ended/)
    const late = objectId(b.id(77), 5)
    a.from(driver, { is: 'actorWatch', actorId: late })
    world.settle()
    assert.match(causeOf(view(a, driver, late)), /the process that created it ended|no handle/)
  })

  test('a head that was itself stopped gives the nodes the time it missed', () => {
    const { world, a, driver } = two({ dead: 3_000 })
    world.now += 60_000
    world.tick()
    world.pass(1_000)
    assert.deepEqual(
      rows(world, a, driver, 'nodes').map(row => row.alive),
      [true, true],
    )
  })

  test('a node of another cluster is fenced, and what is no member is asked to register', () => {
    const world = new FakeWorld()
    const sent: unknown[] = []
    const out: never[] = []
    const node = { nodeId: A, daemonId: 'd', hostname: 'h', address: '', dataAddress: '', labels: {}, gpuIds: [], total: {} }
    const full = { ...node, available: {}, state: 'alive', deathCause: null } as const
    world.head?.handle({ is: 'fromDaemon', nodeId: A, message: { is: 'register', clusterId: 'other', node: full } }, 0, out)
    world.head?.handle({ is: 'fromDaemon', nodeId: A, message: { is: 'beat', available: {}, demand: [] } }, 0, out)
    for (const effect of out as { is: string; message?: { is: string } }[]) sent.push(effect.message?.is ?? effect.is)
    assert.deepEqual(sent, ['fenced', 'forget', 'registerAgain'])
  })

  test('messages to the head are few: none for tasks and their workers', () => {
    const { world, a, driver } = two()
    world.heard.clear()
    world.pass(60_000)
    const perSecond = [...world.heard.values()].reduce((sum, each) => sum + each, 0) / 60
    assert.ok(perSecond <= 2.1, `${perSecond} messages a second from two idle nodes`)
    const [key] = [...a.children.keys()]
    a.exit(key as string)
    world.settle()
    assert.equal(world.heard.get('processDied'), undefined, 'the end of a worker that only ran tasks')
    create(a, driver, 1)
    world.settle()
    assert.equal(world.heard.get('actorCreate'), 1)
  })
})
