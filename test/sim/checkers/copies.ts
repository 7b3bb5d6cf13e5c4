// SPDX-License-Identifier: Apache-2.0
// Checker: nobody is told that an object went with its owner while a node has it that had it when the owner died, whoever
// else was killed meanwhile.

import { ownerOf } from '#lib/ids.js'
import type { Ends } from './ends.js'
import type { Observed } from './observed.js'
import type { Travels } from './travels.js'

/** As the daemon, or the process itself, says of objects of the dead. */
const WITH_OWNER = /the object ([0-9a-f]{40}) is lost(?:: the process (?:[0-9a-f]{24} )?that owned it|, and no store has a copy)/g

export class Copies {
  constructor(
    private readonly world: Observed,
    private readonly ends: Ends,
    private readonly travels: Travels,
  ) {}

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
    if (this.world.process(owner) !== undefined && !this.ends.isOver(owner)) return `its owner lives, and it is said to be lost with it`
    const end = this.ends.of(owner)
    // Its owner left, needed by nobody as far as it knew.
    if (end === Number.POSITIVE_INFINITY) return this.travels.problem(id)
    for (const node of this.world.nodes()) {
      const since = this.ends.has(node.name) ? null : node.storedAt(id)
      if (since !== null && since <= end) return `node ${node.name} has it since before its owner died, and it is said to be lost`
    }
    return null
  }
}
