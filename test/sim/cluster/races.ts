// SPDX-License-Identifier: Apache-2.0
// Names that several processes get or create at once, each from a node of its own where there are as many: all mean one actor,
// and while nobody is killed each has its answers.

import type { Entry } from '#lib/core/owner/entry.js'
import { objectId } from '#lib/ids.js'
import type { Ref, SimProcess } from '../process.js'
import type { Random } from '../random.js'
import type { SimCluster } from './cluster.js'
import type { SimNode } from './node.js'

/** How often it is looked whether all have their answers, in simulated milliseconds. */
const LOOK_MS = 100
const CALLS = 3

interface Racer {
  readonly node: SimNode
  readonly process: SimProcess
  handle: Ref | null
  answers: number
}

export function race(cluster: SimCluster, random: Random, name: string): void {
  const nodes = [...cluster.byId.values()].filter(({ life }) => life.alive)
  if (nodes.length === 0) return
  const racers = Array.from({ length: 2 + random.int(3) }, (_, i) => enter(nodes[i % nodes.length] as SimNode, name, random))
  const look = (): void => {
    const left = racers.filter(({ node, process }) => node.lives(process.id))
    if (left.some(({ answers }) => answers < CALLS)) return cluster.agenda.after(LOOK_MS, look)
    if (cluster.killed === 0) compare(cluster, left, name)
    for (const { node, process } of left) node.close(process.id)
  }
  look()
}

function enter(node: SimNode, name: string, random: Random): Racer {
  const { process, life, pulse } = node.host('driver', 1)
  const racer: Racer = { node, process, handle: null, answers: 0 }
  life.after(random.around(3), () => {
    const handle = process.create({ maxRestarts: 0, maxTaskRetries: 0 }, { name, getIfExists: true })
    racer.handle = handle
    for (let i = 1; i <= CALLS; i++) {
      const answer = process.call(handle, { n: i, refs: [] })
      // Whether it may fail is looked at as of any other.
      process.whenReady(answer.entry, () => racer.answers++)
    }
    process.dirty = true
    pulse.look()
  })
  return racer
}

function compare(cluster: SimCluster, racers: readonly Racer[], name: string): void {
  const actors = new Set(
    racers.map(({ process, handle }) => process.owner.calls.actors.get(idOf(process, (handle as Ref).entry))?.view?.actorId),
  )
  if (actors.size > 1) cluster.faulty(`races: ${name} is ${[...actors].join(' and ')} at once`)
}

function idOf({ id }: SimProcess, { owner, seq }: Entry): string {
  return objectId(owner ?? id, seq)
}
