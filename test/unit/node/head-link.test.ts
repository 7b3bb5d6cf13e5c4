// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { HeadLink, type HeadLinkEffect } from '#lib/core/node/head-link.js'
import { limits } from '#lib/options.js'
import { workerIdOf } from '../../fakes/cluster.js'

/** A node that is joined, and whose load the test sets. Gives how many signs of life leave. */
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
  step({ is: 'headUp' }, 0)
  step({ is: 'fromHead', message: { is: 'registered', clusterId: 'c', epoch: '1', seen: 0, nodeDeadAfterMs: 10_000 } }, 0)
  const beats = (now: number): number => {
    link.touch()
    return (link.deadline() ?? Number.POSITIVE_INFINITY) <= now ? step({ is: 'tick' }, now) : 0
  }
  return { load, beats }
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
