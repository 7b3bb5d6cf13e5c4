// SPDX-License-Identifier: Apache-2.0
// Messages between a node and a head that is a process of its own, and those of processes to the head that have nothing
// to do with actors. N, H and P as in messages.ts.

import type { HeadToNode, NodeToHead } from '../core/node/events.js'
import type { Amounts, BundleSeat, Control, NodeId, WorkerId } from './messages.js'

// N -> H ------------------------------------------------------------------------------------------------------------
/** A node as all others see it. */
export interface NodeView {
  nodeId: NodeId
  /** The process that messages to the node go to. */
  daemonId: WorkerId
  hostname: string
  /** Of its links, and of its data channel. */
  address: string
  dataAddress: string
  state: 'alive' | 'draining' | 'dead'
  labels: Record<string, string>
  gpuIds: string[]
  total: Amounts
  available: Amounts
  /** Why, when dead; else null. */
  deathCause: string | null
}
/** What waits on a node for resources. */
export interface Demand {
  resources: Amounts
  count: number
}
/** The first message of a node, and again whenever the head asks for it. Answered by `registered` or `fenced`. */
export interface Register {
  is: 'register'
  /** The cluster it belonged to until now; null when it comes anew. */
  clusterId: string | null
  node: NodeView
}
/**
 * Right after `registered`: who of the node is to hear of what. Before all else, so that whoever was still to be told something
 * hears it before what others ask now is answered.
 */
export interface Watching {
  is: 'watching'
  /** Actor and process. */
  actors: [string, WorkerId][]
  /** Placement group and process. */
  groups: [string, WorkerId][]
}
/** After `watching`, and after what the head had not acknowledged was sent again: what lives on the node now. */
export interface Synced {
  is: 'synced'
  actors: ActorSeat[]
  /** Actors that it was asked to place and still has to. */
  placing: string[]
  /** Jobs that have processes here. */
  jobs: string[]
  /** Bundles of placement groups. */
  bundles: BundleSeat[]
}
/** Where an actor lives on a node. */
export interface ActorSeat {
  actorId: string
  incarnation: number
  workerId: WorkerId
  pid: number
  gpuIds: string[]
}
/** That it lives, and what is free. */
export interface Beat {
  is: 'beat'
  available: Amounts
  demand: Demand[]
}
/** From a process of the node. `seq` counts `forHead` and `toHead` of the node together, from 1. */
export interface ForHead {
  is: 'forHead'
  seq: number
  from: WorkerId
  message: Control
}
/** From the node itself. */
export interface ToHead {
  is: 'toHead'
  seq: number
  event: NodeToHead
}

// H -> N ------------------------------------------------------------------------------------------------------------
export interface Registered {
  is: 'registered'
  clusterId: string
  /** Names this run of the head. */
  epoch: string
  /** The last `seq` of this node whose effects the head has kept. */
  seen: number
  /** How long a node may be silent before it is dead (ms). */
  nodeDeadAfterMs: number
  /** Nodes that died before, of whose objects and actors the sender may yet hear: as many as the head remembers. */
  dead: NodeId[]
}
/** The head does not know the sender (it was restarted): it is to register. */
export interface RegisterAgain {
  is: 'registerAgain'
}
/** Everything up to this `seq` is kept, also if the head dies now. */
export interface HeadAck {
  is: 'headAck'
  seq: number
}
/** The nodes of the cluster; without `full`, those that changed since the last. */
export interface View {
  is: 'view'
  full: boolean
  nodes: NodeView[]
}
/** From the head to every node, and from each to its processes: all that was there is gone. */
export interface NodeDied {
  is: 'nodeDied'
  nodeId: NodeId
  why: string
}
/** The node counts as dead: it ends what it runs. It may register as a new one. */
export interface Fenced {
  is: 'fenced'
  why: string
}
/** What H keeps its tables in is away, and until it is back H says nothing else; null: it is back. */
export interface HeadStorage {
  is: 'headStorage'
  storage: string | null
}
/** For a process of the node. */
export interface Deliver {
  is: 'deliver'
  to: WorkerId
  message: Control
}
export interface ToNode {
  is: 'toNode'
  event: HeadToNode
}

// N -> P ------------------------------------------------------------------------------------------------------------
/** To the drivers: for a while now N has had no answer of H; and that this is over. */
export interface HeadAway {
  is: 'headAway'
  isAway: boolean
  /** H is there, and waits for what it keeps its tables in: what it says of that. */
  storage: string | null
}
/** To the drivers: the last that N says. */
export interface NodeEnds {
  is: 'nodeEnds'
  why: string
  /** It joins again, as another node. */
  comesAgain: boolean
}

// P -> H ------------------------------------------------------------------------------------------------------------
/** The node takes no new work and leaves when it has none. Answered by `answer` with its row, or none. */
export interface DrainNode {
  is: 'drainNode'
  request: number
  nodeId: NodeId
}
export interface KvPut {
  is: 'kvPut'
  request: number
  namespace: string
  key: string
  value: Uint8Array
  overwrite: boolean
}
export interface KvGet {
  is: 'kvGet'
  request: number
  namespace: string
  key: string
}
export interface KvDelete {
  is: 'kvDelete'
  request: number
  namespace: string
  key: string
}
/** The keys that start so, in order. */
export interface KvList {
  is: 'kvList'
  request: number
  namespace: string
  prefix: string
}
export interface KvAnswer {
  is: 'kvAnswer'
  request: number
  /** Put: it is stored as asked. Get and delete: there was one. */
  done: boolean
  value: Uint8Array | null
  keys: string[]
  /** Why it was refused. */
  error: string | null
}

export type HeadMessage =
  | Register
  | Watching
  | Synced
  | Beat
  | ForHead
  | ToHead
  | Registered
  | RegisterAgain
  | HeadAck
  | View
  | NodeDied
  | Fenced
  | HeadStorage
  | HeadAway
  | NodeEnds
  | Deliver
  | ToNode
  | DrainNode
  | KvPut
  | KvGet
  | KvDelete
  | KvList
  | KvAnswer
