// SPDX-License-Identifier: Apache-2.0
// Deaths of actors: by chance, each time they start, and by a `kill()` that lets them restart.

import { nodeOf } from '#lib/ids.js'
import type { WorkerId } from '#lib/wire/messages.js'
import type { SimActor } from '../actor.js'
import type { SimProcess } from '../process.js'
import type { Random } from '../random.js'
import type { SimCluster } from './cluster.js'

/** Until when things go wrong, in simulated milliseconds. */
type Until = number
/** How often a stalker strikes. */
const STRIKES = 6
/** How often a stalker looks whether its victim is there, in simulated milliseconds. */
const LOOK_MS = 20

/** As soon as there is one: at once, or when it has run a call and not answered. */
export function killActor(cluster: SimCluster, random: Random, until: Until): void {
  const { agenda } = cluster
  const actors = [...cluster.living()].filter(({ actor }) => actor !== null && actor.doom === null)
  if (actors.length > 0) strike(cluster, random.pick(actors), random.chance(0.5))
  else if (agenda.now < until) agenda.after(random.around(3), () => killActor(cluster, random, until))
}

/** One that may restart is chosen as soon as there is one, and killed each time it starts; most may restart only so often. */
export function stalk(cluster: SimCluster, random: Random, until: Until): void {
  const { agenda } = cluster
  const victims = [...cluster.actors()].filter(({ phase, spec }) => phase !== 'dead' && spec.maxRestarts !== 0)
  const limited = victims.filter(({ spec }) => spec.maxRestarts > 0 || spec.maxTaskRetries > 0)
  if (victims.length === 0) {
    if (agenda.now < until) agenda.after(random.around(3), () => stalk(cluster, random, until))
    return
  }
  const { actorId } = random.pick(limited.length > 0 ? limited : victims).spec
  const again = (struck: number, last: WorkerId | null): void => {
    const process = [...cluster.living()].find(({ actor, id }) => actor?.actorId === actorId && id !== last)
    const isOver = [...cluster.actors()].every(({ phase, spec }) => spec.actorId !== actorId || phase === 'dead')
    if (process !== undefined) strike(cluster, process, random.chance(0.8))
    const count = process === undefined ? struck : struck + 1
    if (!isOver && count < STRIKES) agenda.after(random.around(LOOK_MS), () => again(count, process?.id ?? last))
  }
  again(0, null)
}

/** Somebody who has its handle kills it, and lets it restart. */
export function killToRestart(cluster: SimCluster, random: Random, until: Until): void {
  const { agenda } = cluster
  const actors = [...cluster.actors()].filter(({ phase }) => phase !== 'dead')
  const killers = [...cluster.living()].filter(({ isDriver }) => isDriver)
  if (actors.length === 0 || killers.length === 0) {
    if (agenda.now < until) agenda.after(random.around(3), () => killToRestart(cluster, random, until))
    return
  }
  const { actorId } = random.pick(actors).spec
  const killer = random.pick(killers)
  cluster.killed++
  cluster.restarts.asked(actorId)
  killer.control(killer.world.node, { is: 'actorKill', actorId, noRestart: false })
}

function strike(cluster: SimCluster, { id, actor }: SimProcess, afterCall: boolean): void {
  const end = () => cluster.byId.get(nodeOf(id))?.end(id, 'killed')
  if (afterCall) (actor as SimActor).doom = end
  else end()
}
