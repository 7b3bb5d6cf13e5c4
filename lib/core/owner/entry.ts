// SPDX-License-Identifier: Apache-2.0
// What an owner keeps for each object it owns or borrows. A plain record that the machines of this folder share:
// references.ts moves the counts, values.ts the state; nobody else writes them.

import type { NodeId, WorkerId } from '../../wire/messages.js'
import type { ActorCall } from './actor-calls.js'
import type { Recipe } from './lineage.js'
import type { Task } from './task.js'

/**
 * State of a value: only forward, except that a borrowed entry starts `unknown` and an owned one `pending`, and that a stored one that is
 * lost is pending again while it is made anew. `released`: it was stored, nobody wants the value, but lineage may lead here.
 */
export const STATE = { released: -1, unknown: 0, pending: 1, inline: 2, stored: 3, failed: 4 } as const
export type State = (typeof STATE)[keyof typeof STATE]

/**
 * Invariants:
 *  - it is in its table exactly while it is pending, or one of `local`, `holds`, `borrowers`, `lineage` is not empty, unless it
 *    is private: then it is in none;
 *  - `contained` refs each carry one of their `holds` for this entry; one of their `lineage` instead, where they are of this
 *    process, while this entry rests;
 *  - `owner` is null for an object of this process, else the WorkerId of the process that owns it.
 */
export class Entry {
  state: State
  /** `inline`: the value itself when it is a small immutable one (`plain`), else its envelope. */
  plain: unknown = undefined
  envelope: Uint8Array | null = null
  /** `failed`: why; an Error made here, or one encoded by the process where it happened. */
  error: Error | Uint8Array | null = null
  sizeBytes = 0
  /** `stored`, where the value is that of another object: the id under which the store has it. `contained` holds that object. */
  storedAs: string | null = null
  /** How often its value has been lost, or let go of. */
  losses = 0
  /** `stored`, of this process: the nodes that have it, unless that is only its own node. */
  nodes: Set<NodeId> | null = null
  /** An earlier run of its task on another node may have stored a value that nobody knows of. */
  scattered = false
  /** ObjectRefs (or handles) of this process that are alive. */
  local = 0
  /** Pending tasks that take it as argument, containers that hold it, results on their way. */
  holds = 0
  borrowers: Set<WorkerId> | null = null
  /** Recipes that take it as argument, and resting values that hold it. They keep how it was made, not its value. */
  lineage = 0
  /** Nothing but lineage has a use for it. */
  resting = false
  /** How it can be made again; null when it cannot, and `unmade` says why (null: it was put). */
  made: Recipe | null = null
  unmade: string | null = null
  contained: Entry[] | null = null
  /** The task that makes it, while that is pending. */
  task: Task | ActorCall | null = null
  /** Tasks and calls that wait for it as an argument. */
  dependents: (Task | ActorCall)[] | null = null
  /** Borrowers who want the value when it is there. */
  subscribers: WorkerId[] | null = null
  /** Whether anyone of this process looked at the failure; an unseen one is reported when dropped. */
  seen = false
  /** Whether the owner has been asked for the value (borrowed entries). */
  asked = false
  dropped = false
  /** Settled, small, and known to nobody but the refs of this process: it is in no table, and goes with them. */
  isPrivate = false
  /** The shell's: the first ref, while it is not decided whether its end must be noticed. */
  firstRef: unknown = null
  /** The shell's: what waits for the value in this process, and the id's text once needed. */
  waiters: ((entry: Entry) => void)[] | null = null
  id: string | null = null
  callSite: string | null = null
  createdAtMs = 0
  /** Scratch for duplicate checks over lists of refs. */
  mark = 0

  constructor(
    readonly owner: WorkerId | null,
    readonly seq: number,
    /** An actor's entry has no value: it counts the handles. */
    readonly isActor: boolean,
  ) {
    this.state = owner === null ? STATE.pending : STATE.unknown
  }

  get settled(): boolean {
    return this.state >= STATE.inline
  }

  get unreferenced(): boolean {
    return this.local === 0 && this.holds === 0 && (this.borrowers === null || this.borrowers.size === 0)
  }
}
