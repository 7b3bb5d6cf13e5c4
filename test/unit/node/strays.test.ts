// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { Strays } from '#lib/core/node/strays.js'
import { objectId } from '#lib/ids.js'
import { limits } from '#lib/options.js'
import { remoteWorker } from '../../fakes/cluster.js'

const [ONE, OTHER] = [remoteWorker(1, 'aaaaaaaaaa'), remoteWorker(2, 'bbbbbbbbbb')]
const [FIRST, LONGEST] = limits.copiesHeldMs

suite('strays', () => {
  test('each owner hears of what is his, once it has been here for a while', () => {
    const strays = new Strays()
    const ids = [objectId(ONE, 1), objectId(OTHER, 5), objectId(ONE, 2)]
    assert.equal(strays.look(ids, 100).size, 0)
    assert.equal(strays.look(ids, 100 + FIRST - 1).size, 0)
    assert.deepEqual(
      strays.look([...ids, objectId(ONE, 3)], 100 + FIRST),
      new Map([
        [ONE, [1, 2]],
        [OTHER, [5]],
      ]),
    )
  })

  test('of what stays he hears again, ever more seldom but never not at all', () => {
    const strays = new Strays()
    const told: number[] = []
    for (let now = 0; now <= 10 * LONGEST; now += 1_000) if (strays.look([objectId(ONE, 1)], now).size > 0) told.push(now)
    const pauses = told.slice(1).map((at, i) => at - (told[i] as number))
    assert.equal(told[0], FIRST)
    assert.deepEqual(pauses.slice(0, 3), [2 * FIRST, 4 * FIRST, 8 * FIRST])
    assert.ok(pauses.slice(4).length > 3 && pauses.slice(4).every(pause => pause === LONGEST))
  })

  test('one that went and came again is new', () => {
    const strays = new Strays()
    strays.look([objectId(ONE, 1)], 0)
    strays.look([], 1)
    assert.equal(strays.look([objectId(ONE, 1)], FIRST).size, 0)
    assert.equal(strays.look([objectId(ONE, 1)], 2 * FIRST).size, 1)
  })
})
