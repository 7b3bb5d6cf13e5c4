// SPDX-License-Identifier: Apache-2.0
// What the codec lets pass: whatever numbers a message has then, the daemon's machines go on, and count as before.

import fc from 'fast-check'
import { WireError } from '#lib/errors.js'
import { decodeControl, encodeControl } from '#lib/wire/codec.js'
import type { Control, NodeView } from '#lib/wire/messages.js'
import { FakeCluster, remoteWorker } from '../../fakes/cluster.js'
import { messages, numbersIn, replaceAt } from '../../fakes/messages.js'

const OTHER: NodeView = {
  ...messages.register.node,
  ...{ nodeId: 'bbbbbbbbbb', daemonId: remoteWorker(0), total: { CPU: 40_000 }, available: { CPU: 40_000, GPU: -5 } },
}
/**
 * Of whom the daemon hears what it did not ask for. Not actors, which the head beside it places: that one knows of no other node, and would
 * place what this one refuses, because another might take it, here again without end.
 */
const UNSPOKEN = ['hello', 'endJob', 'corrupt', 'goodbye', 'actorCreate']
const spoken = (Object.values(messages) as Control[]).filter(({ is }) => !UNSPOKEN.includes(is))
const extremes = fc.constantFrom(0, 1, 2, 255, 256, 10_000, 2 ** 32, Number.MAX_SAFE_INTEGER, -1)

suite('a daemon that is told odd numbers', () => {
  test('property: it neither ends nor counts for ever, nor loses count of anything', () => {
    const step = fc.record({
      message: fc.constantFrom(...spoken),
      changes: fc.array(fc.tuple(fc.nat(), extremes), { maxLength: 4 }),
      bare: fc.boolean(),
      who: fc.nat(3),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), steps => {
        const cluster = FakeCluster.started({ resources: { CPU: 2, memory: 1000 }, founded: false })
        cluster.event({ is: 'view', full: true, nodes: [OTHER] })
        const worker = [...cluster.children.values()][0]?.workerId
        const speakers = [cluster.driver, worker ?? cluster.driver, remoteWorker(5), remoteWorker(0)]
        for (const { message, changes, bare, who } of steps) {
          const copy = structuredClone(message)
          const places = numbersIn(copy)
          for (const [which, number] of changes) if (places.length > 0) replaceAt(copy, places[which % places.length] ?? [], number)
          if (bare && copy.is === 'want') Object.assign(copy.class, { environment: null, where: null, near: null, resources: {} })
          const heard = decodeControl(encodeControl(copy))
          if (heard instanceof WireError) continue
          cluster.from(speakers[who] as string, heard)
          cluster.settle()
          cluster.pass(50)
        }
      }),
      { numRuns: 300 },
    )
  })
})
