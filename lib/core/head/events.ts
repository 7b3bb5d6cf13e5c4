// SPDX-License-Identifier: Apache-2.0
// What the head hears and what it asks for, as data. Where the head is embedded, its node is the one in the same process.

import type { EaglerayError } from '../../errors.js'
import type { Control, NodeId, WorkerId } from '../../wire/messages.js'
import type { HeadToNode, NodeToHead } from '../node/events.js'

export interface HeadOptions {
  nodeId: NodeId
  /** Turns an error into the bytes that travel as `deathCause` (the codec is no business of core). */
  encodeError: (error: EaglerayError) => Uint8Array
}

export type HeadEvent = { is: 'message'; from: WorkerId; message: Control } | NodeToHead | { is: 'tick' }

export type HeadEffect = { is: 'send'; to: WorkerId; message: Control } | { is: 'toNode'; event: HeadToNode }
