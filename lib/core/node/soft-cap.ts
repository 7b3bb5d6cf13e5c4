// SPDX-License-Identifier: Apache-2.0
// Tasks that need no CPU are bounded by nothing but processes. Of one class so many run at once, and one more after a
// pause that doubles, because they might wait for each other in ways the node cannot see.
//
// Invariant: `extra` grows only while the class is at its bound, and is forgotten when it runs nothing.

import { limits } from '../../options.js'
import type { Millis } from '../machine.js'

interface Cap {
  running: number
  extra: number
  growAt: Millis | null
  pause: number
}

export class SoftCap {
  readonly #base: number
  readonly #classes = new Map<string, Cap>()

  constructor(cpus: number) {
    this.#base = Math.max(limits.cpulessTasksMax, 2 * cpus)
  }

  began(key: string): void {
    this.#cap(key).running++
  }

  ended(key: string): void {
    const cap = this.#cap(key)
    cap.running--
    if (cap.running <= 0) this.#classes.delete(key)
  }

  /** How many more of the class may run now. Asking when it is none starts the pause. */
  room(key: string, now: Millis): number {
    const cap = this.#classes.get(key)
    if (cap === undefined) return this.#base
    if (cap.running < this.#base + cap.extra) return this.#base + cap.extra - cap.running
    if (cap.growAt === null) cap.growAt = now + cap.pause
    if (now < cap.growAt) return 0
    cap.extra++
    cap.pause = Math.min(limits.cpulessGrowthMs[1], cap.pause * 2)
    cap.growAt = null
    return 1
  }

  /** When there will be room for one more, after `room` gave none. */
  growsAt(key: string): Millis {
    return this.#classes.get(key)?.growAt ?? Number.POSITIVE_INFINITY
  }

  #cap(key: string): Cap {
    let cap = this.#classes.get(key)
    if (cap === undefined) this.#classes.set(key, (cap = { running: 0, extra: 0, growAt: null, pause: limits.cpulessGrowthMs[0] }))
    return cap
  }
}
