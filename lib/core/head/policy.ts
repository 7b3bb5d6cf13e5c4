// SPDX-License-Identifier: Apache-2.0
// Which node an actor goes to. The head asks; what decides is handed in.

import type { ActorSpec, NodeId, NodeView } from '../../wire/messages.js'
import { fits } from '../resources.js'

export interface PlacementNeed {
  readonly spec: ActorSpec
  /** Where its creator runs. */
  readonly home: NodeId
  /** Nodes that refused it just now. */
  readonly refusedBy: ReadonlySet<NodeId>
}

export interface Policy {
  /** Null: on none of them now. `nodes` are those that take new work. */
  pick(need: PlacementNeed, nodes: readonly NodeView[]): NodeId | null
  /** Whether it could ever be placed there, were the node empty. */
  possible(need: PlacementNeed, node: NodeView): boolean
}

/** Everything is placed by the one node there is, which judges for itself. */
export function onlyNode(nodeId: NodeId): Policy {
  return { pick: () => nodeId, possible: () => true }
}

/** The creator's node if there is room, else the first that has it. */
export const firstFit: Policy = {
  pick(need, nodes) {
    const able = nodes.filter(
      node => !need.refusedBy.has(node.nodeId) && firstFit.possible(need, node) && fits(need.spec.held, node.available),
    )
    return (able.find(node => node.nodeId === need.home) ?? able[0])?.nodeId ?? null
  },
  possible: ({ spec }, { total }) => fits(spec.placement, total) && fits(spec.held, total),
}
