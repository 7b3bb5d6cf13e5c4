// SPDX-License-Identifier: Apache-2.0
// Ids of simulated nodes and processes, in the order in which they come up.

import type { NodeId, WorkerId } from '#lib/wire/messages.js'

export function nodeIdOf(index: number): NodeId {
  return `a${index.toString(16).padStart(9, '0')}`
}

export function processIdOf(nodeId: NodeId, slot: number): WorkerId {
  return `${nodeId}${slot.toString(16).padStart(4, '0')}bbbbbbbbbb`
}
