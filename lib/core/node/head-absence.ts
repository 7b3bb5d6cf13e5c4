// SPDX-License-Identifier: Apache-2.0
// Since when a node has had no answer of its head, and who is told: drivers after a while, and again when it is over.
//
//   there --away--> silent --headSilenceTellMs--> told --there--> over (told once) --> there

import { limits } from '../../options.js'
import type { Millis } from '../machine.js'

export class HeadAbsence {
  #since: Millis | null = null
  #isTold = false
  /** The head is there, and waits for what it keeps its tables in: what it says of that. */
  storage: string | null = null

  get isAway(): boolean {
    return this.#since !== null
  }

  /** Drivers have been told, and not that it is over. */
  get isTold(): boolean {
    return this.#isTold
  }

  /** `hears`: the head is linked and knows this node. Gives what drivers are to be told now: that it is away (true), or back (false). */
  look(hears: boolean, now: Millis): boolean | null {
    if (hears && this.storage === null) {
      this.#since = null
      if (!this.#isTold) return null
      this.#isTold = false
      return false
    }
    this.#since ??= now
    if (this.#isTold || now < this.#since + limits.headSilenceTellMs) return null
    this.#isTold = true
    return true
  }

  deadline(): Millis | null {
    return this.#since === null || this.#isTold ? null : this.#since + limits.headSilenceTellMs
  }
}
