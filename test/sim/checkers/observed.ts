// SPDX-License-Identifier: Apache-2.0
// What checkers see of a world.

import type { Actor } from '#lib/core/head/actor.js'
import type { Node } from '#lib/core/node/node.js'
import type { GroupPhase, GroupStrategy, NodeId, WorkerId } from '#lib/wire/messages.js'
import type { SimProcess } from '../process.js'

export interface ObservedNode {
  readonly name: string
  readonly machine: Node
  /** As users write it. */
  readonly total: Record<string, number>
  /** Ids of the objects in its store. */
  readonly stored: Iterable<string> & { has(id: string): boolean }
  /** Since when it has that object, without a break; null when it has not. */
  storedAt(id: string): number | null
}

export interface ObservedGroup {
  readonly placementGroupId: string
  readonly strategy: GroupStrategy
  readonly state: GroupPhase
  readonly nodeIds: (NodeId | null)[]
}

/** `executed`: the process of an actor that a program has killed. */
export type ExpectedEnd = 'executed' | 'with its job'

export interface Observed {
  /** Processes that were killed so far, by whoever. */
  readonly killed: number
  /** Whether what dead processes owned is removed from the stores. */
  readonly isSwept: boolean
  /** An object vanished: what is made again finds of others what was freed since, and is told so. */
  readonly isLossy: boolean
  /** Whether its job is over, so that it may go at any moment with what it owns. */
  isEnding(process: SimProcess): boolean
  /** How that process has ended, where nobody minds. */
  endOf(process: WorkerId): ExpectedEnd | null
  /** Processes that live. */
  living(): Iterable<SimProcess>
  process(id: WorkerId): SimProcess | undefined
  nodes(): Iterable<ObservedNode>
  actors(): Iterable<Actor>
  /** As the state API shows them. */
  groups(): Iterable<ObservedGroup>
  /** The actor that the head finds by that name; null when none. */
  named(name: string, namespace: string): string | null
}
