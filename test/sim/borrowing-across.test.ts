// SPDX-License-Identifier: Apache-2.0
// The borrowing rule where owner, holder and borrower are on nodes of their own and one of these nodes dies, under every
// order: what is not freed with the dead is kept, whoever has a ref to what is gone is told, and nothing is left.

import assert from 'node:assert/strict'
import type { Entry } from '#lib/core/owner/entry.js'
import { workerIdOf } from '../fakes/cluster.js'
import { answerWith, everyOrder, passArgument, type Trio } from './orders.js'

const IDS = ['a', 'b', 'c'].map(each => each.repeat(10) + workerIdOf(1).slice(10))
const [A, B, C] = IDS as [string, string, string]
const NAMES = ['owner', 'borrower', 'third'] as const

/** A gives a ref to B, which goes on with it and then says that it is done. */
function lend(trio: Trio, then: (borrowed: Entry) => void): void {
  const entry = trio.at(A).put()
  const done = trio.give(A, B, entry)
  trio.hold(A, entry)
  trio.tell(A, B, 'first', () => {
    then(trio.at(B).meet(A, entry.seq))
    trio.onceKnown(B, A, 'B is done', () => trio.tell(B, A, 'done', done))
  })
}

suite('borrowing across nodes, in every order', () => {
  for (const [i, dying] of IDS.entries()) {
    if (dying !== C)
      test(`an owner passes a ref on; the ${NAMES[i]} dies`, () => {
        const states = everyOrder([A, B], trio => {
          lend(trio, borrowed => trio.hold(B, borrowed))
          trio.dies(dying)
        })
        assert.ok(states > 20, `${states} states`)
      })

    test(`a borrower passes it on to a third; the ${NAMES[i]} dies`, () => {
      const states = everyOrder(IDS, trio => {
        lend(trio, borrowed => {
          trio.hold(B, borrowed)
          passArgument(trio, B, C, borrowed)
        })
        trio.dies(dying)
      })
      assert.ok(states > 100, `${states} states`)
    })

    test(`a borrower gives it as a result to a third; the ${NAMES[i]} dies`, () => {
      const states = everyOrder(IDS, trio => {
        lend(trio, borrowed => {
          let given = false
          trio.hold(B, borrowed, () => given)
          trio.onceKnown(B, C, 'B gives', () => {
            given = true
            answerWith(trio, B, C, borrowed)
          })
        })
        trio.dies(dying)
      })
      assert.ok(states > 100, `${states} states`)
    })
  }
})
