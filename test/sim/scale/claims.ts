// SPDX-License-Identifier: Apache-2.0
// The claim words that an owner shares with each worker of its own node.

import type { WorkerId } from '#lib/wire/messages.js'
import { CLAIM } from '../frames.js'

export class Claims {
  readonly #words = new Map<string, Uint8Array>()

  queued(owner: WorkerId, worker: WorkerId, claim: number): void {
    let words = this.#words.get(owner + worker)
    if (words === undefined) this.#words.set(owner + worker, (words = new Uint8Array(256)))
    words[claim] = CLAIM.queued
  }

  /** The owner takes a task back; false when the worker has begun it. */
  revoke(owner: WorkerId, worker: WorkerId, claim: number): boolean {
    const words = this.#words.get(owner + worker)
    if (words?.[claim] !== CLAIM.queued) return false
    words[claim] = CLAIM.revoked
    return true
  }

  /** The worker begins a task; false when that was taken back. Of an owner on another node there are no words. */
  begin(owner: WorkerId, worker: WorkerId, claim: number): boolean {
    const words = this.#words.get(owner + worker)
    if (words === undefined) return true
    const mine = words[claim] === CLAIM.queued
    words[claim] = mine ? CLAIM.claimed : CLAIM.free
    return mine
  }
}
