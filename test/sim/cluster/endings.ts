// SPDX-License-Identifier: Apache-2.0
// Ends that are nobody's death: drivers that end in the midst of their program, with all of their job, and nodes that are drained.

import type { Random } from '../random.js'
import type { SimCluster } from './cluster.js'
import type { SimNode } from './node.js'

/** Some say so, others are just gone. Of the others' programs none may notice. */
export function endDriver(cluster: SimCluster, random: Random): void {
  const running = cluster.drivers.filter(({ driver, node }) => !driver.done && node.lives(driver.process.id))
  if (running.length === 0) return
  const { driver, node } = random.pick(running)
  const { process } = driver
  if (random.chance(0.5)) return node.close(process.id)
  cluster.jobEnds(process)
  process.control(node.node, { is: 'endJob' })
}

/** As long as others are left that take what it would have got. */
export function drain(cluster: SimCluster, random: Random): void {
  const open = openNodes(cluster)
  const askers = [...cluster.living()].filter(({ isDriver }) => isDriver)
  if (open.length < 2 || askers.length === 0) return
  const asker = random.pick(askers)
  const { nodeId } = random.pick(open)
  cluster.draining.add(nodeId)
  asker.control(asker.world.node, { is: 'drainNode', request: 1, nodeId })
}

/** Nodes that live and were not drained. */
export function openNodes({ byId, draining }: SimCluster): SimNode[] {
  return [...byId.values()].filter(({ life, nodeId }) => life.alive && !draining.has(nodeId))
}

/** It leaves, and has nothing left that runs; what it had in its store goes with it, and what its processes owned. */
export function leave(cluster: SimCluster, node: SimNode): void {
  // Whom it does not know it has refused.
  const guests = [...node.processes.values()].filter(({ process }) => node.machine.knows(process.id))
  const busy = guests.filter(({ process }) => process.isDriver || process.actor !== null || !process.executor.idle)
  for (const { process } of busy) cluster.faulty(`drain: node ${node.nodeId} leaves, and ${process.id} is at work there`)
  const owners = [...node.processes.values()].filter(({ process }) => !process.owner.atRest)
  const hasObjects = !node.store.ids()[Symbol.iterator]().next().done
  node.vanish()
  if (owners.length > 0 || hasObjects) cluster.killed += 1
}

/** Nodes that should have left, as words. */
export function lingering({ byId, draining, head }: SimCluster): string[] {
  return [...draining].flatMap(nodeId => {
    const node = byId.get(nodeId)
    if (!node?.life.alive || [...node.processes.values()].some(({ process }) => process.isDriver)) return []
    const state = head.machine.nodes.get(nodeId)?.view.state
    return state === 'draining' ? [`node ${nodeId} drains still`] : []
  })
}
