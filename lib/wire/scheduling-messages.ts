// SPDX-License-Identifier: Apache-2.0
// Messages by which work finds another node than that of its owner.

import type { WorkerId } from './messages.js'

// N -> P ------------------------------------------------------------------------------------------------------------
/** From the owner's node: for `counts[i]` of the workers wanted of it, the node `to[i]` is to be asked. */
export interface Spill {
  is: 'spill'
  classKey: string
  to: WorkerId[]
  counts: number[]
}
/** From another node: so many of the workers wanted of it are not to be had there now. */
export interface WantRefused {
  is: 'wantRefused'
  classKey: string
  count: number
}

export type SchedulingMessage = Spill | WantRefused
