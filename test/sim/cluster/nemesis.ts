// SPDX-License-Identifier: Apache-2.0
// What goes wrong, when: drawn from the seed before anything happens. After the last of it the cluster heals.

import { nodeOf } from '#lib/ids.js'
import { Random } from '../random.js'
import { killActor, killToRestart, stalk } from './actor-kills.js'
import type { SimCluster } from './cluster.js'
import { drain, endDriver, openNodes } from './endings.js'
import { gather } from './groups.js'
import { planLosses } from './losses.js'
import type { SimNode } from './node.js'
import { race } from './races.js'
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
  agenda.at(TROUBLE_MS, () => {
    cluster.network.heal()
    if (settings.drains > 0 && openNodes(cluster).length === 0) cluster.join()
  })
  // Apart, as in the settings.
  const lives = new Random(cluster.seed ^ 0x11fe)
  for (let i = 0; i < settings.actorKills; i++)
    agenda.at(lives.next() * lives.next() * TROUBLE_MS, () => killActor(cluster, lives, TROUBLE_MS))
  for (let i = 0; i < settings.visits; i++) agenda.at(lives.next() * TROUBLE_MS, () => cluster.visits.visit(lives))
  planMore(cluster)
}

/** What came later to the simulator: apart, so that all else goes on as it did. */
function planMore(cluster: SimCluster): void {
  const { settings, agenda, seed } = cluster
  const random = new Random(seed ^ 0x40e5)
  const enter = (count: number, go: (i: number) => void) => {
    for (let i = 0; i < count; i++) agenda.at(random.next() * TROUBLE_MS, () => go(i))
  }
  enter(settings.restartKills, () => killToRestart(cluster, random, TROUBLE_MS))
  enter(settings.stalks, () => stalk(cluster, random, TROUBLE_MS))
  enter(settings.races, i => race(cluster, random, `race ${i}`))
  enter(settings.ends, () => endDriver(cluster, random))
  enter(settings.drains, () => drain(cluster, random))
  enter(settings.freezes, () => freeze(cluster, random))
}

function living(cluster: SimCluster): SimNode[] {
  return [...cluster.byId.values()].filter(({ life }) => life.alive)
}

function someNode(cluster: SimCluster, random: Random): SimNode | undefined {
  const nodes = living(cluster)
  return nodes.length > 0 ? random.pick(nodes) : undefined
}

/** Makes an actor of that name, or means the one that has it, calls it a few times and waits for nothing: not wrong at all, but the more programs want a name at once, the more can be. */
function christen({ drivers }: SimCluster, random: Random): void {
  const { node, driver } = random.pick(drivers)
  const hosted = node.processes.get(driver.process.id)
  if (hosted === undefined || !hosted.life.alive) return
  hosted.life.after(0, () => {
    const { process } = driver
    const handle = process.create(
      { maxRestarts: 0, maxTaskRetries: 0 },
      { name: random.pick(['ada', 'grace']), getIfExists: random.chance(0.7) },
    )
    for (let i = 1; i <= 3; i++) process.drop(process.call(handle, { n: i, refs: [] }))
    process.drop(handle)
    process.dirty = true
    hosted.pulse.look()
  })
}

function killWorker(cluster: SimCluster, random: Random): void {
  const workers = [...cluster.living()].filter(process => !process.isDriver)
  if (workers.length === 0) return
  const { id } = random.pick(workers)
  cluster.byId.get(nodeOf(id))?.end(id, 'killed')
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

function pause(cluster: SimCluster, random: Random): void {
  stop(cluster, random, random.around(random.chance(0.1) ? 2 * cluster.settings.nodeDeadAfterMs : 50))
}

/** Neither dead nor answering, for longer than a node may be silent. */
function freeze(cluster: SimCluster, random: Random): void {
  stop(cluster, random, cluster.settings.nodeDeadAfterMs * (1.2 + 3 * random.next()))
}

/** A whole node, or one of its processes; or the head. */
function stop(cluster: SimCluster, random: Random, ms: number): void {
  if (random.chance(0.2)) return cluster.head.life.pause(ms)
  const node = someNode(cluster, random)
  if (node === undefined) return
  const lives = [...node.processes.values()].map(({ life }) => life)
  if (random.chance(0.4)) for (const life of [node.life, ...lives]) life.pause(ms)
  else random.pick([node.life, ...lives]).pause(ms)
}
