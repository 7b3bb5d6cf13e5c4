// SPDX-License-Identifier: Apache-2.0
// Messages by which work finds another node than that of its owner, and those of placement groups. P, N and H as in
// messages.ts; what nodes and head tell each other of bundles is in core/node/group-events.ts.

import type { Amounts, NodeId, WorkerId } from './messages.js'

/** How a node is chosen. `bundle` -1: any of the group. `capture`: what the task or actor submits goes into the group too. */
export type Strategy =
  | { is: 'default' }
  | { is: 'spread' }
  | { is: 'node'; nodeId: NodeId; soft: boolean }
  | { is: 'group'; groupId: string; bundle: number; capture: boolean }

/** Where something may run. `labels`: by name "v", "!v", "in(a,b)" or "!in(a,b)"; all must hold of the node. */
export interface Where {
  strategy: Strategy
  labels: Record<string, string>
}

/** Of a placement group: PACK and SPREAD are wishes, the others conditions. */
export type GroupStrategy = 'PACK' | 'SPREAD' | 'STRICT_PACK' | 'STRICT_SPREAD'

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

// Placement groups ---------------------------------------------------------------------------------------------------
export interface GroupSpec {
  groupId: string
  name: string | null
  namespace: string
  strategy: GroupStrategy
  bundles: Amounts[]
  /** It lives until it is removed, whatever becomes of the job that made it. */
  detached: boolean
  jobId: string
}
/** `rescheduling`: it was created, and has lost bundles since. */
export type GroupPhase = 'pending' | 'created' | 'rescheduling' | 'removed'

export interface GroupView {
  spec: GroupSpec
  phase: GroupPhase
  /** By bundle: the daemon of its node; null while it has none. */
  daemons: (WorkerId | null)[]
  /** Why it was removed, or is not created yet; null when there is nothing to say. */
  why: string | null
}
/** What a bundle needs. */
export interface BundleNeed {
  index: number
  amounts: Amounts
}
/** A bundle on a node, as the node tells a head that was restarted. */
export interface BundleSeat {
  groupId: string
  attempt: string
  index: number
  committed: boolean
}

// P -> H
export interface GroupCreate {
  is: 'groupCreate'
  spec: GroupSpec
}
export interface GroupRemove {
  is: 'groupRemove'
  groupId: string
}
/** Sends `groupState` now and at each change, until the group is removed. */
export interface GroupWatch {
  is: 'groupWatch'
  groupId: string
}
/** Answered by `groupNamed`. */
export interface GroupByName {
  is: 'groupByName'
  request: number
  name: string
  namespace: string
}

// H -> P
export interface GroupState {
  is: 'groupState'
  groupId: string
  /** Null: there is no such group any more. */
  view: GroupView | null
}
export interface GroupNamed {
  is: 'groupNamed'
  request: number
  view: GroupView | null
}

export type SchedulingMessage = Spill | WantRefused | GroupCreate | GroupRemove | GroupWatch | GroupByName | GroupState | GroupNamed
