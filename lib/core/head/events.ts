// SPDX-License-Identifier: Apache-2.0
// What the head hears and what it asks for, as data.

import type { EaglerayError } from '../../errors.js'
import type { Control, NodeId, WorkerId } from '../../wire/messages.js'
import type { HeadToNode, NodeToHead } from '../node/events.js'
import type { Persist } from './tables.js'

export interface HeadOptions {
  /** The node in whose daemon it is embedded; null: it is a process of its own, and its nodes register. */
  nodeId: NodeId | null
  /** Turns an error into the bytes that travel as `deathCause` (the codec is no business of core). */
  encodeError: (error: EaglerayError) => Uint8Array
  clusterId: string
  /** Names this run of the head. */
  epoch: string
  nodeDeadAfterMs: number
}

export type HeadEvent =
  /** From a process of its own node, where it is embedded. */
  | { is: 'message'; from: WorkerId; message: Control }
  | NodeToHead
  /** From a daemon. */
  | { is: 'fromDaemon'; nodeId: NodeId; message: Control }
  /** Nothing more has come for now: what is kept is acknowledged. */
  | { is: 'turnEnd' }
  | { is: 'tick' }

export type HeadEffect =
  | { is: 'send'; to: WorkerId; message: Control }
  | { is: 'toNode'; nodeId: NodeId; event: HeadToNode }
  | { is: 'toDaemon'; nodeId: NodeId; message: Control }
  /** That node is dead, or none of the cluster: its link is closed. */
  | { is: 'forget'; nodeId: NodeId }
  | Persist
