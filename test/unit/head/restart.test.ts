// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { objectId } from '#lib/ids.js'
import { limits } from '#lib/options.js'
import type { ActorSpec, ActorView, Control, WorkerId } from '#lib/wire/messages.js'
import { actorSpec, jobOf } from '../../fakes/cluster.js'
import { type FakeNode, FakeWorld } from '../../fakes/head.js'

const A = 'aaaaaaaaaa'
const B = 'bbbbbbbbbb'

function create(node: FakeNode, from: WorkerId, seq: number, more: Partial<ActorSpec> = {}): string {
  const actorId = objectId(from, seq)
  const code = new TextEncoder().encode(more.codeHash ?? 'hash')
  node.from(from, { is: 'actorCreate', spec: actorSpec(actorId, { job: jobOf(from), code, args: new Uint8Array(3), ...more }) })
  return actorId
}

function view(node: FakeNode, to: WorkerId, actorId: string): ActorView | undefined {
  return node.all('actorState', to).findLast(state => state.actorId === actorId)?.view
}

function two(): { world: FakeWorld; a: FakeNode; b: FakeNode; driver: WorkerId } {
  const world = new FakeWorld()
  const a = world.add(A)
  const b = world.add(B)
  world.pass(1_000)
  const driver = a.driver()
  world.settle()
  return { world, a, b, driver }
}

suite('a head that is killed and begun again', () => {
  test('actors live on, in the same processes, and are found by name', () => {
    const { world, a, b, driver } = two()
    const ids = [1, 2].map(seq => create(a, driver, seq, { name: `n${seq}`, detached: seq === 2 }))
    world.pass(500)
    const before = ids.map(id => view(a, driver, id)?.workerId)
    const starts = a.all('actorStart').length + b.all('actorStart').length
    world.killHead()
    world.pass(20_000)
    world.startHead()
    world.pass(1_000)
    for (const [i, name] of ['n1', 'n2'].entries()) {
      a.from(driver, { is: 'actorByName', request: i, name, namespace: 'default' })
      world.settle()
      const found = a.last('actorNamed', driver)?.view
      assert.deepEqual([found?.phase, found?.workerId, found?.incarnation], ['alive', before[i], 0])
    }
    assert.equal(a.all('actorStart').length + b.all('actorStart').length, starts)
  })

  test('what is asked while it is away waits, and is done once', () => {
    const { world, a, driver } = two()
    world.killHead()
    const actorId = create(a, driver, 1)
    a.from(driver, { is: 'actorByName', request: 3, name: 'none', namespace: 'default' })
    world.pass(5_000)
    assert.equal(view(a, driver, actorId), undefined)
    world.startHead()
    world.pass(1_000)
    assert.equal(view(a, driver, actorId)?.phase, 'alive')
    assert.equal(a.all('actorNamed', driver).length, 1)
  })

  test('an actor that died while it was away is restarted, or dead', () => {
    const { world, a, b, driver } = two()
    const ids = [1, 2].map(seq => create(a, driver, seq, { maxRestarts: seq - 1 }))
    world.pass(5_000)
    world.killHead()
    for (const id of ids)
      for (const node of [a, b]) if (view(a, driver, id)?.nodeId === node.nodeId) node.die(view(a, driver, id)?.workerId as WorkerId)
    world.startHead()
    world.pass(1_000)
    assert.equal(view(a, driver, ids[0] as string)?.phase, 'dead')
    assert.deepEqual([view(a, driver, ids[1] as string)?.phase, view(a, driver, ids[1] as string)?.incarnation], ['alive', 1])
  })

  test('a node that does not come back within its time is dead', () => {
    const { world, a, b, driver } = two()
    const there = { strategy: { is: 'node', nodeId: B, soft: true }, labels: {} } as const
    const actorId = create(a, driver, 1, { where: there, maxRestarts: -1 })
    world.pass(5_000)
    assert.equal(view(a, driver, actorId)?.nodeId, B)
    world.killHead()
    world.removeNode(b.nodeId)
    world.startHead()
    world.pass(limits.nodeDeadAfterMs - 1_000)
    assert.equal(view(a, driver, actorId)?.nodeId, B)
    world.pass(3_000)
    assert.deepEqual([view(a, driver, actorId)?.nodeId, view(a, driver, actorId)?.incarnation], [A, 1])
  })

  test('an actor whose creator ended meanwhile goes, and its process too', () => {
    const { world, a, b } = two()
    const other = b.driver()
    create(b, other, 1, { where: { strategy: { is: 'node', nodeId: A, soft: false }, labels: {} } })
    world.pass(5_000)
    const seats = a.node.lives().actors.length
    world.killHead()
    b.die(other)
    world.startHead()
    world.pass(1_000)
    assert.deepEqual([seats, a.node.lives().actors.length], [1, 0])
  })

  test('messages lost with the old head: a start, a kill, a removal are said again', () => {
    const { world, a, b, driver } = two()
    world.constructs = false
    const there = { strategy: { is: 'node', nodeId: B, soft: false }, labels: {} } as const
    const [kept, killed] = [1, 2].map(seq => create(a, driver, seq, { where: there, maxRestarts: 1 })) as [string, string]
    // The head decides, and dies before anything of that leaves it.
    for (let steps = 0; view(a, driver, kept)?.phase !== 'starting' || view(a, driver, killed)?.phase !== 'starting'; steps++) {
      assert.ok(steps < 1_000)
      world.step(() => 0)
    }
    world.constructs = true
    world.killHead()
    world.startHead()
    world.pass(1_000)
    assert.deepEqual([view(a, driver, kept)?.phase, view(a, driver, killed)?.phase], ['alive', 'alive'])
    world.cut(B, true)
    a.from(driver, { is: 'actorKill', actorId: killed, noRestart: true })
    a.from(driver, { is: 'actorKill', actorId: kept, noRestart: false })
    world.settle()
    world.killHead()
    world.cut(B, false)
    world.startHead()
    world.pass(2_000)
    assert.equal(view(a, driver, killed)?.phase, 'dead')
    assert.deepEqual([view(a, driver, kept)?.phase, view(a, driver, kept)?.incarnation], ['alive', 1])
    assert.equal(b.node.lives().actors.length, 1)
  })

  test('whoever was still to be told something hears that before others are answered', () => {
    const { world, a, driver } = two()
    const named = { name: 'ada', getIfExists: true }
    const actorId = create(a, driver, 1, named)
    world.pass(1_000)
    const first = create(a, driver, 2, named)
    for (let steps = 0; !JSON.stringify(world.tables.get('actors')?.get(actorId)).includes(first); steps++) {
      assert.ok(steps < 1_000)
      world.step(() => 0)
    }
    world.killHead()
    const second = create(a, driver, 3, named)
    world.startHead()
    world.pass(1_000)
    const told = a.all('actorState', driver).map(state => state.actorId)
    assert.ok(told.indexOf(first) >= 0 && told.indexOf(first) < told.indexOf(second), `told of ${told}`)
  })

  test('a numbered message has its effect once, also with a head that was begun from what the first one kept', () => {
    const { world, a, driver } = two()
    const actorId = create(a, driver, 1, { maxRestarts: 5, where: { strategy: { is: 'node', nodeId: A, soft: false }, labels: {} } })
    world.pass(500)
    const sent: Control[] = []
    const toHead = world.toHead.bind(world)
    world.toHead = (nodeId, message) => {
      if (message.is === 'forHead' && message.message.is === 'actorKill') sent.push(message)
      toHead(nodeId, message)
    }
    a.from(driver, { is: 'actorKill', actorId, noRestart: false })
    world.pass(500)
    assert.equal(view(a, driver, actorId)?.incarnation, 1)
    for (const message of sent) world.headHandle({ is: 'fromDaemon', nodeId: A, message })
    world.pass(500)
    world.killHead()
    world.startHead()
    world.pass(500)
    for (const message of sent) world.headHandle({ is: 'fromDaemon', nodeId: A, message })
    world.pass(500)
    assert.equal(sent.length, 1)
    assert.equal(view(a, driver, actorId)?.incarnation, 1)
  })

  test('key-values are kept, and a put whose answer was lost is answered as the first time', () => {
    const { world, a, driver } = two()
    const value = new Uint8Array([1, 2])
    a.from(driver, { is: 'kvPut', request: 1, namespace: 'n', key: 'k', value, overwrite: false })
    world.step(() => 0)
    assert.equal(world.tables.get('kv')?.size, 1)
    world.killHead()
    world.startHead()
    world.settle()
    assert.equal(a.last('kvAnswer', driver)?.done, true)
    a.from(driver, { is: 'kvGet', request: 2, namespace: 'n', key: 'k' })
    world.settle()
    assert.deepEqual(a.last('kvAnswer', driver)?.value, value)
  })
})

