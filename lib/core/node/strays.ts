// SPDX-License-Identifier: Apache-2.0
// What lies in a node's store and belongs to living processes of other nodes, though they may not know: a run of a task put
// its result there and was killed before its answer left, and another run gave the value. Such an owner has copies deleted
// everywhere when it drops the object, but whatever comes later, or was not heard of, would stay for ever. So owners are told
// from time to time what is here of theirs, and have deleted what they have no use for.
//
// Invariant: an owner is told of an object only after it has been here for a while, and then ever more seldom, so that what is
// known and lives long costs little.

import { ownerOf, seqOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { WorkerId } from '../../wire/messages.js'
import type { Millis } from '../machine.js'

interface Seen {
  /** When its owner is told of it (again). */
  at: Millis
  pauseMs: number
}

export class Strays {
  private seen = new Map<string, Seen>()

  /** `ids`: all that is here of other nodes' processes. Gives what those are to be told of, by owner. */
  look(ids: Iterable<string>, now: Millis): Map<WorkerId, number[]> {
    const [first, longest] = limits.copiesHeldMs
    const still = new Map<string, Seen>()
    const due = new Map<WorkerId, number[]>()
    for (const id of ids) {
      const seen = this.seen.get(id) ?? { at: now + first, pauseMs: first }
      still.set(id, seen)
      if (now < seen.at) continue
      seen.pauseMs = Math.min(longest, 2 * seen.pauseMs)
      seen.at = now + seen.pauseMs
      const owner = ownerOf(id)
      const seqs = due.get(owner)
      if (seqs === undefined) due.set(owner, [seqOf(id)])
      else seqs.push(seqOf(id))
    }
    this.seen = still
    return due
  }
}
