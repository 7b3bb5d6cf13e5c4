// SPDX-License-Identifier: Apache-2.0
// Checker: nobody is told that an object went with its owner while a node has it that had it when the owner died, whoever
// else was killed meanwhile.

import { nodeOf, ownerOf } from '#lib/ids.js'
import type { NodeId, WorkerId } from '#lib/wire/messages.js'
import type { Observed } from './observed.js'

/** As the daemon, or the process itself, says of objects of the dead. */
const WITH_OWNER = /the object ([0-9a-f]{40}) is lost(?:: the process (?:[0-9a-f]{24} )?that owned it|, and no store has a copy)/g

export class Copies {
  /** When processes ended, and nodes: they died, or were declared dead. */
  readonly #ends = new Map<WorkerId | NodeId, number>()

  constructor(private readonly world: Observed) {}

  ended(id: WorkerId | NodeId, now: number): void {
    if (!this.#ends.has(id)) this.#ends.set(id, now)
  }

  /** What is wrong with somebody seeing that failure, as words; null when nothing is. */
  problem(text: string): string | null {
    for (const [, id] of text.matchAll(WITH_OWNER)) {
      const problem = this.#problemOf(id as string)
      if (problem !== null) return `copies: ${problem}: ${text}`
    }
    return null
  }

  #problemOf(id: string): string | null {
    const owner = ownerOf(id)
    const end = Math.min(...[owner, nodeOf(owner)].map(each => this.#ends.get(each) ?? Number.POSITIVE_INFINITY))
    if (end === Number.POSITIVE_INFINITY) return `its owner lives, and it is said to be lost with it`
    for (const node of this.world.nodes()) {
      const since = this.#ends.has(node.name) ? null : node.storedAt(id)
      if (since !== null && since <= end) return `node ${node.name} has it since before its owner died, and it is said to be lost`
    }
    return null
  }
}
