// SPDX-License-Identifier: Apache-2.0
// Checker: an actor gets the calls of each caller in the order they were made, and each at most once.

import type { WorkerId } from '#lib/wire/messages.js'

export class CallOrder {
  readonly #last = new Map<WorkerId, number>()

  /** What is wrong with that call coming now; null when nothing is. Calls are numbered by their callers, upwards. */
  problem(caller: WorkerId, call: number): string | null {
    const last = this.#last.get(caller) ?? 0
    this.#last.set(caller, call)
    return call > last ? null : `call ${call} of ${caller} came after ${last}`
  }
}
