// SPDX-License-Identifier: Apache-2.0
// The borrowing rule, exhaustively: a few ways in which a ref travels between three processes of a node, under every order.

import assert from 'node:assert/strict'
import type { Entry } from '#lib/core/owner/entry.js'
import { workerIdOf } from '../fakes/cluster.js'
import { answerWith, everyOrder, passArgument, type Trio } from './orders.js'

const IDS = [1, 2, 3].map(workerIdOf)
const [A, B, C] = IDS as [string, string, string]

suite('borrowing, in every order', () => {
  test('an owner passes a ref on', () => {
    const states = everyOrder(IDS, trio => {
      const entry = trio.at(A).put()
      trio.hold(A, entry)
      passArgument(trio, A, B, entry)
    })
    assert.ok(states > 10, `${states} states`)
  })

  test('a borrower passes it on to a third', () => {
    const states = everyOrder(IDS, trio => {
      const entry = trio.at(A).put()
      entry.holds++
      trio.hold(A, entry)
      trio.tell(A, B, 'first', () => {
        const borrowed = trio.at(B).meet(A, entry.seq)
        trio.hold(B, borrowed)
        passArgument(trio, B, C, borrowed)
        trio.onceKnown(B, A, 'B is done', () => trio.tell(B, A, 'done', () => trio.at(A).owner.references.unhold(entry, [])))
      })
    })
    assert.ok(states > 100, `${states} states`)
  })

  test('a borrower gives it back as a result to a third', () => {
    const states = everyOrder(IDS, trio => {
      const entry = trio.at(A).put()
      entry.holds++
      trio.hold(A, entry)
      trio.tell(A, B, 'first', () => {
        const borrowed = trio.at(B).meet(A, entry.seq)
        let given = false
        trio.hold(B, borrowed, () => given)
        trio.onceKnown(B, C, 'B gives', () => {
          given = true
          answerWith(trio, B, C, borrowed)
        })
        trio.onceKnown(B, A, 'B is done', () => trio.tell(B, A, 'done', () => trio.at(A).owner.references.unhold(entry, [])))
      })
    })
    assert.ok(states > 100, `${states} states`)
  })

  test('it is taken out of a container of another owner', () => {
    const states = everyOrder(IDS, trio => {
      const inner = trio.at(A).put()
      entryToContainer(trio, inner)
      trio.at(A).unref(inner)
    })
    assert.ok(states > 100, `${states} states`)
  })
})

/** B has a container with A's object in it; C gets the container, takes the ref out, and drops the container. */
function entryToContainer(trio: Trio, inner: Entry): void {
  inner.holds++
  trio.tell(A, B, 'first', () => {
    const container = trio.at(B).put([{ owner: A, seq: inner.seq, isActor: false }])
    trio.hold(B, container)
    container.holds++
    trio.onceKnown(B, A, 'B is done', () => trio.tell(B, A, 'done', () => trio.at(A).owner.references.unhold(inner, [])))
    trio.tell(B, C, 'container', () => {
      const outer = trio.at(C).meet(B, container.seq)
      trio.onceKnown(C, B, 'C is done', () => trio.tell(C, B, 'done', () => trio.at(B).owner.references.unhold(container, [])))
      // Only later is the value got, and the ref in it met.
      let got = false
      trio.hold(C, outer, () => got)
      trio.onceKnown(C, C, 'C gets', () => {
        got = true
        trio.hold(C, trio.at(C).meet(A, inner.seq))
      })
    })
  })
}
