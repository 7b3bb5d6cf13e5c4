// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { differs, holdsMore } from '#lib/core/fair.js'
import { Share } from '#lib/core/owner/share.js'
import { limits } from '#lib/options.js'

suite('the share that an owner gives up', () => {
  test('property: two that give to each other what they ask for come to about the same, and then nothing goes to and fro', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 500 }), (a, b) => {
        const both = [
          { held: a, share: new Share() },
          { held: b, share: new Share() },
        ]
        let now = 0
        let moved = 0
        for (let round = 0; round < 40; round++) {
          now += limits.leaseQuantumMs
          for (const i of [0, 1]) {
            const [from, to] = [both[i]!, both[1 - i]!]
            const given = from.share.toGive(256, { held: to.held, must: 0 }, from.held, now) ?? 0
            from.held -= given
            to.held += given
            // One lease alone is used in turns.
            if (a + b > 2) moved += given
            assert.ok(from.held >= 0 && (given <= 1 || from.held >= to.held))
          }
        }
        if (a + b <= 2) return
        assert.ok(
          !differs(both[0]!.held, both[1]!.held) || Math.abs(both[0]!.held - both[1]!.held) <= 1,
          `${both[0]!.held} and ${both[1]!.held}`,
        )
        assert.ok(moved <= Math.max(a, b), `${moved} changed hands`)
      }),
    )
  })

  test('who has none is given one even by who has one; who has as many is given none', () => {
    const share = new Share()
    assert.equal(share.toGive(3, { held: 0, must: 0 }, 1, 0), 1)
    assert.equal(share.toGive(3, { held: 1, must: 0 }, 1, 0), null)
    assert.equal(share.toGive(3, { held: 8, must: 0 }, 10, 0), null)
    assert.equal(holdsMore(11, 8), true)
  })

  test('what must be given is, and beyond it no more than is fair', () => {
    const share = new Share()
    assert.equal(share.toGive(7, { held: 40, must: 1 }, 7, 0), 1, 'the other six are for somebody with more')
    assert.equal(share.toGive(8, { held: 0, must: 1 }, 8, 0), 4, 'half of the difference')
    assert.equal(share.toGive(2, { held: 0, must: 5 }, 2, 0), 2)
  })
})
