// SPDX-License-Identifier: Apache-2.0
// Messages about objects: who refers to them, where they are, and how they get from node to node. The bytes of large ones go
// over the data channel (lib/io/data), never in a message.

import type { NodeId } from './messages.js'

// P -> P ------------------------------------------------------------------------------------------------------------
/** The sender now borrows these objects of the receiver. Answered by `borrowed`. */
export interface Borrow {
  is: 'borrow'
  ack: number
  seqs: number[]
}
export interface Borrowed {
  is: 'borrowed'
  ack: number
  missing: number[]
}
export interface Unborrow {
  is: 'unborrow'
  seqs: number[]
}
/** Asks the owner for values; each comes as a `value` frame once it is there. */
export interface Fetch {
  is: 'fetch'
  seqs: number[]
}
/** The caller has registered the refs inside the results of these tasks: the executor's hold may go. */
export interface ReturnsHeld {
  is: 'returnsHeld'
  tasks: number[]
}
/** What the pulled object is needed for. */
export type PullWhy = 'get' | 'wait' | 'argument'

// P -> N ------------------------------------------------------------------------------------------------------------
/** The sender needs an object that is not in its node's store. Answered by `pulled` or `pullFailed`; again with another reason sets that. */
export interface PullObject {
  is: 'pull'
  id: string
  why: PullWhy
}
/** It has read it, or needs it no more. */
export interface PullEnd {
  is: 'pullEnd'
  id: string
}
/** From an owner: objects of its own are needed no more, and these nodes have copies. */
export interface FreeCopies {
  is: 'freeCopies'
  nodes: NodeId[]
  ids: string[]
}

// N -> P ------------------------------------------------------------------------------------------------------------
/** It is in the store, and stays there until the sender of `pull` says `pullEnd` (within `pullHoldMs`). */
export interface Pulled {
  is: 'pulled'
  id: string
}
export interface PullFailed {
  is: 'pullFailed'
  id: string
  /** An encoded error (codec/error-value). */
  error: Uint8Array
}
/** To the owner: where are these objects? Answered by `located` for each; for one that is pending, once more when it is not. */
export interface Locate {
  is: 'locate'
  seqs: number[]
}
/** To the owner: the sender's node has a whole copy now. */
export interface CopyAdded {
  is: 'copyAdded'
  seqs: number[]
}
/** To the owner: the sender's node has had these for a while, however they came there. What the owner has no use for it frees. */
export interface CopiesHeld {
  is: 'copiesHeld'
  seqs: number[]
}
/** To the owner: the sender's node does not want a copy any more. */
export interface CopyStopped {
  is: 'copyStopped'
  seqs: number[]
}
/** To the owner: these nodes have no copy. Answered by `located`. */
export interface CopyMissing {
  is: 'copyMissing'
  seq: number
  nodes: NodeId[]
  /** As the owner said when it named them: of a value that was lost since it says nothing. */
  losses: number
}

/** P -> N, from the owner. */
export interface Located {
  is: 'located'
  seq: number
  state: 'stored' | 'pending' | 'failed' | 'gone'
  /** Where to get it from: nodes that have it, or are getting it. */
  nodes: NodeId[]
  sizeBytes: number
  /** How often its value has been lost so far. */
  losses: number
  /** Of one that failed. */
  error: Uint8Array | null
}

// N -> N ------------------------------------------------------------------------------------------------------------
/** The owner, a process of the sender's node, needs these no more. */
export interface FreeObjects {
  is: 'free'
  ids: string[]
}

export type ObjectMessage =
  | Borrow
  | Borrowed
  | Unborrow
  | Fetch
  | ReturnsHeld
  | PullObject
  | PullEnd
  | FreeCopies
  | Pulled
  | PullFailed
  | Locate
  | CopyAdded
  | CopiesHeld
  | CopyStopped
  | CopyMissing
  | Located
  | FreeObjects
