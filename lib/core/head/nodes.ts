// SPDX-License-Identifier: Apache-2.0
// The nodes of the cluster. Today there is one, the head's own, which tells what is free when asked.

import type { NodeId } from '../../wire/messages.js'

export interface NodeEntry {
  readonly nodeId: NodeId
  readonly address: string
  readonly labels: Record<string, string>
  /** What there is and what is free now, as users write it. */
  readonly resources: () => { resources: Record<string, number>; available: Record<string, number> }
}

export class Nodes {
  readonly #entries = new Map<NodeId, NodeEntry>()

  register(entry: NodeEntry): void {
    this.#entries.set(entry.nodeId, entry)
  }

  rows(): unknown[] {
    return [...this.#entries.values()].map(({ nodeId, address, labels, resources }) => ({
      nodeId,
      address,
      alive: true,
      ...resources(),
      labels,
    }))
  }
}
