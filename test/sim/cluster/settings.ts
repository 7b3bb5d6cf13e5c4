// SPDX-License-Identifier: Apache-2.0
// What one seed is: how large the cluster, what runs on it, what goes wrong, and how fast everything is. All of it follows
// from the seed, unless a test sets some of it.

import { Random } from '../random.js'
import type { Pace } from './pulse.js'

export interface Settings {
  nodes: number
  cpus: number
  /** One program each, on a node each where there are as many. */
  drivers: number
  /** How deep their trees of tasks are. */
  depth: number
  cancels: boolean
  actors: boolean
  /** Some of the actors that programs make start again when their process ends. */
  restarts: boolean
  /** Some answers of actors go to the store. */
  actorsStore: boolean
  /** Answers of actors hold what they have put themselves, and bodies kill them when they have it. */
  legacies: boolean
  /** Some tasks may be run again only so often. */
  retries: boolean
  /** Actors that drivers make with one of a few names. */
  names: number
  /** How often each kind of thing goes wrong, in all. */
  workerKills: number
  /** Drivers that come for a moment, make or call a detached actor, and end. */
  visits: number
  /** Processes of actors among them. */
  actorKills: number
  /** Actors that are killed to be restarted, as `kill(actor, { noRestart: false })` does. */
  restartKills: number
  /** Tasks that may be run again only so often, and whose worker is killed each time they begin. */
  hounds: number
  /** Actors whose process is killed each time they start. */
  stalks: number
  /** Names that several processes, on nodes of their own, get or create at once. */
  races: number
  /** Drivers that end in the midst of their program. */
  ends: number
  /** Nodes that are drained. */
  drains: number
  /** Processes, nodes and the head that stop for longer than a node may be silent. */
  freezes: number
  nodeKills: number
  joins: number
  headKills: number
  partitions: number
  /** Connections that break and come back. */
  breaks: number
  pauses: number
  /** Placement groups that are made. */
  groups: number
  /** Objects that vanish from a store: of copies, of what tasks made, of anything. */
  losses: number
  lost: 'copies' | 'made' | 'all'
  /** Times for which a store has no room, neither in memory nor on disk. */
  fulls: number
  /** Below the links: what share of packets is lost, comes twice, is overtaken. */
  loss: number
  duplication: number
  reordering: number
  /** How long a node is silent before it is dead, in milliseconds. */
  nodeDeadAfterMs: number
  /** Mean time until what the head keeps is kept for good, in milliseconds. */
  writeDelay: number
  /** Objects that a node's store has room for. */
  storeCapacity: number
  /** Clocks differ by up to this share. */
  skew: number
  pace: Pace
  /** Mean delay between processes of a node, and between machines, in milliseconds. */
  localDelay: number
  linkDelay: number
}

export function settingsOf(seed: number, more: Partial<Settings> = {}): Settings {
  const random = new Random(seed ^ 0x5e77)
  const few = (probability: number, most: number): number => (random.chance(probability) ? 1 + random.int(most) : 0)
  const speed = (mean: number): number => mean * random.pick([0.3, 1, 1, 20])
  // Apart, so that what else a seed is does not change with it.
  const loss = new Random(seed ^ 0x1055)
  // Apart, so that all else of a seed is what it was before there was this.
  const lives = new Random(seed ^ 0x11fe)
  const restarts = lives.chance(0.5)
  const later = new Random(seed ^ 0x1a7e)
  const rarely = (probability: number, most: number): number => (later.chance(probability) ? 1 + later.int(most) : 0)
  const nodes = random.chance(0.02) ? 10 + random.int(20) : 1 + random.int(5)
  return {
    nodes,
    cpus: 1 + random.int(3),
    drivers: 1 + few(0.3, 2),
    depth: 1 + random.int(4),
    cancels: random.chance(0.3),
    actors: random.chance(0.4),
    restarts,
    names: few(0.3, 6),
    workerKills: few(0.3, 3),
    actorKills: restarts && lives.chance(0.7) ? 1 + lives.int(6) : 0,
    retries: later.chance(0.3),
    actorsStore: later.chance(0.5),
    restartKills: rarely(0.15, 3),
    stalks: restarts ? rarely(0.2, 2) : 0,
    races: rarely(0.1, 2),
    ends: rarely(0.12, 1),
    drains: rarely(0.1, 1),
    freezes: rarely(0.06, 1),
    hounds: rarely(0.15, 2),
    legacies: later.chance(0.5),
    visits: lives.chance(0.25) ? 1 + lives.int(6) : 0,
    nodeKills: few(0.25, 2),
    joins: few(0.25, 2),
    headKills: few(0.25, 2),
    partitions: few(0.25, 3),
    breaks: few(0.25, 4),
    pauses: few(0.3, 3),
    groups: loss.chance(0.3) ? 1 + loss.int(5) : 0,
    losses: loss.chance(0.3) ? 1 + loss.int(30) : 0,
    lost: loss.pick(['copies', 'made', 'all']),
    fulls: loss.chance(0.1) ? 1 + loss.int(3) : 0,
    loss: random.pick([0, 0, 0.02, 0.2]),
    duplication: random.pick([0, 0, 0.02, 0.2]),
    reordering: random.pick([0, 0, 0.05, 0.5]),
    nodeDeadAfterMs: 2_000,
    writeDelay: random.pick([0.1, 1, 30]),
    storeCapacity: random.pick([1000, 1000, 12, 5]),
    skew: random.pick([0, 0.01, 0.1]),
    pace: { flush: speed(0.2), run: speed(1), collect: speed(1) },
    localDelay: speed(0.05),
    linkDelay: speed(0.5),
    ...more,
  }
}
