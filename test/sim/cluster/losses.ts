// SPDX-License-Identifier: Apache-2.0
// Stores that lose what they had, without anybody being told, and stores that have no room. What has vanished is noticed
// as with a store as it ships: by whoever looks for it.

import { failureProblem, isOfGroup, isOfProgram } from '../checkers/failures.js'
import { Random } from '../random.js'
import type { SimCluster } from './cluster.js'
import type { SimNode } from './node.js'

export class Losses {
  /** What was put: no task makes it. */
  readonly puts = new Set<string>()
  readonly vanished = new Set<string>()
  /** Somebody has seen a failure, as there may be one, that there would not be straight through. */
  excused = false
  #lostPuts = false
  #full = false

  constructor(private readonly cluster: SimCluster) {}

  /** A copy vanishes, or the last there is. */
  lose(random: Random): void {
    const { byId, settings } = this.cluster
    const nodes = [...byId.values()].filter(({ life }) => life.alive)
    const can = nodes.flatMap(node => this.#losable(node).map(id => ({ node, id })))
    if (can.length === 0) return
    const { node, id } = random.pick(can)
    node.store.delete(id)
    this.cluster.watch.borrows.robbed(id)
    if (settings.lost === 'copies') return
    this.vanished.add(id)
    this.cluster.watch.vanished()
    if (this.puts.has(id)) this.#lostPuts = true
  }

  fill({ store, life }: SimNode, ms: number): void {
    this.#full = true
    store.isFull = true
    life.agenda.after(ms, () => (store.isFull = false))
  }

  /** Somebody sees that failure. */
  failed(text: string): void {
    const { killed, settings } = this.cluster
    const lost = { lost: this.vanished.size > 0, lostPuts: this.#lostPuts, groups: settings.groups > 0, full: this.#full }
    const problem = this.cluster.watch.problem(text) ?? failureProblem(text, { killed: killed > 0, cancels: settings.cancels, ...lost })
    if (problem !== null) this.cluster.faulty(problem)
    else if (!isOfProgram(text) && !isOfGroup(text)) this.excused = true
  }

  #losable({ store }: SimNode): string[] {
    const { lost } = this.cluster.settings
    const copies = store.unpinned(true)
    if (lost === 'copies') return copies
    return [...copies, ...store.unpinned(false)].filter(id => lost === 'all' || !this.puts.has(id))
  }
}

/** `enter` enters something at so many random times. */
export function planLosses(cluster: SimCluster, enter: (count: number, go: (i: number) => void) => void): void {
  const { seed, settings, losses, byId } = cluster
  const random = new Random(seed ^ 0x105e)
  enter(settings.losses, () => losses.lose(random))
  enter(settings.fulls, () => {
    const nodes = [...byId.values()].filter(({ life }) => life.alive)
    if (nodes.length > 0) losses.fill(random.pick(nodes), random.around(random.chance(0.2) ? 3000 : 100))
  })
}