// Property -------------------------------------------------------------------------------------------------------------

type Action =
  | { is: 'create'; on: number; detached: boolean; restarts: number; name: number | null }
  | { is: 'kill'; which: number; noRestart: boolean }
  | { is: 'drop'; which: number }
  | { is: 'die'; which: number }
  | { is: 'killHead' }
  | { is: 'startHead' }
  | { is: 'cut'; on: number }
  | { is: 'mend' }
  | { is: 'steps'; count: number }
  | { is: 'pass'; ms: number }

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      is: fc.constant('create' as const),
      on: fc.nat(2),
      detached: fc.boolean(),
      restarts: fc.integer({ min: -1, max: 2 }),
      name: fc.option(fc.nat(2)),
    }),
  },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('kill' as const), which: fc.nat(), noRestart: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('drop' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('die' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.constant({ is: 'killHead' as const }) },
  { weight: 2, arbitrary: fc.constant({ is: 'startHead' as const }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('cut' as const), on: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.constant({ is: 'mend' as const }) },
  { weight: 6, arbitrary: fc.record({ is: fc.constant('steps' as const), count: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('pass' as const), ms: fc.integer({ min: 10, max: 900 }) }) },
)

interface Made {
  actorId: string
  by: WorkerId
  node: FakeNode
  detached: boolean
  name: number | null
  killed: boolean
  dropped: boolean
}

/** Nodes A, B, C with a driver each; whatever happens, in the end heads and nodes agree. */
class Run {
  readonly world = new FakeWorld(60_000)
  readonly nodes = [A, B, 'cccccccccc'].map(id => this.world.add(id, { resources: { CPU: 50 } }))
  readonly made: Made[] = []
  readonly drivers: WorkerId[]
  #seq = 1
  #chance: number

  constructor(seed: number) {
    this.#chance = seed
    this.world.pass(500)
    this.drivers = this.nodes.map(node => node.driver())
    this.world.settle()
  }

  do(each: Action): void {
    const { world } = this
    switch (each.is) {
      case 'create':
        return this.#create(each)
      case 'kill':
      case 'drop': {
        const made = this.made[each.which % Math.max(1, this.made.length)]
        if (made === undefined) return
        if (each.is === 'kill') made.node.from(made.by, { is: 'actorKill', actorId: made.actorId, noRestart: each.noRestart })
        else made.node.from(made.by, { is: 'actorDrop', actorId: made.actorId })
        made.killed ||= each.is === 'kill' && each.noRestart
        made.dropped ||= each.is === 'drop'
        return
      }
      case 'die': {
        const all = this.nodes.flatMap(node => node.node.lives().actors.map(({ workerId }) => [node, workerId] as const))
        const [node, workerId] = all[each.which % Math.max(1, all.length)] ?? []
        if (node !== undefined && workerId !== undefined) node.die(workerId)
        return
      }
      case 'killHead':
        return world.killHead()
      case 'startHead':
        if (world.head === null) world.startHead()
        return
      case 'cut':
        return world.cut((this.nodes[each.on] as FakeNode).nodeId, true)
      case 'mend':
        return this.#mend()
      case 'steps':
        for (let i = 0; i < each.count; i++) world.step(count => this.#random() % count)
        return
      case 'pass':
        return world.pass(each.ms)
    }
  }

  /** All comes back, and time passes. */
  heal(): void {
    this.#mend()
    if (this.world.head === null) this.world.startHead()
    this.world.pass(20_000)
  }

  check(): void {
    const head = this.world.head as NonNullable<FakeWorld['head']>
    const seats = new Map(this.nodes.flatMap(node => node.node.lives().actors.map(seat => [seat.actorId, seat])))
    for (const { actorId, by, node, killed, dropped, name, detached } of this.made) {
      const told = view(node, by, actorId)
      assert.ok(told !== undefined, `${actorId} was never answered`)
      const actor = head.actors.get(actorId)
      // The name it asked for was another's, and it let go of that.
      if (dropped && told.actorId !== actorId) continue
      assert.equal(actor?.phase, told.phase, `the creator of ${actorId} knows`)
      assert.ok(told.phase === 'alive' || told.phase === 'dead', `${actorId} is ${told.phase} at rest`)
      if (killed) assert.equal(told.phase, 'dead')
      if (dropped && name === null && !detached) assert.equal(told.phase, 'dead')
      const seat = seats.get(actor?.spec.actorId ?? '')
      if (told.phase === 'alive')
        assert.deepEqual([seat?.workerId, seat?.incarnation], [told.workerId, told.incarnation], `${actorId} lives where it is said to`)
    }
    for (const [actorId, seat] of seats)
      assert.equal(head.actors.get(actorId)?.workerId, seat.workerId, `nobody knows the process of ${actorId}`)
    for (const node of this.nodes) {
      assert.equal(node.fenced, null)
      assert.deepEqual(node.node.lives().placing, [])
    }
    // What is kept is what a head begun from it would know.
    const names = [...head.actors.all()].filter(each => each.phase !== 'dead' && each.spec.name !== null).map(each => each.spec.name)
    assert.equal(new Set(names).size, names.length, 'a name is taken twice')
  }

  #create({ on, detached, restarts, name }: Extract<Action, { is: 'create' }>): void {
    const node = this.nodes[on] as FakeNode
    const by = this.drivers[on] as WorkerId
    const more = {
      detached,
      maxRestarts: restarts,
      codeHash: `h${name}`,
      ...(name === null ? {} : { name: `n${name}`, getIfExists: on === 1 }),
    }
    this.made.push({ actorId: create(node, by, this.#seq++, more), by, node, detached, name, killed: false, dropped: false })
  }

  #mend(): void {
    for (const node of this.nodes) this.world.cut(node.nodeId, false)
  }

  #random(): number {
    this.#chance = (Math.imul(this.#chance, 1103515245) + 12345) & 0x7fffffff
    return this.#chance >> 8
  }
}

suite('the head under kills, cuts and losses', () => {
  test('property: whatever happens, head, nodes and creators agree in the end', () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(action, { maxLength: 60 }), (seed, actions) => {
        const run = new Run(seed)
        for (const each of actions) run.do(each)
        run.heal()
        run.check()
        // And a head that begins now from what was kept finds the same.
        run.world.killHead()
        run.heal()
        run.check()
      }),
      { numRuns: Number(process.env.HEAD_RUNS ?? 150) },
    )
  }).timeout(120_000)
})
