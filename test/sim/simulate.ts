// SPDX-License-Identifier: Apache-2.0
// One seed from start to rest.

import { checkReachable } from './checkers/references.js'
import { checkGranted, granted } from './checkers/resources.js'
import { leftovers } from './checkers/rest.js'
import { checkResult } from './checkers/results.js'
import { sequential, type Tree } from './program.js'
import { Random } from './random.js'
import { World } from './world.js'

const STEPS_MAX = 200_000
/** Larger programs find no more, and take long. */
const NODES_MAX = 400

/** Throws what is wrong; gives the number of steps it took. */
export function simulate(seed: number, { allowCancels = true, allowActors = true } = {}): number {
  const random = new Random(seed)
  const depth = 1 + random.int(4)
  const kills = random.chance(0.4) ? 1 + random.int(3) : 0
  const cpus = 1 + random.int(3)
  const cancels = allowCancels && random.chance(0.4)
  const actors = allowActors && random.chance(0.4)
  const restarts = random.chance(0.5)
  const expected = sequential(seed, depth, { actors, restarts, legacies: false })
  if (nodes(expected) > NODES_MAX) return 0
  const world = new World(seed, depth, { kills, cpus, cancels, actors, restarts })
  for (let steps = 0; ; steps++) {
    if (steps > STEPS_MAX)
      throw new Error(`stuck: not at rest after ${steps} steps: ${[...leftovers(world), ...granted(world)].join('; ')}`)
    if (!world.step()) {
      if (world.driver.done && leftovers(world).length + granted(world).length === 0) {
        checkResult(world.driver.result, expected, world.killed > 0 || cancels)
        return steps
      }
      if (!world.skip())
        throw new Error(
          `stuck: nothing can happen any more; driver done: ${world.driver.done}; ${[...leftovers(world), ...granted(world)].join('; ')}`,
        )
    }
    if (world.faults.length > 0) throw new Error(world.faults.join('; '))
    checkReachable(world)
    checkGranted(world)
  }
}

function nodes(tree: Tree): number {
  return tree === null ? 1 : tree.refs.reduce((sum, each) => sum + nodes(each), 1)
}
