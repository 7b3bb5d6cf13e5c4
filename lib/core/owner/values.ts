// SPDX-License-Identifier: Apache-2.0
// The state of values: from unknown or pending to one of three ends, once. Whoever waits hears of it in one place.

import { nodeOf, ownerOf, seqOf } from '../../ids.js'
import type { Control, NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Effect } from './effects.js'
import { type Entry, STATE } from './entry.js'
import type { ContainedRef, Outcome } from './outcome.js'
import type { References } from './references.js'

export class Values {
  private readonly toFetch = new Map<WorkerId, number[]>()
  /** Objects of this process that were let go of, and that somebody needs after all. */
  readonly wanted: Entry[] = []
  /** Whether a value that was there has ever been lost: then an argument that was there may not be. */
  everLost = false
  private readonly node: NodeId

  constructor(private readonly references: References) {
    this.node = nodeOf(references.self)
  }

  /** Settles an entry, unless it is already: a late second result (of a retried or cancelled task) changes nothing. Gives whether it did. */
  settle(entry: Entry, outcome: Outcome, out: Effect[]): boolean {
    if (entry.settled) return false
    switch (outcome.form) {
      case 'plain':
        entry.plain = outcome.value
        entry.state = STATE.inline
        break
      case 'inline':
        entry.envelope = outcome.envelope
        entry.sizeBytes = outcome.envelope.length
        entry.state = STATE.inline
        break
      case 'stored':
        entry.sizeBytes = outcome.sizeBytes
        entry.state = STATE.stored
        entry.nodes = entry.owner !== null || outcome.node === undefined || outcome.node === this.node ? null : new Set([outcome.node])
        break
      case 'alias':
        entry.sizeBytes = outcome.sizeBytes
        entry.storedAs = outcome.id
        entry.state = STATE.stored
        if (entry.owner === null) this.contain(entry, [{ owner: ownerOf(outcome.id), seq: seqOf(outcome.id), isActor: false }])
        break
      case 'failed':
        entry.error = outcome.error
        entry.state = STATE.failed
        break
    }
    entry.task = null
    out.push({ is: 'settled', entry })
    if (entry.subscribers !== null) {
      for (const to of entry.subscribers) out.push({ is: 'value', to, entry })
      entry.subscribers = null
    }
    return true
  }

  /** A result that was stored for nobody: late, or by a run whose end was told otherwise. Never one that is the value. */
  discard(seq: number, elsewhere: boolean, out: Effect[]): void {
    const entry = this.references.owned.get(seq)
    if (entry?.state !== STATE.stored || entry.storedAs !== null) out.push({ is: 'discard', seq, elsewhere })
    else if (elsewhere) entry.scattered = true
  }

  /** A value of this process is not there any more, and may be once more. */
  reopen(entry: Entry): void {
    this.everLost = true
    entry.losses++
    entry.state = STATE.pending
    entry.resting = false
  }

  /** A borrowed value in the store went with its owner: whoever asks from now on hears why. */
  lose(entry: Entry, error: Error, out: Effect[]): void {
    if (entry.state === STATE.stored) {
      this.everLost = true
      entry.state = STATE.failed
      entry.error = error
    } else this.settle(entry, { form: 'failed', error }, out)
  }

  /** The entry holds the refs inside its value for as long as it lives. */
  contain(entry: Entry, refs: ContainedRef[]): void {
    assert(entry.contained === null, 'a value is given its contents twice')
    entry.contained = refs.map(ref => {
      const inner = this.references.refer(ref.owner, ref.seq, ref.isActor)
      inner.holds++
      return inner
    })
  }

  /** Someone needs a value: of a borrowed one ask its owner, once. */
  need(entry: Entry): void {
    if (entry.state === STATE.released) this.wanted.push(entry)
    // Of a dead owner the daemon says whether it is anywhere.
    if (entry.owner === null || entry.asked || entry.settled || this.references.isDead(entry.owner)) return
    entry.asked = true
    const list = this.toFetch.get(entry.owner)
    if (list === undefined) this.toFetch.set(entry.owner, [entry.seq])
    else list.push(entry.seq)
  }

  /** A borrower asks for values of ours: now, or when they are there. */
  fetched(from: WorkerId, seqs: number[], out: Effect[]): void {
    for (const seq of seqs) {
      const entry = this.references.refer(this.references.self, seq, false)
      if (entry.settled) {
        out.push({ is: 'value', to: from, entry })
        if (!entry.unreferenced) continue
        // Freed before it was asked for: what says so is kept no longer than this answer.
        entry.seen = true
        this.references.maybeDrop(entry, out)
      } else {
        entry.subscribers ??= []
        entry.subscribers.push(from)
        this.need(entry)
      }
    }
  }

  /** That owner will answer nothing any more. */
  ownerDied(owner: WorkerId): void {
    this.toFetch.delete(owner)
  }

  flush(send: (to: WorkerId, message: Control) => void): void {
    for (const [owner, seqs] of this.toFetch) send(owner, { is: 'fetch', seqs })
    this.toFetch.clear()
  }

  get quiet(): boolean {
    return this.toFetch.size === 0
  }
}
