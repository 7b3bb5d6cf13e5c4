// SPDX-License-Identifier: Apache-2.0
// One seed from start to rest.

import { checkReachable } from '../checkers/references.js'
import { allReturned, checkGranted } from '../checkers/resources.js'
import { leftovers } from '../checkers/rest.js'
import { checkResult } from '../checkers/results.js'
import { sequential, type Tree } from '../program.js'
import { SimCluster } from './cluster.js'
import { type Settings, settingsOf } from './settings.js'

const STEPS_MAX = 400_000
/** Larger programs find no more, and take long. */
const TREE_MAX = 400
/** How often it is looked whether all is at rest, in simulated milliseconds. */
const LOOK_MS = 200

/** Throws what is wrong; gives the number of steps it took. */
export function runCourse(seed: number, more: Partial<Settings> = {}): number {
  const settings = settingsOf(seed, more)
  const seeds = Array.from({ length: settings.drivers }, (_, i) => seed + i * 0x10001)
  const expected = seeds.map(each => sequential(each, settings.depth, settings.actors))
  if (expected.reduce((sum, tree) => sum + size(tree), 0) > TREE_MAX) return 0
  const cluster = new SimCluster(seed, settings, seeds)
  const { agenda } = cluster
  for (let lookAt = LOOK_MS; !atRest(cluster); lookAt += LOOK_MS) {
    while (agenda.size > 0 && agenda.now < lookAt) {
      agenda.step()
      if (agenda.steps > STEPS_MAX) throw new Error(`stuck: ${describe(cluster)}`)
      if (cluster.faults.length > 0) throw new Error(cluster.faults.join('; '))
      checkReachable(cluster)
      checkGranted(cluster)
    }
    if (agenda.size === 0 && !atRest(cluster)) throw new Error(`stuck, and nothing will ever happen: ${describe(cluster)}`)
  }
  for (const [i, { driver }] of cluster.drivers.entries()) {
    checkResult(driver.result, expected[i] as Tree, cluster.killed > 0 || settings.cancels)
  }
  return agenda.steps
}

function atRest(cluster: SimCluster): boolean {
  return cluster.drivers.every(({ driver }) => driver.done) && leftovers(cluster).length === 0 && allReturned(cluster)
}

function describe(cluster: SimCluster): string {
  const done = cluster.drivers.map(({ driver }) => driver.done)
  return `at ${cluster.agenda.now.toFixed(1)} ms; drivers done: ${done}; ${leftovers(cluster).join('; ')}`
}

function size(tree: Tree): number {
  return tree === null ? 1 : tree.refs.reduce((sum, each) => sum + size(each), 1)
}
