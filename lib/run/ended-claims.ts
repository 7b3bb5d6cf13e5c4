// SPDX-License-Identifier: Apache-2.0
// Claim words of channels that closed before the death of their process was told: they say which of the tasks sent there
// had begun, which decides whether running them again counts as a retry.

import type { Peer } from '../io/mesh.js'
import type { WorkerId } from '../wire/messages.js'
import { CLAIM } from './dispatch.js'

export class EndedClaims {
  private readonly words = new Map<WorkerId, Int32Array>()

  /** `alive`: what that process has not begun it must not begin any more, since others will be given it. */
  keep(peer: Peer, alive: boolean): void {
    const { mine } = peer.claims
    if (alive) for (let claim = 0; claim < mine.length; claim++) Atomics.compareExchange(mine, claim, CLAIM.queued, CLAIM.revoked)
    this.words.set(peer.workerId, Int32Array.from(mine))
  }

  /** A task was given a word after the channel had closed: what the word says is of the task that had it before. */
  neverSent(workerId: WorkerId, claim: number): void {
    const words = this.words.get(workerId)
    if (words !== undefined) words[claim] = CLAIM.queued
  }

  /** Whether the task behind a word had begun when that process died, whose channel may still be open. */
  begun(workerId: WorkerId, open: Peer | null): (claim: number) => boolean {
    const words = open === null ? this.words.get(workerId) : Int32Array.from(open.claims.mine)
    this.words.delete(workerId)
    return claim => words?.[claim] === CLAIM.claimed
  }
}
