// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { HEAD_ID } from '#lib/ids.js'
import type { Refusal } from '#lib/io/transport.js'
import { limits } from '#lib/options.js'
import { HEAD_NODE } from '#lib/run/relay.js'
import { FRAME, FRAME_HEADER_BYTES, ROUTE, ROUTE_HEADER_BYTES, writeHex } from '#lib/wire/frames.js'
import { FakeNetwork } from '../../fakes/network.js'
import { FakeNode, type FakeProcess, settle } from '../../fakes/nodes.js'

const A = 'aaaaaaaaaa'
const B = 'bbbbbbbbbb'
const C = 'cccccccccc'

class World {
  readonly network = new FakeNetwork()
  readonly a: FakeNode
  readonly b: FakeNode
  readonly p: FakeProcess
  readonly q: FakeProcess
  readonly nodes: FakeNode[]

  constructor(ringBytes?: number) {
    this.a = new FakeNode(this.network, A, ringBytes)
    this.b = new FakeNode(this.network, B, ringBytes)
    this.nodes = [this.a, this.b]
    this.p = this.a.process()
    this.q = this.b.process()
  }

  static linked(ringBytes?: number): World {
    const world = new World(ringBytes)
    world.a.open(world.b)
    world.settle()
    return world
  }

  settle(): void {
    settle(this.network, this.nodes)
  }
}

/** Warnings of the process while `run` runs, kept from the terminal. */
function warnings(run: () => void): string {
  const seen: string[] = []
  const { emitWarning } = process
  process.emitWarning = (warning: string | Error) => void seen.push(String(warning))
  try {
    run()
  } finally {
    process.emitWarning = emitWarning
  }
  return seen.join('\n')
}

function routeFrame(to: string, from: string, inner: Uint8Array, consumed = 0): Uint8Array {
  const bytes = new Uint8Array(ROUTE_HEADER_BYTES + inner.length)
  new DataView(bytes.buffer).setUint32(0, bytes.length - 4, true)
  bytes[4] = FRAME.route
  writeHex(bytes, ROUTE.to, to, 12)
  writeHex(bytes, ROUTE.from, from, 12)
  new DataView(bytes.buffer).setUint32(ROUTE.consumed, consumed, true)
  bytes.set(inner, ROUTE_HEADER_BYTES)
  return bytes
}

