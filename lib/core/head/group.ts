// SPDX-License-Identifier: Apache-2.0
// One placement group as the head knows it, and its views.
//
//   pending --all bundles prepared--> created --a node with bundles dies--> rescheduling --those prepared--> created
//      \______________________________________\____________________________________\--> removed (final)
//
// Invariants: every bundle has a seat exactly in created; at most one attempt at a time, for exactly those without one.

import type { GroupPhase, GroupSpec, GroupView, NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import { Nowhere } from '../nowhere.js'
import { fromAmounts } from '../resources.js'

/** Where a bundle is, and the attempt that took it. */
export interface Seat {
  readonly nodeId: NodeId
  readonly attempt: string
}

/** All nodes that are to take bundles are asked, and none serves before all have answered. */
export interface Attempt {
  readonly id: string
  /** Indexes of the bundles of each. */
  readonly nodes: ReadonlyMap<NodeId, readonly number[]>
  readonly prepared: Set<NodeId>
}

export interface Group {
  readonly spec: GroupSpec
  phase: GroupPhase
  readonly seats: (Seat | null)[]
  attempt: Attempt | null
  /** Nodes that had no room after all, since it was tried anew. */
  readonly refusedBy: Set<NodeId>
  /** Why it was removed, or cannot be placed now. */
  why: string | null
  /** Whether its bundles would not all fit if nothing ran. */
  readonly nowhere: Nowhere
}

/** As it is kept. */
export interface GroupRow {
  spec: GroupSpec
  phase: GroupPhase
  seats: (Seat | null)[]
  why: string | null
}

export function newGroup(spec: GroupSpec): Group {
  const seats = spec.bundles.map(() => null)
  return { spec, phase: 'pending', seats, attempt: null, refusedBy: new Set(), why: null, nowhere: new Nowhere() }
}

export function viewOf({ spec, phase, seats, why }: Group, daemonOf: (nodeId: NodeId) => WorkerId): GroupView {
  return { spec, phase, daemons: seats.map(seat => (seat === null ? null : daemonOf(seat.nodeId))), why }
}

/** A row of the state API. */
export function rowOfGroup({ spec, phase, seats, why }: Group): unknown {
  const { groupId, name, namespace, strategy, bundles } = spec
  const nodeIds = seats.map(seat => seat?.nodeId ?? null)
  return { placementGroupId: groupId, name, namespace, strategy, state: phase, bundles: bundles.map(fromAmounts), nodeIds, reason: why }
}

export function checkGroup({ spec, phase, seats, attempt }: Group): void {
  const missing = seats.flatMap((seat, index) => (seat === null ? [index] : []))
  assert(seats.length === spec.bundles.length, 'a group has another number of seats than of bundles')
  assert(phase !== 'created' || missing.length === 0, 'a group is created without all of its bundles')
  assert(phase === 'rescheduling' || missing.length === 0 || missing.length === seats.length, `a ${phase} group has some of its bundles`)
  if (attempt === null) return
  assert(phase === 'pending' || phase === 'rescheduling', `a ${phase} group is being placed`)
  const tried = [...attempt.nodes.values()].flat().sort((a, b) => a - b)
  assert(tried.join() === missing.join(), 'an attempt places other bundles than those without a seat')
}
