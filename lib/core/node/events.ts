// SPDX-License-Identifier: Apache-2.0
// What the node's machine hears and what it asks for, as data.

import type { Amounts, Control, Death, Environment, JobSpec, NodeDied, NodeId, View, Where, WorkerId } from '../../wire/messages.js'

import type { GroupToNode, NodeToGroup } from './group-events.js'

export interface NodeOptions {
  nodeId: NodeId
  nodeIp: string
  sessionDir: string
  /** What a process must show in `hello`. */
  token: string
  total: Amounts
  gpuIds: string[]
  labels: Record<string, string>
  /** Warm workers kept for tasks. */
  prestart: number
  /** Their environment. */
  environment: Environment | null
  /** Whom they are for; null: whoever comes first. */
  job: JobSpec | null
  /** Whether the end of the first driver is the end of everything, as where `init()` started the node. */
  founded: boolean
}

/** Places an actor: finds resources and a worker for it. */
export interface Place {
  is: 'place'
  actorId: string
  incarnation: number
  name: string
  placement: Amounts
  held: Amounts
  environment: Environment | null
  job: JobSpec
  /** Of it the node heeds the bundle. */
  where: Where | null
}
/** The actor need not be placed any more. */
export interface Unplace {
  is: 'unplace'
  actorId: string
}
export interface EndWorker {
  is: 'endWorker'
  workerId: WorkerId
  reason: string
}
/** The driver of that job is gone: nobody needs the workers that were its. */
export interface JobEnded {
  is: 'jobEnded'
  jobId: string
}

/** The head waits for news of that process: `processDied` comes at once when there is none such here. */
export interface WatchProcess {
  is: 'watchProcess'
  workerId: WorkerId
}
/** Takes no new work; `drained` follows once nothing runs. */
export interface Drain {
  is: 'drain'
}
/** It is drained and out of the cluster: it ends. */
export interface Leave {
  is: 'leave'
}

/** From the head to a node. Each may come twice, when the head was restarted in between. */
export type HeadToNode = Place | Unplace | EndWorker | WatchProcess | Drain | Leave | JobEnded | GroupToNode

export interface Placed {
  is: 'placed'
  actorId: string
  incarnation: number
  workerId: WorkerId
  pid: number
  gpuIds: string[]
}
/** It cannot be placed here now: the head looks for another node. */
export interface PlaceRefused {
  is: 'placeRefused'
  actorId: string
  incarnation: number
}
export interface PlacementImpossible {
  is: 'placementImpossible'
  actorId: string
  message: string
}
/** The actor's environment could not be set up. */
export interface EnvironmentBroken {
  is: 'environmentBroken'
  actorId: string
  message: string
}
export interface ProcessDied {
  is: 'processDied'
  workerId: WorkerId
  death: Death
}

/** After `drain`: nothing runs here any more. */
export interface Drained {
  is: 'drained'
}

/** It ends now. */
export interface Leaving {
  is: 'leaving'
  why: string
}

/** From a node to its head. */
export type NodeToHead = Leaving | Placed | PlaceRefused | PlacementImpossible | EnvironmentBroken | ProcessDied | Drained | NodeToGroup

/** Memory that is used, of how much, of what ("the machine"). */
export interface MemoryTotals {
  usedBytes: number
  totalBytes: number
  where: string
  /** How many processes the kernel has ended for lack of memory, since always. */
  kernelKills: number
}

/** The answer to `weigh`. */
export interface Weighed {
  is: 'weighed'
  totals: MemoryTotals
  /** By pid: bytes of memory that only that process has. */
  sizes: [number, number][]
  /** What is not ended, but may be what is large: drivers, the daemon, the store. */
  others: { what: string; bytes: number }[]
}

export type NodeEvent =
  | { is: 'message'; from: WorkerId; message: Control }
  /** After a `spawn` effect; `pid` is null when it failed at once, and then `workerExited` follows. */
  | { is: 'spawned'; key: string; pid: number | null }
  /** A child process has ended, and what it wrote has been read to the end. */
  | { is: 'workerExited'; key: string; exitCode: number | null; signal: string | null; stderrTail: string; kernelKills: number }
  /** Every `memoryCheckMs`. */
  | { is: 'memory'; totals: MemoryTotals }
  | Weighed
  /** The channel to a process ended, which may be alive. */
  | { is: 'peerClosed'; workerId: WorkerId; reason: string }
  /** A `setUp` effect is carried out. */
  | { is: 'environmentReady'; key: string }
  /** Or could not be. */
  | { is: 'environmentFailed'; key: string; field: string; message: string }
  /** The nodes of the cluster, as the head tells. */
  | Pick<View, 'is' | 'full' | 'nodes'>
  | NodeDied
  | { is: 'tick' }
  | HeadToNode
  /** Of the other nodes, from the head. */
  | View
  | NodeDied

export type Send = { is: 'send'; to: WorkerId; message: Control }

export type NodeEffect =
  | Send
  /** `job`: whose worker it will be; null: anybody's. */
  | { is: 'spawn'; key: string; environment: Environment | null; job: JobSpec | null }
  /** Copies the directory and installs the packages of an environment. */
  | { is: 'setUp'; environment: Environment }
  /** Ends a child process and what it started, with SIGKILL. */
  | { is: 'kill'; key: string }
  /** The job of that driver is over: `jobOver` to it, after what its workers have printed. */
  | { is: 'jobOver'; driver: WorkerId }
  /** Asks for the sizes of these processes. */
  | { is: 'weigh'; pids: number[] }
  /** Frees what a dead process held in the store. Null: it never said who it was. */
  | { is: 'reap'; workerId: WorkerId | null }
  /** Answers a question about objects, with those in the store added that no living process owns. */
  | { is: 'answerObjects'; to: WorkerId; request: number; rows: unknown[] }
  /** A process of this node has ended, or is about to: those of this node are told with it, and other nodes that it talked to. */
  | { is: 'processGone'; workerId: WorkerId; death: Death }
  /** The session is over: everything ends. */
  | { is: 'end'; reason: string }
  | { is: 'toHead'; event: NodeToHead }
