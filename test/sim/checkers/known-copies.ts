// SPDX-License-Identifier: Apache-2.0
// Checker: no owner takes an object for lost while a node has it that told it so, and has had it ever since.

import { objectId } from '#lib/ids.js'
import type { NodeId, WorkerId } from '#lib/wire/messages.js'
import type { Observed } from './observed.js'

export class KnownCopies {
  /** Of each object: nodes that have told its owner that they have it, and when it heard that last. */
  readonly #told = new Map<string, Map<NodeId, number>>()

  constructor(private readonly world: Observed) {}

  told(id: string, node: NodeId, now: number): void {
    const told = this.#told.get(id)
    if (told === undefined) this.#told.set(id, new Map([[node, now]]))
    else told.set(node, now)
  }

  /** What is wrong with its owner taking it for lost, as words; null when nothing is. */
  problem(owner: WorkerId, seq: number, deadNodes: ReadonlySet<NodeId>): string | null {
    const id = objectId(owner, seq)
    for (const node of this.world.nodes()) {
      const told = this.#told.get(id)?.get(node.name)
      const since = node.storedAt(id)
      if (told === undefined || since === null || since > told || deadNodes.has(node.name)) continue
      return `known copies: ${id} is taken for lost, and node ${node.name} has had it since before it said so`
    }
    return null
  }
}
