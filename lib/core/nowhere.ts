// SPDX-License-Identifier: Apache-2.0
// That no node can take something: since when, when those who wait for it are to be warned, and when it is given up. Where
// nodes may join, the warning waits a while: who starts a program together with its nodes is not told of a lack that is gone
// a moment later.

import { limits } from '../options.js'
import type { Millis } from './machine.js'

export class Nowhere {
  #since: Millis | null = null
  #warned = false

  get holds(): boolean {
    return this.#since !== null
  }

  /** It was looked at anew. */
  found(isPossible: boolean, now: Millis): void {
    if (!isPossible) this.#since ??= now
    else {
      this.#since = null
      this.#warned = false
    }
  }

  /** True once: the warning is due. */
  warns(now: Millis, warnAfterMs: number): boolean {
    const at = this.warnAt(warnAfterMs)
    if (at === null || now < at) return false
    this.#warned = true
    return true
  }

  warnAt(warnAfterMs: number): Millis | null {
    return this.#since === null || this.#warned ? null : this.#since + warnAfterMs
  }

  isOver(now: Millis): boolean {
    const at = this.overAt()
    return at !== null && now >= at
  }

  overAt(): Millis | null {
    return this.#since === null ? null : this.#since + limits.infeasibleAfterMs
  }
}
