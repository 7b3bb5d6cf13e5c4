// SPDX-License-Identifier: Apache-2.0
// What goes wrong, when: drawn from the seed before anything happens. After the last of it the cluster heals.

import { nodeOf } from '#lib/ids.js'
import type { SimActor } from '../actor.js'
import { Random } from '../random.js'
import type { SimCluster } from './cluster.js'
import { gather } from './groups.js'
import { planLosses } from './losses.js'
import type { SimNode } from './node.js'
import { HEAD_NODE } from './relay.js'

/** How long things go wrong, in simulated milliseconds. */
export const TROUBLE_MS = 600

export function plan(cluster: SimCluster, random: Random): void {
  const { settings, agenda } = cluster
  const enter = (count: number, go: (i: number) => void) => {
    for (let i = 0; i < count; i++) agenda.at(random.next() * TROUBLE_MS, () => go(i))
  }
  enter(settings.names, () => christen(cluster, random))
  enter(settings.workerKills, () => killWorker(cluster, random))
  enter(settings.nodeKills, () => someNode(cluster, random)?.crash())
  enter(settings.joins, () => cluster.join())
  enter(settings.headKills, () => killHead(cluster, random))
  enter(settings.partitions, i => partition(cluster, random, i + 1))
  enter(settings.breaks, () => breakLink(cluster, random))
  enter(settings.pauses, () => pause(cluster, random))
  planLosses(cluster, enter)
  const choices = new Random(cluster.seed ^ 0x6709)
  enter(settings.groups, () => gather(cluster, choices))
  agenda.at(TROUBLE_MS, () => cluster.network.heal())
  // Apart, as in the settings.
  const lives = new Random(cluster.seed ^ 0x11fe)
  for (let i = 0; i < settings.actorKills; i++) agenda.at(lives.next() * lives.next() * TROUBLE_MS, () => killActor(cluster, lives))
  for (let i = 0; i < settings.visits; i++) agenda.at(lives.next() * TROUBLE_MS, () => cluster.visits.visit(lives))
}

function living(cluster: SimCluster): SimNode[] {
  return [...cluster.byId.values()].filter(({ life }) => life.alive)
}

function someNode(cluster: SimCluster, random: Random): SimNode | undefined {
  const nodes = living(cluster)
  return nodes.length > 0 ? random.pick(nodes) : undefined
}

/** Not wrong at all, but the more programs want a name at once, the more can be. */
function christen({ drivers }: SimCluster, random: Random): void {
  const { node, driver } = random.pick(drivers)
  const hosted = node.processes.get(driver.process.id)
  if (hosted === undefined || !hosted.life.alive) return
  hosted.life.after(0, () => {
    driver.process.christen(random.pick(['ada', 'grace']), random.chance(0.7))
    hosted.pulse.look()
  })
}

function killWorker(cluster: SimCluster, random: Random): void {
  const workers = [...cluster.living()].filter(process => !process.isDriver)
  if (workers.length === 0) return
  const { id } = random.pick(workers)
  cluster.byId.get(nodeOf(id))?.end(id, true)
}

/** As soon as there is one: at once, or when it has run a call and not answered. */
function killActor(cluster: SimCluster, random: Random): void {
  const { agenda } = cluster
  const actors = [...cluster.living()].filter(({ actor }) => actor !== null && actor.doom === null)
  if (actors.length > 0) {
    const { id, actor } = random.pick(actors)
    const end = () => cluster.byId.get(nodeOf(id))?.end(id, true)
    if (random.chance(0.5)) end()
    else (actor as SimActor).doom = end
  } else if (agenda.now < TROUBLE_MS) agenda.after(random.around(3), () => killActor(cluster, random))
}

function killHead({ head, agenda }: SimCluster, random: Random): void {
  if (!head.life.alive) return
  head.kill()
  agenda.after(random.around(100), () => head.start())
}

/** Some nodes, the head perhaps among them, are cut off from the others; for longer now and then than a node may be silent. */
function partition(cluster: SimCluster, random: Random, group: number): void {
  const { network, agenda, settings } = cluster
  const ids = [HEAD_NODE, ...living(cluster).map(({ nodeId }) => nodeId)]
  network.cut(random.some(ids, 0.5), group)
  agenda.after(random.around(random.chance(0.3) ? 2 * settings.nodeDeadAfterMs : 100), () => network.join(group))
}

function breakLink(cluster: SimCluster, random: Random): void {
  const node = someNode(cluster, random)
  const peers = node?.relay.links.peers ?? []
  if (peers.length > 0) node?.relay.links.broken(random.pick(peers))
}

/** A whole node, or one of its processes; or the head. */
function pause(cluster: SimCluster, random: Random): void {
  const ms = random.around(random.chance(0.1) ? 2 * cluster.settings.nodeDeadAfterMs : 50)
  if (random.chance(0.2)) return cluster.head.life.pause(ms)
  const node = someNode(cluster, random)
  if (node === undefined) return
  const lives = [...node.processes.values()].map(({ life }) => life)
  if (random.chance(0.4)) for (const life of [node.life, ...lives]) life.pause(ms)
  else random.pick([node.life, ...lives]).pause(ms)
}
