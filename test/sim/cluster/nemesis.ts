// SPDX-License-Identifier: Apache-2.0
// What goes wrong, when: drawn from the seed before anything happens. After the last of it the cluster heals.

import { nodeOf } from '#lib/ids.js'
import type { Random } from '../random.js'
import type { SimCluster } from './cluster.js'
import type { SimNode } from './node.js'

/** How long things go wrong, in simulated milliseconds. */
const TROUBLE_MS = 400

export function plan(cluster: SimCluster, random: Random): void {
  const { settings, agenda } = cluster
  const enter = (count: number, go: () => void) => {
    for (let i = 0; i < count; i++) agenda.at(random.next() * TROUBLE_MS, go)
  }
  const someNode = (): SimNode => random.pick([...cluster.byId.values()])
  enter(settings.workerKills, () => killWorker(cluster, random))
  enter(settings.pauses, () => pause(someNode(), random))
}

function killWorker(cluster: SimCluster, random: Random): void {
  const workers = [...cluster.living()].filter(process => !process.isDriver)
  if (workers.length === 0) return
  const { id } = random.pick(workers)
  cluster.byId.get(nodeOf(id))?.end(id, true)
}

/** A whole node, or one of its processes. */
function pause(node: SimNode, random: Random): void {
  const ms = random.around(50)
  const lives = [...node.processes.values()].map(({ life }) => life)
  if (random.chance(0.4)) for (const life of [node.life, ...lives]) life.pause(ms)
  else random.pick([node.life, ...lives]).pause(ms)
}
