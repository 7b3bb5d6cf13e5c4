// SPDX-License-Identifier: Apache-2.0
// Nobody starves: a request that others which fit are served before is, after a while, protected. Then what it lacks is
// given to nobody else, so that it gathers. Not for ever, since its turn might need theirs (a task holding a GPU waits for
// one that wants a CPU): times of holding back, which double, alternate with times half as long in which all are served.

import { limits } from '../../options.js'
import type { Millis } from '../machine.js'
import type { Ledger } from './ledger.js'
import type { Request } from './requests.js'

export class Guard {
  readonly #ledger: Ledger
  #protected: Request | null = null
  /** What it lacked at any time since others are held back: what has gathered must not go again while the rest does. */
  readonly #lacking = new Set<string>()
  /** When the picture changes by time alone; infinity when it does not. */
  changesAt: Millis = Number.POSITIVE_INFINITY

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** Looks for the request that has waited longest among those that only resources keep waiting. To be called before each round of grants. */
  look(requests: Iterable<Request>, now: Millis): void {
    const before = this.#protected
    this.#protected = null
    this.changesAt = Number.POSITIVE_INFINITY
    let oldest: Request | null = null
    for (const request of requests) {
      if (request.notHere || this.#ledger.fits(request.need)) continue
      if (oldest === null || request.waitingSince < oldest.waitingSince) oldest = request
    }
    if (oldest === null) return
    const { active, changesAt } = turn(oldest.waitingSince, now)
    this.changesAt = changesAt
    if (!active) return
    if (before !== oldest) this.#lacking.clear()
    this.#protected = oldest
    for (const name of this.#ledger.lacking(oldest.need)) this.#lacking.add(name)
  }

  /** Whether serving this request, which has waited less long, would take what the protected one lacks. */
  holdsBack(request: Request): boolean {
    if (this.#protected === null || request.waitingSince <= this.#protected.waitingSince) return false
    for (const name of this.#lacking) if ((request.need[name] ?? 0) > 0) return true
    return false
  }
}

/** Whether others are held back for one that waits since then, and when that changes. */
function turn(waitingSince: Millis, now: Millis): { active: boolean; changesAt: Millis } {
  let at = waitingSince + limits.starvedAfterMs
  if (now < at) return { active: false, changesAt: at }
  for (let length: number = limits.holdBackMs[0]; ; length = Math.min(length * 2, limits.holdBackMs[1])) {
    if (now < at + length) return { active: true, changesAt: at + length }
    at += length
    if (now < at + length / 2) return { active: false, changesAt: at + length / 2 }
    at += length / 2
  }
}
