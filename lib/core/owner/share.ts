// SPDX-License-Identifier: Apache-2.0
// How many of its leases an owner gives up for others: those that they must have, and beyond these down to what they have, half of
// the difference at most, and no more than half of all within a quantum, because many nodes ask at once, of what they heard some time ago.

import { limits } from '../../options.js'
import type { Reclaim } from '../../wire/messages.js'
import { holdsMore } from '../fair.js'
import type { Millis } from '../machine.js'

export class Share {
  #since: Millis = Number.NEGATIVE_INFINITY
  #left = 0

  /**
   * How many of `count` that somebody asks for beyond what was promised, `must` of which are given in any case; null: none, for it has no
   * more than they. `mine`: without what was promised.
   */
  toGive(count: number, { held, must }: Pick<Reclaim, 'held' | 'must'>, mine: number, now: Millis): number | null {
    const sure = Math.min(count, must)
    if (!holdsMore(mine, held)) return sure > 0 ? sure : null
    if (now - this.#since >= limits.leaseQuantumMs) {
      this.#since = now
      this.#left = Math.ceil(mine / 2)
    }
    const given = Math.max(sure, Math.min(count, this.#left, Math.max(1, Math.floor((mine - held) / 2))))
    this.#left = Math.max(0, this.#left - given)
    return given
  }
}
