// SPDX-License-Identifier: Apache-2.0
// Checker: a task or call runs at most once, and as often again as its caller allowed, however often processes die or values are lost.

import type { WorkerId } from '#lib/wire/messages.js'

export class Executions {
  readonly #counts = new Map<string, number>()

  constructor(private readonly faults: string[]) {}

  /** `retries`: -1 without limit. */
  runs(caller: WorkerId, seq: number, retries: number): void {
    const key = `${caller} ${seq}`
    const count = (this.#counts.get(key) ?? 0) + 1
    this.#counts.set(key, count)
    if (retries >= 0 && count > retries + 1)
      this.faults.push(`executions: ${seq} of ${caller} runs for the ${count}th time, with ${retries} retries`)
  }
}
