// SPDX-License-Identifier: Apache-2.0
// Messages about objects whose owner is dead. A node daemon then stands in for it, for the processes of its node.

import type { NodeId, WorkerId } from './messages.js'

// P -> N ------------------------------------------------------------------------------------------------------------
/** The sender borrows these objects of the dead `owner`. Answered by `adopted`. */
export interface Adopt {
  is: 'adopt'
  ack: number
  owner: WorkerId
  seqs: number[]
}
/** As `unborrow`. */
export interface Disown {
  is: 'disown'
  owner: WorkerId
  seqs: number[]
}
/** The sender has heard of the end of that process or node, and has said what it borrows of what was there. */
export interface Mourned {
  is: 'mourned'
  id: WorkerId | NodeId
}

// N -> P ------------------------------------------------------------------------------------------------------------
/** All but `missing` are in the store of some node, and stay there. */
export interface Adopted {
  is: 'adopted'
  ack: number
  missing: number[]
}

// N -> N ------------------------------------------------------------------------------------------------------------
/** Processes of the sender's node borrow these of the dead `owner`, and it has no copies. Answered by `claimed`. */
export interface Claim {
  is: 'claim'
  owner: WorkerId
  seqs: number[]
}
/** Of the `seqs` asked for, those that the sender has and keeps, as [number, bytes]. */
export interface Claimed {
  is: 'claimed'
  owner: WorkerId
  seqs: number[]
  kept: [number, number][]
}
export interface Unclaim {
  is: 'unclaim'
  owner: WorkerId
  seqs: number[]
}

export type AdoptionMessage = Adopt | Disown | Mourned | Adopted | Claim | Claimed | Unclaim
