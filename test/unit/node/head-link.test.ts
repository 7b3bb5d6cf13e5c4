// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { HeadLink, type HeadLinkEffect } from '#lib/core/node/head-link.js'
import { limits } from '#lib/options.js'
import type { HeadMessage, NodeView } from '#lib/wire/messages.js'
import { workerIdOf } from '../../fakes/cluster.js'

/** A node that is joined, and whose load the test sets. `beats`: how many signs of life leave. */
function joined() {
  const load: ReturnType<ConstructorParameters<typeof HeadLink>[0]['load']> = { available: { CPU: 4, GPU: 2 }, demand: [] }
  const node = {
    ...{ nodeId: 'n', daemonId: workerIdOf(0), hostname: 'h', address: '', dataAddress: '' },
    labels: {},
    gpuIds: [],
    total: {},
  }
  const link = new HeadLink({
    node,
    load: () => structuredClone(load),
    lives: () => ({ actors: [], placing: [], jobs: [], bundles: [] }),
    encodeError: () => new Uint8Array(0),
  })
  const step = (event: Parameters<HeadLink['handle']>[0], now: number): number => {
    const out: HeadLinkEffect[] = []
    link.handle(event, now, out)
    return out.filter(effect => effect.is === 'sendHead' && effect.message.is === 'beat').length
  }
  const hears = (message: HeadMessage): HeadLinkEffect[] => {
    const out: HeadLinkEffect[] = []
    link.handle({ is: 'fromHead', message }, 0, out)
    return out
  }
  step({ is: 'headUp' }, 0)
  step({ is: 'fromHead', message: { is: 'registered', clusterId: 'c', epoch: '1', seen: 0, nodeDeadAfterMs: 10_000, dead: [] } }, 0)
  const beats = (now: number): number => {
    link.touch()
    return (link.deadline() ?? Number.POSITIVE_INFINITY) <= now ? step({ is: 'tick' }, now) : 0
  }
  return { link, load, beats, hears }
}

suite('signs of life of a node', () => {
  test('what is free is told at once, at most so often', () => {
    const { load, beats } = joined()
    load.available.CPU = 3
    assert.equal(beats(limits.beatMs - 1), 0)
    assert.equal(beats(limits.beatMs), 1)
    assert.equal(beats(2 * limits.beatMs), 0, 'nothing is new')
    assert.equal(beats(limits.beatMs + limits.beatIdleMs), 1, 'it lives')
  })

  test('of what somebody waits for here it is told with the next sign of life; of other things, and of the end of that, at once', () => {
    const { load, beats } = joined()
    load.available.CPU = 0
    load.demand = [{ resources: { CPU: 2 }, count: 5 }]
    assert.equal(beats(100), 1, 'it is full now')
    load.available.CPU = 1
    load.demand[0] = { resources: { CPU: 2 }, count: 9 }
    assert.equal(beats(200), 0)
    load.available.GPU = 1
    assert.equal(beats(300), 1)
    load.available.CPU = 0
    assert.equal(beats(400), 0)
    assert.equal(beats(300 + limits.beatIdleMs), 1)
    load.available.CPU = 4
    load.demand = []
    assert.equal(beats(400 + limits.beatIdleMs), 1)
  })
})

suite('nodes that a node hears of', () => {
  const view = (nodeId: string): NodeView => ({
    ...{ nodeId, daemonId: workerIdOf(0), hostname: 'h', address: '', dataAddress: '', labels: {}, gpuIds: [], total: {}, available: {} },
    ...{ state: 'alive', deathCause: null },
  })

  test('the death of one that it did not hear of follows from the next full view, once; of others it does not', () => {
    const { hears, link } = joined()
    const deaths = (message: HeadMessage): string[] =>
      hears(message).flatMap(effect => (effect.is === 'cluster' && effect.message.is === 'nodeDied' ? [effect.message.nodeId] : []))
    assert.deepEqual(deaths({ is: 'view', full: true, nodes: ['n', 'a', 'b'].map(view) }), [])
    assert.deepEqual(deaths({ is: 'view', full: false, nodes: [view('c')] }), [])
    assert.deepEqual(deaths({ is: 'nodeDied', nodeId: 'b', why: 'silence' }), ['b'])
    link.handle({ is: 'headRestarted' }, 0, [])
    hears({ is: 'registered', clusterId: 'c', epoch: '2', seen: 0, nodeDeadAfterMs: 10_000, dead: [] })
    assert.deepEqual(deaths({ is: 'view', full: true, nodes: ['n', 'c'].map(view) }), ['a'])
    assert.deepEqual(deaths({ is: 'view', full: true, nodes: ['n', 'c'].map(view) }), [])
  })

  test('of nodes that died before it came it hears when it registers, each once; of the death of one it knows, as of the others', () => {
    const { hears, link } = joined()
    const register = (dead: string[]): string[] => {
      link.handle({ is: 'headRestarted' }, 0, [])
      const effects = hears({ is: 'registered', clusterId: 'c', epoch: '2', seen: 0, nodeDeadAfterMs: 10_000, dead })
      return effects.flatMap(effect => (effect.is === 'cluster' && effect.message.is === 'nodeDied' ? [effect.message.nodeId] : []))
    }
    assert.deepEqual(register(['x', 'y']), ['x', 'y'])
    hears({ is: 'view', full: true, nodes: ['n', 'a'].map(view) })
    assert.deepEqual(register(['y', 'z', 'a']), ['z'])
    const told = hears({ is: 'view', full: true, nodes: [view('n')] })
    assert.deepEqual(
      told.map(effect => effect.is === 'cluster' && effect.message.is === 'nodeDied' && effect.message.nodeId),
      ['a', false],
    )
  })

  test('what it says of that comes before the view', () => {
    const { hears } = joined()
    hears({ is: 'view', full: true, nodes: [view('a')] })
    const effects = hears({ is: 'view', full: true, nodes: [view('b')] })
    assert.deepEqual(
      effects.map(effect => effect.is === 'cluster' && effect.message.is),
      ['nodeDied', 'view'],
    )
  })
})