suite('routes between nodes', () => {
  test('a process speaks to one of another node as to one of its own, and is answered', () => {
    const world = World.linked()
    const { p, q } = world
    for (const text of ['1', '2', '3']) assert.ok(p.say(q, text))
    world.settle()
    assert.deepEqual(q.texts, ['1', '2', '3'])
    assert.deepEqual(
      q.heard.map(([from]) => from),
      [p.id, p.id, p.id],
    )
    q.say(p, 'back')
    world.settle()
    assert.deepEqual(p.texts, ['back'])
  })

  test('daemons speak to each other, to processes of other nodes, and are spoken to by them', () => {
    const world = World.linked()
    const { a, b, p, q } = world
    a.relay.sendToNode(B, { is: 'warning', text: 'to the daemon' })
    a.daemon.say(q, 'to a process')
    p.say(b.daemon, 'from a process')
    world.settle()
    assert.deepEqual(b.heard, [[a.daemon.id, { is: 'warning', text: 'to the daemon' }]])
    assert.deepEqual(q.heard.at(-1), [a.daemon.id, { is: 'warning', text: 'to a process' }])
    assert.deepEqual(b.daemon.heard.at(-1), [p.id, { is: 'warning', text: 'from a process' }])
    b.daemon.say(p, 'answer')
    world.settle()
    assert.deepEqual(p.texts, ['answer'])
  })

  test('frames of any size and kind arrive whole', () => {
    const world = World.linked(1 << 20)
    const { p, q } = world
    const texts = [10, 3000, 131_000, 131_072, 400_000].map(size => 'x'.repeat(size))
    for (const text of texts) p.say(q, text)
    const peer = p.mesh.peer(q.id)
    assert.ok(peer !== null)
    p.mesh.sendFrame(peer, new Uint8Array(300_000).fill(7).fill(FRAME.reply, 0, 1))
    world.settle()
    assert.deepEqual(q.texts, texts)
    assert.deepEqual(
      q.frames.map(({ from, kind, body }) => [from, kind, body.length]),
      [[p.id, FRAME.reply, 299_999]],
    )
  })

  test('words of tasks are each end’s own', () => {
    const { p, q } = World.linked()
    const peer = p.mesh.peer(q.id)
    assert.ok(peer !== null)
    peer.claims.mine[3] = 1
    assert.equal(peer.claims.theirs[3], 0)
    assert.equal(q.mesh.peer(p.id)?.claims.theirs[3], 0)
  })

  test('a receiver that handles nothing holds its sender back, and one that does gives credit back', () => {
    const world = World.linked()
    const { p, q } = world
    const text = 'z'.repeat(100_000)
    const count = Math.ceil((2 * limits.routeWindowBytes) / text.length)
    for (let i = 0; i < count; i++) p.say(q, text)
    p.mesh.flush()
    const peer = p.mesh.peer(q.id)
    assert.ok(peer?.route && peer.backlogBytes > 0 && peer.route.outstanding <= limits.routeWindowBytes)
    world.settle()
    assert.equal(q.texts.length, count)
    assert.equal(peer.backlogBytes, 0)
    assert.ok(peer.route.outstanding < limits.routeCreditBytes)
  })

  test('to a node that is not known yet things wait; to one that never comes they fail', () => {
    const world = new World()
    const { a, b, p, q } = world
    p.say(q, 'early')
    world.settle()
    assert.deepEqual(q.texts, [])
    a.open(b)
    world.settle()
    assert.deepEqual(q.texts, ['early'])
  })

  test('a process that is gone is told of to those who speak to it', () => {
    const world = World.linked()
    const { p, q } = world
    world.b.rings.die(q.slot)
    p.say(q, 'anybody?')
    world.settle()
    const [died] = p.of('workerDied')
    assert.equal(died?.workerId, q.id)
    assert.match(died?.death.reason ?? '', /ended before/)
  })

  test('the end of a process is told to the nodes it talked to, after what it said', () => {
    const world = World.linked()
    const { a, b, p, q } = world
    const death = { exitCode: 3, signal: null, stderrTail: 'oops', reason: null, outOfMemory: false }
    q.say(p, 'last words')
    world.settle()
    q.say(p, 'very last')
    q.mesh.flush()
    b.rings.die(q.slot)
    b.relay.processDied(q.id, death)
    world.settle()
    assert.deepEqual(
      p.heard.map(([from, message]) => [from, message.is]),
      [
        [q.id, 'warning'],
        [q.id, 'warning'],
        [a.daemon.id, 'workerDied'],
      ],
    )
    assert.deepEqual(p.of('workerDied')[0]?.death, death)
    assert.deepEqual(
      a.heard.map(([from, message]) => [from, message.is]),
      [[b.daemon.id, 'workerDied']],
    )
    b.relay.processDied(b.process().id, death)
    world.settle()
    assert.equal(p.of('workerDied').length, 1, 'of one that talked to nobody nobody is told')
  })

  test('what a process sends after the news of its end, such as credit, is not heard', () => {
    const world = World.linked()
    const { p, q } = world
    q.say(p, 'hello')
    world.settle()
    // More than is given back at once.
    for (let i = 0; i < 3; i++) p.say(q, 'x'.repeat(limits.routeCreditBytes / 2))
    world.settle()
    p.mesh.gone(q.id)
    const text = warnings(() => {
      q.say(p, 'too late')
      world.settle()
    })
    assert.equal(text, '')
    assert.equal(p.of('warning').length, 1)
    assert.equal(p.mesh.send(q.id, { is: 'warning', text: 'nobody is there' }), false)
  })

  test('the death of a node is told to every process, and nothing comes from there or goes there any more', () => {
    const world = World.linked()
    const { a, b, p, q } = world
    q.say(p, 'before')
    world.settle()
    // The head says so by itself, and with its next view.
    for (const why of ['silence', 'it is gone']) a.relay.nodeDied(B, why)
    q.say(p, 'after')
    world.settle()
    assert.deepEqual(p.texts, ['before'])
    assert.deepEqual(p.of('nodeDied'), [{ is: 'nodeDied', nodeId: B, why: 'silence' }])
    assert.equal(p.say(q, 'too late'), false)
    assert.equal(a.relay.sendToNode(B, { is: 'collect' }), false)
    a.open(b)
    world.settle()
    assert.deepEqual(p.texts, ['before'])
    const late = a.process()
    late.say(q, 'unaware')
    world.settle()
    assert.equal(late.of('nodeDied').length, 1)
  })

  test('while a node takes nothing, processes keep what is for it; afterwards it arrives in order', () => {
    const world = World.linked()
    const { a, p, q, network } = world
    network.cut()
    const text = 'w'.repeat(100_000)
    let said = 0
    const others = Array.from({ length: 12 }, () => world.b.process())
    for (const to of [q, ...others]) {
      for (let i = 0; i < 39; i++, said++) p.say(to, `${i} ${text}`)
      for (let round = 0; round < 100; round++) {
        a.flush()
        a.rings.settle()
      }
    }
    assert.ok(p.of('routeHold').some(message => message.held))
    const kept = p.mesh.remotes().reduce((sum, peer) => sum + peer.backlogBytes, 0)
    assert.ok(kept > 0)
    network.join()
    for (let steps = 0; [q, ...others].reduce((sum, each) => sum + each.texts.length, 0) < said; steps++) {
      assert.ok(steps < 1000)
      network.step()
      world.settle()
    }
    for (const each of [q, ...others])
      assert.deepEqual(
        each.texts.map(Number.parseFloat),
        Array.from({ length: 39 }, (_, i) => i),
      )
    assert.equal(p.of('routeHold').at(-1)?.held, false)
  })
})

