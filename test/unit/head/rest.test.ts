// SPDX-License-Identifier: Apache-2.0
// What the head has left when everything that came has gone again: what it remembers of the dead, which is bounded, and nothing else.

import assert from 'node:assert/strict'
import type { HeadEffect } from '#lib/core/head/events.js'
import type { Head } from '#lib/core/head/head.js'
import { toAmounts } from '#lib/core/resources.js'
import { nodeOf, objectId } from '#lib/ids.js'
import { limits } from '#lib/options.js'
import { decodeControl, encodeControl } from '#lib/wire/codec.js'
import type { ActorSpec, Control, WorkerId } from '#lib/wire/messages.js'
import { actorSpec, jobOf } from '../../fakes/cluster.js'
import { type FakeNode, FakeWorld } from '../../fakes/head.js'
import { messages } from '../../fakes/messages.js'

const DEAD_AFTER_MS = 1_000
const nodeIdOf = (n: number): string => (0xa000000000 + n).toString(16)

function create(node: FakeNode, from: WorkerId, seq: number, more: Partial<ActorSpec> = {}): string {
  const actorId = objectId(from, seq)
  node.from(from, { is: 'actorCreate', spec: actorSpec(actorId, { job: jobOf(from), ...more }) })
  return actorId
}

function group(node: FakeNode, from: WorkerId, seq: number, name: string | null): string {
  const groupId = objectId(from, seq)
  const common = { groupId, namespace: 'default', jobId: jobOf(from).jobId, detached: false }
  node.from(from, { is: 'groupCreate', spec: { ...common, name, strategy: 'PACK', bundles: [toAmounts({ CPU: 1 })] } })
  return groupId
}

/** A driver that does a little of everything, seen by one of another node, and leaves some of it behind. */
function program(round: number, node: FakeNode, slot: number, onlooker: FakeNode, looks: WorkerId): WorkerId {
  const driver = node.driver(slot)
  const see = (message: Control): void => onlooker.from(looks, message)
  const actorId = create(node, driver, 1, { name: `a${round}`, maxRestarts: round % 3 })
  create(node, driver, 2, { name: 'one', getIfExists: true, detached: false })
  create(node, driver, 3, { placement: toAmounts({ CPU: 100 }), held: toAmounts({ CPU: 100 }) })
  see({ is: 'actorWatch', actorId })
  see({ is: 'actorKill', actorId: objectId(driver, 70), noRestart: true })
  for (const seq of [71, 72]) see({ is: 'actorWatch', actorId: objectId(driver, seq) })
  const groupId = group(node, driver, 4, `g${round}`)
  see({ is: 'groupWatch', groupId })
  see({ is: 'groupWatch', groupId: objectId(driver, 73) })
  node.from(driver, { is: 'kvPut', request: round, namespace: 'n', key: 'k', value: new Uint8Array(10), overwrite: true })
  if (round % 2 === 0) node.from(driver, { is: 'groupRemove', groupId })
  if (round % 4 === 0) node.from(driver, { is: 'actorKill', actorId, noRestart: true })
  return driver
}

suite('the head at rest', () => {
  test('many short-lived programs, actors, groups and nodes leave nothing but what is remembered of the dead', () => {
    const world = new FakeWorld(DEAD_AFTER_MS)
    const stays = world.add(nodeIdOf(0))
    const looks = stays.driver()
    world.settle()
    const sizeOf = (): number => (world.head as Head).size
    const before = sizeOf()
    assert.ok(before > 0)
    for (let round = 1; round <= 40; round++) {
      const leaves = world.add(nodeIdOf(round))
      world.settle()
      const drivers = [leaves, stays].map((node, i) => program(round, node, 2 * round + i, stays, looks))
      world.settle()
      assert.ok(sizeOf() > before)
      stays.die(drivers[1] as WorkerId)
      world.settle()
      if (round % 2 === 0) world.removeNode(leaves.nodeId)
      else leaves.handle({ is: 'leaving', why: 'it ends' })
      world.pass(2 * DEAD_AFTER_MS)
      if (round % 2 === 1) world.removeNode(leaves.nodeId)
      // Some of what it placed may have to be ended, in time.
      world.pass(limits.actorStopMs + DEAD_AFTER_MS)
      assert.equal(sizeOf(), before, `after round ${round}`)
    }
    const told = stays.all('groupState', looks).filter(({ view }) => view === null)
    assert.equal(told.length, 80, 'of groups that were never made, whoever waits is told, also when a whole node died')
  })

  test('who is fenced keeps no link', () => {
    const world = new FakeWorld(DEAD_AFTER_MS)
    const node = world.add(nodeIdOf(0))
    world.settle()
    world.cut(node.nodeId, true)
    world.pass(3 * DEAD_AFTER_MS)
    const { head } = world
    const heard = (nodeId: string, message: Control): string[] => {
      const out: HeadEffect[] = []
      head?.handle({ is: 'fromDaemon', nodeId, message }, world.now, out)
      return out.map(effect => (effect.is === 'toDaemon' ? effect.message.is : `${effect.is} ${'nodeId' in effect ? effect.nodeId : ''}`))
    }
    assert.deepEqual(heard(node.nodeId, { is: 'beat', available: {}, demand: [] }), ['fenced', `forget ${node.nodeId}`])
    const view = { ...messages.register.node, nodeId: nodeIdOf(1) }
    assert.deepEqual(heard(view.nodeId, { is: 'register', clusterId: 'another', node: view }), ['fenced', `forget ${view.nodeId}`])
  })

  test('of an actor nothing is kept of the message that it came in, and of a dead one nothing that only a start needs', () => {
    const world = new FakeWorld()
    const node = world.add(nodeIdOf(0))
    const driver = node.driver()
    world.settle()
    const specs = [1, 2].map(seq =>
      actorSpec(objectId(driver, seq), {
        ...{ job: { ...jobOf(driver), loaders: ['x'.repeat(1000)] }, codeHash: 'h', code: new Uint8Array(100_000) },
        ...{ args: new Uint8Array(50_000), shape: new Uint8Array(100) },
      }),
    )
    let seq = 100
    /** As it comes out of bytes. */
    const say = (message: Control): void => {
      const forHead = decodeControl(encodeControl({ is: 'forHead', seq: seq++, from: driver, message })) as Control
      world.headHandle({ is: 'fromDaemon', nodeId: nodeOf(driver), message: forHead })
    }
    for (const spec of specs) say({ is: 'actorCreate', spec })
    const { actors } = world.head as Head
    const [one, two] = [...actors.all()]
    assert.ok(one !== undefined && two !== undefined)
    for (const { spec } of [one, two])
      for (const bytes of [spec.code, spec.args, spec.shape]) assert.equal(bytes.buffer.byteLength, bytes.length)
    assert.equal(one.spec.code, two.spec.code, 'the code is there once')
    world.settle()
    for (const { spec } of [one, two]) say({ is: 'actorKill', actorId: spec.actorId, noRestart: true })
    world.settle()
    for (const { phase, spec } of [one, two]) {
      assert.equal(phase, 'dead')
      assert.deepEqual([spec.code.length, spec.args.length, spec.shape.length, spec.job.loaders.length], [0, 0, 100, 0])
      assert.ok(JSON.stringify(world.tables.get('actors')?.get(spec.actorId)).length < 2_000)
    }
  })
})
