// SPDX-License-Identifier: Apache-2.0
// Messages about links between nodes, and between a node and the head.

import type { NodeId, WorkerId } from './messages.js'

/** Goes with the first frame on each connection of a link, both ways. */
export interface LinkHello {
  is: 'linkHello'
  protocol: number
  nodeId: NodeId
  /** The process that speaks for the node. */
  daemonId: WorkerId
  /** Where it can be reached; '' nowhere. */
  address: string
}
/** From N to P: that node takes nothing for now (`held`), or takes something again. */
export interface RouteHold {
  is: 'routeHold'
  nodeId: NodeId
  held: boolean
}
/** The link is not made, and the connection is of no use. */
export interface LinkRefused {
  is: 'linkRefused'
  message: string
}

export type LinkMessage = LinkHello | LinkRefused | RouteHold