suite('a head that is away', () => {
  const DRIVER = workerIdOf(1)
  const registered: HeadMessage = { is: 'registered', clusterId: 'c', epoch: '2', seen: 0, nodeDeadAfterMs: 10_000, dead: [] }

  function watched() {
    const { link } = joined()
    const act = (event: Parameters<HeadLink['handle']>[0], now: number): HeadLinkEffect[] => {
      const out: HeadLinkEffect[] = []
      link.handle(event, now, out)
      link.invariants()
      return out
    }
    const told = (event: Parameters<HeadLink['handle']>[0], now: number): unknown[] =>
      act(event, now).flatMap(effect => (effect.is === 'headAway' ? [[effect.isAway, effect.storage]] : []))
    const asks = (request: number, now: number): HeadLinkEffect[] =>
      act({ is: 'forHead', from: DRIVER, message: { is: 'query', request, what: 'placement', argument: 'a' } }, now)
    return { link, act, told, asks }
  }
  const row = (request: number, storage: string | null): HeadLinkEffect => ({
    is: 'send',
    to: DRIVER,
    message: { is: 'answer', request, rows: [{ isHeadAway: true, storage }] },
  })

  test('is told of after a while, once, and when it is back; one that is away for a moment is not', () => {
    const { link, told } = watched()
    const late = limits.headSilenceTellMs
    assert.deepEqual(told({ is: 'headDown' }, 0), [])
    assert.deepEqual(told({ is: 'headUp' }, late - 1), [])
    assert.deepEqual([told({ is: 'headDown' }, late), link.deadline()], [[], 2 * late])
    assert.deepEqual(told({ is: 'tick' }, 2 * late - 1), [])
    assert.equal(link.told === null, true)
    assert.deepEqual(told({ is: 'tick' }, 2 * late), [[true, null]])
    assert.deepEqual([link.told !== null, link.deadline()], [true, null], 'who comes later is told as well')
    assert.deepEqual(told({ is: 'tick' }, 3 * late), [])
    assert.deepEqual(told({ is: 'headRestarted' }, 3 * late), [])
    assert.deepEqual(told({ is: 'headUp' }, 3 * late), [], 'it does not know this node yet')
    assert.deepEqual(told({ is: 'fromHead', message: registered }, 3 * late), [[false, null]])
    assert.equal(link.told, null)
  })

  test('as is one that waits for its storage, until that is back or the head is another', () => {
    const { told } = watched()
    const storage = (storage: string | null, now: number): unknown[] =>
      told({ is: 'fromHead', message: { is: 'headStorage', storage } }, now)
    assert.deepEqual(storage('waits for Redis', 0), [])
    assert.deepEqual(told({ is: 'tick' }, limits.headSilenceTellMs), [[true, 'waits for Redis']])
    assert.deepEqual(storage(null, 9_000), [[false, null]])
    storage('waits for Redis', 10_000)
    told({ is: 'headRestarted' }, 10_001)
    assert.deepEqual(told({ is: 'fromHead', message: registered }, 10_002), [])
    assert.deepEqual(told({ is: 'tick' }, 20_000), [])
  })

  test('why something waits for it is answered at once: what is asked then, and what was asked before', () => {
    const { act, asks } = watched()
    const answers = (effects: HeadLinkEffect[]): HeadLinkEffect[] => effects.filter(effect => effect.is === 'send')
    assert.deepEqual(answers(asks(1, 0)), [], 'the head is asked')
    assert.deepEqual(answers(act({ is: 'headDown' }, 1)), [row(1, null)])
    assert.deepEqual(answers(asks(2, 2)), [row(2, null)])
    assert.deepEqual(answers(act({ is: 'headUp' }, 3)), [])
    assert.deepEqual(answers(act({ is: 'fromHead', message: { is: 'headStorage', storage: 'waits' } }, 4)), [])
    assert.deepEqual(answers(asks(3, 5)), [row(3, 'waits')])
  })
})
