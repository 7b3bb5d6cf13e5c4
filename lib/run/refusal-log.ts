// SPDX-License-Identifier: Apache-2.0
// Refused peers in the log: one line for each peer and reason, and then at most one a minute that says how many more came.

import type { Refusal } from '../io/transport.js'
import { limits } from '../options.js'

export class RefusalLog {
  /** By peer and reason: when it was logged, and how often it came since. */
  readonly #seen = new Map<string, { at: number; since: number }>()

  constructor(
    private readonly log: (text: string) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  refused({ why, address, id }: Refusal): void {
    const who = id === null ? (address === '' ? 'a peer' : `a peer at ${address}`) : `node ${id}`
    const key = `${who}: ${why}`
    const seen = this.#seen.get(key)
    const now = this.now()
    if (seen !== undefined && now - seen.at < limits.refusalLogMs) {
      seen.since++
      return
    }
    const more = seen === undefined || seen.since === 0 ? '' : ` (and ${seen.since} times more since the last of these lines)`
    this.#seen.delete(key)
    this.#seen.set(key, { at: now, since: 0 })
    const [oldest] = this.#seen.keys()
    if (this.#seen.size > limits.refusalsKept && oldest !== undefined) this.#seen.delete(oldest)
    this.log(`eagleray: refused ${key}${more}`)
  }
}
