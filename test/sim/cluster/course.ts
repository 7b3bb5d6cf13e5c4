// SPDX-License-Identifier: Apache-2.0
// One seed from start to rest.

import { checkGroups, gathered } from '../checkers/groups.js'
import { checkLocations } from '../checkers/locations.js'
import { checkNames } from '../checkers/names.js'
import { checkReachable } from '../checkers/references.js'
import { checkGranted, granted } from '../checkers/resources.js'
import { leftovers } from '../checkers/rest.js'
import { shortLives } from '../checkers/restarts.js'
import { checkResult } from '../checkers/results.js'
import { overfull } from '../checkers/tables.js'
import { decodeError, textOf } from '../errors.js'
import { sequential, type Tree } from '../program.js'
import { SimCluster } from './cluster.js'
import { lingering } from './endings.js'
import { TROUBLE_MS } from './nemesis.js'
import { type Settings, settingsOf } from './settings.js'

/** By then all must be at rest, in simulated milliseconds: all that is waited for takes less. */
const REST_BY_MS = 300_000
/** Larger programs find no more, and take long. */
const TREE_MAX = 400
/** What concerns all of the cluster is looked at after so many steps; each machine looks at itself after every one. */
const CHECK_EVERY = 4
/** Tables are looked at with one seed of so many: it takes long. */
const TABLES_EVERY = 50
/** What is kept for a time is kept for less than this, in simulated milliseconds. */
const REMEMBERED_MS = 60_000
/** How often it is looked whether all is at rest, in simulated milliseconds. */
const LOOK_MS = 200

/** Throws what is wrong; gives the number of steps it took. */
export function runCourse(seed: number, more: Partial<Settings> = {}): number {
  const settings = settingsOf(seed, more)
  const seeds = Array.from({ length: settings.drivers }, (_, i) => seed + i * 0x10001)
  if (seeds.reduce((sum, each) => sum + size(sequential(each, settings.depth, settings)), 0) > TREE_MAX) return 0
  const cluster = new SimCluster(seed, settings, seeds)
  const { agenda } = cluster
  for (let lookAt = LOOK_MS; !atRest(cluster); lookAt += LOOK_MS) {
    while (agenda.size > 0 && agenda.now < lookAt) {
      agenda.step()
      if (cluster.faults.length > 0) throw new Error(cluster.faults.join('; '))
      if (agenda.steps % CHECK_EVERY !== 0) continue
      checkReachable(cluster)
      checkLocations(cluster)
      cluster.watch.borrows.check()
      checkGroups(cluster)
      checkNames(cluster)
      cluster.visits.detached.check(cluster)
      checkGranted(cluster)
    }
    if (agenda.now > TROUBLE_MS) cluster.visits.bury()
    if (lookAt > REST_BY_MS) throw new Error(`stuck: ${describe(cluster)}`)
    if (agenda.size === 0 && !atRest(cluster)) throw new Error(`stuck, and nothing will ever happen: ${describe(cluster)}`)
  }
  const wrong = shortLives(cluster.actors(), bytes => textOf(decodeError(bytes)))
  if (wrong.length > 0) throw new Error(wrong.join('; '))
  if (seed % TABLES_EVERY === 0) checkTables(cluster)
  for (const { driver } of alive(cluster)) {
    const expected = sequential(driver.seed, settings.depth, settings)
    checkResult(driver.result, expected, cluster.killed > 0 || settings.cancels || cluster.losses.excused)
  }
  return agenda.steps
}

/** What is remembered for a while is not any more. */
function checkTables(cluster: SimCluster): void {
  const { agenda } = cluster
  for (let until = Math.max(agenda.now, TROUBLE_MS) + REMEMBERED_MS; agenda.now < until || !atRest(cluster); ) {
    if (agenda.now > 2 * REST_BY_MS) throw new Error(`not at rest any more: ${describe(cluster)}`)
    if (agenda.now > TROUBLE_MS) cluster.visits.bury()
    if (!agenda.step()) break
  }
  const nodes = [...cluster.byId.values()].filter(({ life }) => life.alive)
  const processes = [...cluster.living()]
  const daemons = nodes.flatMap(({ member, orphans, transfer: { pulls, serves } }) => [member, orphans, pulls, serves])
  for (const machine of [cluster.head.machine, ...daemons, ...processes.map(({ owner }) => owner)]) {
    const wrong = overfull(machine, nodes.length + processes.length)
    if (wrong.length > 0) throw new Error(wrong.join('; '))
  }
}

function atRest(cluster: SimCluster): boolean {
  return (
    alive(cluster).every(({ driver }) => driver.done) &&
    leftovers(cluster).length + granted(cluster).length + gathered(cluster).length + lingering(cluster).length === 0
  )
}

/** Those that have not ended, by whatever. */
function alive(cluster: SimCluster): SimCluster['drivers'] {
  return cluster.drivers.filter(({ node, driver }) => node.lives(driver.process.id) && !cluster.isEnding(driver.process))
}

function describe(cluster: SimCluster): string {
  const done = cluster.drivers.map(({ driver }) => driver.done)
  return `at ${cluster.agenda.now.toFixed(1)} ms; drivers done: ${done}; ${[...leftovers(cluster), ...granted(cluster), ...gathered(cluster), ...lingering(cluster)].join('; ')}`
}

function size(tree: Tree): number {
  return tree === null ? 1 : tree.refs.reduce((sum, each) => sum + size(each), 1)
}