suite('routes that are wrong', () => {
  const inject = (from: FakeProcess, to: string, bytes: Uint8Array): void => {
    const peer = from.mesh.peer(to)
    assert.ok(peer !== null)
    from.mesh.pass(peer, bytes, 0, bytes.length)
  }

  test('a process that forges a route loses its channel to the daemon', () => {
    const inner = new Uint8Array(0)
    for (const make of [
      (w: World) => routeFrame(w.q.id, w.a.idOf(9), inner),
      (w: World) => routeFrame(w.a.idOf(7), w.p.id, inner),
      (w: World) => routeFrame(HEAD_ID, w.p.id, inner),
      (w: World) => routeFrame(w.a.daemon.id, w.p.id, inner),
      () => new Uint8Array([8, 0, 0, 0, FRAME.route, 0, 0, 0, 0, 0, 0, 0]),
    ]) {
      const world = World.linked()
      inject(world.p, world.a.daemon.id, make(world))
      warnings(() => world.settle())
      assert.deepEqual(world.a.daemon.closed, [[world.p.id, 'corrupt']])
      assert.equal(world.q.heard.length, 0)
    }
  })

  test('a process believes routes of its daemon only', () => {
    const world = World.linked()
    const other = world.b.process()
    world.settle()
    inject(other, world.q.id, routeFrame(world.q.id, world.p.id, new Uint8Array(0)))
    warnings(() => world.settle())
    assert.deepEqual(world.q.closed, [[other.id, 'corrupt']])
  })

  test('garbage inside a route closes the way to its sender, and nothing else', () => {
    const world = World.linked()
    const { a, b, p, q } = world
    const bystander = a.process()
    const garbage = new Uint8Array([1, 0, 0, 0, 77])
    inject(p, a.daemon.id, routeFrame(q.id, p.id, garbage))
    bystander.say(q, 'good')
    const text = warnings(() => world.settle())
    assert.match(text, new RegExp(`closing the channel to process ${p.id}`))
    assert.deepEqual(q.closed, [[p.id, 'corrupt']])
    assert.deepEqual(q.texts, ['good'])
    assert.equal(q.say(p, 'back'), false)
    assert.deepEqual(b.daemon.closed, [])
  })

  test('credit that was not given, and routes inside routes, are garbage too', () => {
    for (const make of [
      (w: World) => routeFrame(w.q.id, w.p.id, new Uint8Array(0), 5),
      (w: World) => routeFrame(w.q.id, w.p.id, routeFrame(w.q.id, w.p.id, new Uint8Array(0))),
    ]) {
      const world = World.linked()
      inject(world.p, world.a.daemon.id, make(world))
      warnings(() => world.settle())
      assert.deepEqual(world.q.closed, [[world.p.id, 'corrupt']])
    }
  })

  test('a daemon that sends garbage, or in the name of others, counts as dead', () => {
    for (const bytes of [
      new Uint8Array([1, 2, 3]),
      new Uint8Array([99, 0, 0, 0, FRAME.control]),
      new Uint8Array([2, 0, 0, 0, FRAME.control, 0xc1]),
      new Uint8Array([2, 0, 0, 0, FRAME.task, 0]),
      new Uint8Array([2, 0, 0, 0, FRAME.route, 0]),
      routeFrame(`${A}0001bbbbbbbbbb`, `${C}0001bbbbbbbbbb`, new Uint8Array(0)),
      routeFrame(`${C}0001bbbbbbbbbb`, `${B}0001bbbbbbbbbb`, new Uint8Array(0)),
    ]) {
      const world = World.linked()
      const packet = new Uint8Array(FRAME_HEADER_BYTES + bytes.length)
      packet.set(bytes, FRAME_HEADER_BYTES)
      const text = warnings(() => world.a.relay.onPacket(B, packet, FRAME_HEADER_BYTES))
      world.settle()
      assert.match(text, /giving up the link/)
      assert.equal(world.p.of('nodeDied').length, 1, String(bytes))
      assert.deepEqual(world.a.givenUp, [B])
    }
  })

  test('a node that refuses this one counts as dead; one that only claims to be that node, and the head, do not', () => {
    const world = World.linked()
    const refused = (refusal: Partial<Refusal>): number => {
      warnings(() => world.a.relay.onRefused({ why: 'it refuses us: it has given it up', address: '', id: B, ...refusal }))
      world.settle()
      return world.p.of('nodeDied').length
    }
    assert.equal(refused({}), 0)
    assert.equal(refused({ id: null, refusesUs: true }), 0)
    assert.equal(refused({ id: HEAD_NODE, refusesUs: true }), 0)
    assert.equal(refused({ refusesUs: true }), 1)
    assert.deepEqual(world.a.givenUp, [B])
    assert.equal(refused({ refusesUs: true }), 1, 'once')
  })

  test('property: any bytes from another daemon give messages or end the link', () => {
    const frame = fc.tuple(fc.nat(6), fc.uint8Array({ maxLength: 60 })).map(([kind, body]) => {
      const bytes = new Uint8Array(FRAME_HEADER_BYTES + body.length)
      new DataView(bytes.buffer).setUint32(0, 1 + body.length, true)
      bytes[4] = kind
      bytes.set(body, FRAME_HEADER_BYTES)
      return bytes
    })
    warnings(() =>
      fc.assert(
        fc.property(fc.array(fc.oneof(fc.uint8Array({ maxLength: 80 }), frame), { maxLength: 4 }), packets => {
          const world = World.linked()
          for (const packet of packets) world.a.relay.onPacket(B, packet, 0)
          world.settle()
          assert.ok(world.p.mesh.peer(world.a.daemon.id)?.open)
        }),
        { numRuns: 100 },
      ),
    )
  })
})
