// SPDX-License-Identifier: Apache-2.0
// Which processes and nodes have died, or were declared dead, and when. A process that left because nobody needed it is not among them.

import { nodeOf } from '#lib/ids.js'
import type { NodeId, WorkerId } from '#lib/wire/messages.js'

export class Ends {
  readonly #ends = new Map<WorkerId | NodeId, number>()

  ended(id: WorkerId | NodeId, now: number): void {
    if (!this.#ends.has(id)) this.#ends.set(id, now)
  }

  has(id: WorkerId | NodeId): boolean {
    return this.#ends.has(id)
  }

  /** When that process ended, by itself or with its node; infinity: not yet. */
  of(process: WorkerId): number {
    return Math.min(...[process, nodeOf(process)].map(each => this.#ends.get(each) ?? Number.POSITIVE_INFINITY))
  }

  isOver(process: WorkerId): boolean {
    return this.of(process) < Number.POSITIVE_INFINITY
  }
}
