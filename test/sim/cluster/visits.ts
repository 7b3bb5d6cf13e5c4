// SPDX-License-Identifier: Apache-2.0
// Drivers that come for a moment: each makes a detached actor, or means the one that has its name, calls it, and ends, and its
// job with it. Once all trouble is over others come, who call what is left and kill it.

import type { Entry } from '#lib/core/owner/entry.js'
import { objectId } from '#lib/ids.js'
import { Detached } from '../checkers/detached.js'
import type { Ref, SimProcess } from '../process.js'
import type { Random } from '../random.js'
import type { SimCluster } from './cluster.js'
import { openNodes } from './endings.js'
import type { SimNode } from './node.js'

const NAMES = ['hopper', 'knuth']
const LASTING = { maxRestarts: -1, maxTaskRetries: -1 }
/** Longest that a visitor stays, in milliseconds. */
const STAY_MS = 200

export class Visits {
  readonly detached = new Detached(NAMES)
  /** Who is to end the actor of that name. */
  readonly #buriers = new Map<string, SimProcess>()

  constructor(private readonly cluster: SimCluster) {}

  visit(random: Random): void {
    const node = this.#someNode(random)
    if (node === undefined) return
    const process = this.#come(node, random.pick(NAMES), (visitor, handle) => {
      for (let i = random.int(4); i > 0; i--) visitor.drop(visitor.call(handle, { n: i, refs: [] }))
      visitor.drop(handle)
    })
    this.cluster.agenda.after(random.next() * STAY_MS, () => node.close(process.id))
  }

  /** Sees to it that none is left in the end. */
  bury(): void {
    for (const { spec, phase } of this.cluster.actors()) {
      const { name, detached, actorId } = spec
      if (!detached || name === null || phase === 'dead' || this.detached.isKilled(actorId)) continue
      const busy = this.#buriers.get(name)
      if (busy !== undefined && this.cluster.process(busy.id) === busy) continue
      const node = this.#someNode(this.cluster.random) ?? this.cluster.join()
      this.#buriers.set(
        name,
        this.#come(node, name, (burier, handle) => this.#bury(burier, handle, name)),
      )
    }
  }

  #bury(burier: SimProcess, handle: Ref, name: string): void {
    const answer = burier.call(handle, { n: 1, refs: [] })
    burier.whenReady(answer.entry, () => {
      const actor = burier.owner.calls.actors.get(idOf(burier, handle.entry))
      const actorId = actor?.view?.actorId as string
      this.detached.killed(name, actorId)
      this.#buriers.delete(name)
      burier.control(burier.world.node, { is: 'actorKill', actorId, noRestart: true })
      burier.drop(answer)
      burier.drop(handle)
      burier.dirty = true
    })
  }

  #come(node: SimNode, name: string, then: (process: SimProcess, handle: Ref) => void): SimProcess {
    const { process, life, pulse } = node.host('driver', 1)
    life.after(0, () => {
      then(process, process.create(LASTING, { name, getIfExists: true, detached: true }))
      process.dirty = true
      pulse.look()
    })
    return process
  }

  #someNode(random: Random): SimNode | undefined {
    const nodes = openNodes(this.cluster)
    return nodes.length > 0 ? random.pick(nodes) : undefined
  }
}

function idOf({ id }: SimProcess, { owner, seq }: Entry): string {
  return objectId(owner ?? id, seq)
}
