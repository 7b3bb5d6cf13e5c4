// SPDX-License-Identifier: Apache-2.0
// Seeds that once failed, with what was wrong then. They are run first, and stay: with the worlds as they are now a seed is
// another course of events than it was when it failed, but one that came close to something. One that failed with settings of
// its own is kept with them.

import type { Settings } from '../cluster/settings.js'

/** What there was not yet when the first of these failed. */
const AS_BEFORE = {
  legacies: false,
  retries: false,
  actorsStore: false,
  restartKills: 0,
  stalks: 0,
  races: 0,
  ends: 0,
  drains: 0,
  freezes: 0,
  hounds: 0,
}
const QUIET = { cancels: false, workerKills: 0, nodeKills: 0 }
export const MUCH_VANISHES = { losses: 30, lost: 'made', nodes: 3, cpus: 1, depth: 4, headKills: 0, ...QUIET, ...AS_BEFORE } as const
export const NODES_DIE = { nodes: 4, depth: 4, nodeKills: 2, ...AS_BEFORE }
const BAD_LINKS = { nodes: 4, depth: 4, loss: 0.3, duplication: 0.3, reordering: 0.5, partitions: 4, breaks: 8, ...AS_BEFORE }
const DRAINED = { drains: 1, nodes: 3, depth: 4, drivers: 1, headKills: 1, partitions: 0, ...QUIET }
const DRIVERS_END = { ends: 2, drivers: 3, nodes: 4, depth: 4, actors: true, ...QUIET }
const ACTORS_KILLED = { actors: true, legacies: true, nodes: 3, depth: 3, ...QUIET }
const WORKERS_DIE = { workerKills: 3, nodes: 3, depth: 4, nodeKills: 0, actors: true, legacies: true }

export const keptSeeds: readonly [seed: number, what: string, settings?: Partial<Settings>][] = [
  [302, 'a lease given back before it was heard of became that of the next task, whose waits then never ended'],
  [116, 'a copy on a node that its owner’s daemon had not been told of was never removed'],
  [63, 'the owner of leases on another node died, and they were kept'],
  [347, 'the head died before it had answered a node, which waited for that for ever'],
  [634, 'an actor that was started twice by a head that was restarted lost its calls'],
  [259, 'what a dead process owned stayed: the timer of its removal went by another clock than the node'],
  [1512, 'calls through a second handle, got by name, overtook those of the first when the head was restarted'],
  [2971, 'a death that was told twice left objects of the dead in a store'],
  [3536, 'as 1512, with two handles by name'],
  [1054, 'what a dead process had stayed where its timer was early by the clock of the node, or a copy came late'],
  [253, 'the name of a run of the head had a space in it, and bundles were never given back'],
  [291, 'a node declared dead while it lived'],
  [13380, 'a node whose link the head had given up waited for an answer: the model told it nothing'],
  [4996, 'a head that was restarted answered a later handle before it told an earlier one what the head before had not'],
  [304, 'a value was lost while two nodes were bringing it from each other: each waited for the other’s half', MUCH_VANISHES],
  [657, 'a task that waited for a worker was sent with an argument that had gone with its owner', NODES_DIE],
  [102164, 'a ref of an object of the dead that was met again right after the last was dropped was answered by nobody', BAD_LINKS],
  [200495, 'a node left, and the head was killed before it told the others: they never heard of it', DRAINED],
  [200585, 'a driver was welcomed on a node that had said that it was empty, and was about to leave', DRAINED],
  [201123, 'a driver that had said that its job was over borrowed once more, and what it borrowed stayed for ever', DRIVERS_END],
  [231115, 'what a driver had in the store when it said that its job was over stayed there', DRIVERS_END],
  [5154, 'an argument of a dead owner was called lost by a node that had not asked the others for it', ACTORS_KILLED],
  [90128, 'what was missing of a value that was lost was taken for the loss of the one made in its place', WORKERS_DIE],
  [5508, 'a node that had not heard of any other yet removed at once what its dead had, though others borrowed it', ACTORS_KILLED],
]
