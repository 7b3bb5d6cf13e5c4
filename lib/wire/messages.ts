// SPDX-License-Identifier: Apache-2.0
// Every message between two processes of a cluster, as plain data. Hot ones (task, reply, value) have fixed binary
// frames in frames.ts; all others travel as MessagePack of exactly these objects.
//
// Who speaks: P a driver or worker (an owner, and a borrower of others' objects), N the node daemon, H the head (in the
// daemon of one node, or a process of its own). Messages between one pair of processes arrive once and in order.

import type { AdoptionMessage } from './adoption-messages.js'
import type { HeadMessage } from './head-messages.js'
import type { LinkMessage } from './link-messages.js'
import type { ObjectMessage } from './object-messages.js'
import type { SchedulingMessage, Where } from './scheduling-messages.js'

export type * from './adoption-messages.js'
export type * from './head-messages.js'
export type * from './link-messages.js'
export type * from './object-messages.js'
export type * from './scheduling-messages.js'

/** 24 hex digits: node (10), client slot (4), nonce (10). */
export type WorkerId = string
/** 10 hex digits. */
export type NodeId = string
/** Resource amounts as integers: steps of 1/10000 for counts (CPU, GPU, custom), bytes for memory. */
export type Amounts = Record<string, number>

/** How a process ended, as its daemon saw it. */
export interface Death {
  exitCode: number | null
  signal: string | null
  /** Its last lines on stderr, at most `stderrTailLines`. */
  stderrTail: string
  /** Why, when the system itself ended it ("killed with kill()", "out of scope"); null when it died by itself. */
  reason: string | null
  /** It was ended for lack of memory: by its node, or most likely by the kernel. */
  outOfMemory: boolean
}

/** What a worker process is started in, as the one who asked for it sees it: paths are absolute, parents merged in. */
export interface Environment {
  /** Of the canonical text of the rest: equal environments have equal keys, and share workers. Never empty. */
  key: string
  /** `${NAME}` in a value is replaced where the worker starts. */
  envVars: Record<string, string>
  /** The directory that is copied. */
  workingDir: string | null
  excludes: string[]
  /** Of npm, as `npm install` takes them. */
  packages: string[]
  registry: string | null
  preload: string[]
  nodeOptions: string[]
}

/** What the processes that work for one driver share: where its code lies, and how it was started. */
export interface JobSpec {
  jobId: string
  /** Where the names of its actors live. */
  namespace: string
  /** What its workers print goes there, and its end is that of the job. Empty as long as that process is not known: workers may be started before it. */
  driver: WorkerId
  /** Its working directory: where there is one of that name, its workers start there. */
  cwd: string
  /** Loaders that its workers register when they first need them, as found from `cwd`. */
  loaders: string[]
  /** Flags and NODE_OPTIONS of its worker processes. */
  execArgv: string[]
  nodeOptions: string
}

/** What decides which worker may run a task. `key` is the canonical text of the rest; equal keys share leases. */
export interface SchedulingClass {
  key: string
  resources: Amounts
  /** The worker must be one that ran nothing before, and is not used again (GPU tasks). */
  freshWorker: boolean
  /** Tasks a worker may run of this class before it is replaced; 0: no limit. */
  maxCalls: number
  /** Null: the empty one, which the warm workers have. */
  environment: Environment | null
  job: JobSpec
  /** Null: anywhere, by DEFAULT. */
  where: Where | null
  /** The node that holds most of what its tasks read, where that is much: asked first. */
  near: NodeId | null
}

export interface ActorSpec {
  actorId: string
  className: string
  name: string | null
  namespace: string
  detached: boolean
  /** It is detached, or was made by what goes on when its job is over. */
  outlivesJob: boolean
  getIfExists: boolean
  maxRestarts: number
  /** Needed to be placed; `held` is what the live actor keeps (they differ for the default actor: 1 CPU and nothing). */
  placement: Amounts
  held: Amounts
  maxConcurrency: number
  concurrencyGroups: Record<string, number>
  methodGroups: Record<string, string>
  isAsync: boolean
  maxTaskRetries: number
  maxPendingCalls: number
  codeHash: string
  code: Uint8Array
  /** Constructor arguments, in the format of a task frame's arguments, dependencies already resolved. */
  args: Uint8Array
  /** What a handle needs to offer the class's methods, opaque to the head. */
  shape: Uint8Array
  environment: Environment | null
  job: JobSpec
  where: Where | null
}

export type ActorPhase = 'pending' | 'starting' | 'alive' | 'restarting' | 'dead'

export interface ActorView {
  actorId: string
  className: string
  name: string | null
  namespace: string
  phase: ActorPhase
  workerId: WorkerId | null
  pid: number | null
  nodeId: NodeId | null
  /** How often it was restarted; calls made to an earlier incarnation are not delivered to a later one. */
  incarnation: number
  restartsLeft: number
  /** When dead: an encoded error (codec/error-value) that says why; null otherwise. */
  deathCause: Uint8Array | null
  shape: Uint8Array
  maxTaskRetries: number
  maxPendingCalls: number
  isAsync: boolean
}

// P -> N ------------------------------------------------------------------------------------------------------------
export interface Hello {
  is: 'hello'
  protocol: number
  workerId: WorkerId
  pid: number
  kind: 'driver' | 'worker'
  token: string
  /** Of a driver; null: a worker, which is told. */
  job: JobSpec | null
}
/** Instead of `hello`: the worker could not be made what its environment asks for. It is ended, and what waits for it fails. */
export interface EnvFailed {
  is: 'envFailed'
  pid: number
  token: string
  /** The field of RuntimeEnv at fault. */
  field: string
  message: string
}
/** Sets how many more workers of a class this owner could use now (it replaces the last figure). 0 withdraws. */
export interface Want {
  is: 'want'
  class: SchedulingClass
  count: number
  /** Leases that the owner has, of all nodes and all classes; 0 while it has none of this class. */
  held: number
  taskName: string
}
/** Gives a lease back. `retire`: the worker must not be used again. */
export interface LeaseReturn {
  is: 'leaseReturn'
  leaseId: number
  retire: boolean
}
/**
 * The answer to a `reclaim`: so many leases of the class come back as soon as what runs on them has ended; the owner has `held` beside those.
 * None, where it has no more than who waits. No answer: none has had its turn, or this owner has given enough for now.
 */
export interface Yields {
  is: 'yields'
  classKey: string
  count: number
  held: number
}
/** The task on this lease waits in get or wait: its CPU may serve others. */
export interface Blocked {
  is: 'blocked'
  leaseId: number
}
/** It could go on: answered by `resumed` once its CPU is there again. */
export interface Unblock {
  is: 'unblock'
  leaseId: number
}
/** A leased worker says it leaves after the current task (maxCalls, exit asked for). */
export interface Goodbye {
  is: 'goodbye'
  reason: string
}
export interface ActorCreate {
  is: 'actorCreate'
  spec: ActorSpec
}
/** Sends `actorState` now and at each change, until the actor is dead. */
export interface ActorWatch {
  is: 'actorWatch'
  actorId: string
}
export interface ActorKill {
  is: 'actorKill'
  actorId: string
  noRestart: boolean
}
/** From the creator: no handle and no pending call is left anywhere. */
export interface ActorDrop {
  is: 'actorDrop'
  actorId: string
}
export interface ActorByName {
  is: 'actorByName'
  request: number
  name: string
  namespace: string
}
/** From the actor's worker: the constructor returned (null) or threw (an encoded error). */
export interface ActorStarted {
  is: 'actorStarted'
  actorId: string
  incarnation: number
  error: Uint8Array | null
}
/** From the actor's worker: exitActor() was called and what came before is finished. */
export interface ActorExited {
  is: 'actorExited'
  actorId: string
  incarnation: number
}
export interface Query {
  is: 'query'
  request: number
  /** 'explain': why an object is not there (its id), or what waits in a class (its key) or for an actor (`placementOf`). 'placement': why an actor or a placement group has no place. */
  what: 'nodes' | 'resources' | 'workers' | 'actors' | 'groups' | 'jobs' | 'tasks' | 'objects' | 'explain' | 'placement'
  argument: string
}
/** A worker's answer to `ask`. */
export interface Told {
  is: 'told'
  request: number
  rows: unknown[]
}
/** The store is full. To N: ask every process to collect garbage; to P: do so. */
export interface Collect {
  is: 'collect'
}
/** An owner asks the node to end a worker of its own lease (forced cancel). */
export interface KillWorker {
  is: 'killWorker'
  workerId: WorkerId
  reason: string
}
/** That process sent the sender what is no message: their channel is closed for good, so the node ends the process (or, where that is a driver, the sender). */
export interface Corrupt {
  is: 'corrupt'
  workerId: WorkerId
  detail: string
}
/** The driver leaves: everything of its job ends. Answered by `jobOver`, after the last of what its workers on this node printed. */
export interface EndJob {
  is: 'endJob'
}

// N -> P ------------------------------------------------------------------------------------------------------------
export interface Welcome {
  is: 'welcome'
  nodeId: NodeId
  sessionDir: string
  nodeIp: string
  resources: Amounts
  labels: Record<string, string>
}
export interface Refused {
  is: 'refused'
  message: string
  code: string
}
export interface Grant {
  is: 'grant'
  classKey: string
  leaseId: number
  workerId: WorkerId
  gpuIds: string[]
  nodeId: NodeId
}
/** A class that can never be placed: its tasks fail with this. */
export interface Unplaceable {
  is: 'unplaceable'
  classKey: string
  message: string
  /** The placement group that they were to run in was removed. */
  groupRemoved: boolean
}
/** The environment of a class could not be set up: its waiting tasks fail with this. The next `want` tries again. */
export interface EnvBroken {
  is: 'envBroken'
  classKey: string
  field: string
  message: string
}
/**
 * Somebody who holds `held` leases waits for so many leases of this class (the last figure counts, 0: for none any more): give idle ones
 * back now, and busy ones once they have had their turn, but only while you hold clearly more (`yields` says), and not too many at once.
 * `must` of them: in any case.
 */
export interface Reclaim {
  is: 'reclaim'
  classKey: string
  count: number
  held: number
  must: number
}
export interface Resumed {
  is: 'resumed'
  leaseId: number
}
/** A process of this node is gone. Sent to every process, after the store and its channels were reaped. */
export interface WorkerDied {
  is: 'workerDied'
  workerId: WorkerId
  death: Death
}
export interface ActorStart {
  is: 'actorStart'
  spec: ActorSpec
  incarnation: number
  gpuIds: string[]
  ownerId: WorkerId
}
/** Finish what was submitted before, then exit. */
export interface ActorStop {
  is: 'actorStop'
  actorId: string
  reason: string
}
/** `actorId` is the id that was created or watched; with getIfExists `view.actorId` may name the actor that has the name already, and the id asked for stands for it from then on. */
export interface ActorState {
  is: 'actorState'
  actorId: string
  view: ActorView
}
export interface ActorNamed {
  is: 'actorNamed'
  request: number
  view: ActorView | null
}
/** Output of a worker of this job, for the driver's terminal. */
export interface Log {
  is: 'log'
  workerId: WorkerId
  pid: number
  name: string
  stream: 'stdout' | 'stderr'
  lines: string[]
}
/** To a driver that said so: it may go. To a worker: its driver has ended. */
export interface JobOver {
  is: 'jobOver'
}
export interface Warning {
  is: 'warning'
  text: string
}
/** Leave as soon as nothing runs. */
export interface Retire {
  is: 'retire'
}
export interface Answer {
  is: 'answer'
  request: number
  rows: unknown[]
}
/** Asks a process for its rows of the state API (tasks and objects it owns). */
export interface Ask {
  is: 'ask'
  request: number
  what: 'tasks' | 'objects' | 'explain'
  argument: string
}

// P -> P ------------------------------------------------------------------------------------------------------------
/** Code of a function, before the first task that uses it on this channel. Tasks name it by its number: the how manyth such message it was on the channel, from 0. */
export interface CodeMessage {
  is: 'code'
  hash: string
  name: string
  bytes: Uint8Array
}
/** Before the first task of a lease: what its tasks hold, and for whom the worker works from now on. */
export interface LeaseStart {
  is: 'leaseStart'
  leaseId: number
  gpuIds: string[]
  resources: Amounts
  job: JobSpec
  /** The placement group that takes in what its tasks submit. */
  capture: string | null
}
/** Stop this task (by its first sequence number): `force` kills the process, `recursive` its children too. */
export interface CancelTask {
  is: 'cancelTask'
  task: number
  force: boolean
  recursive: boolean
}
/** From a borrower to the owner of a task's result: cancel the task. */
export interface CancelObject {
  is: 'cancelObject'
  seq: number
  force: boolean
  recursive: boolean
}
/** To a worker of another node: take the tasks with these claims out of the queue, where they have not begun, and answer each as `revoked`. */
export interface TakeBack {
  is: 'takeBack'
  claims: number[]
}
/** The leased worker waits inside a task: the owner takes back what it has queued there. */
export interface LeaseBlocked {
  is: 'leaseBlocked'
  leaseId: number
}

export type Control =
  | Hello
  | EnvFailed
  | Want
  | LeaseReturn
  | Yields
  | Blocked
  | Unblock
  | Goodbye
  | ActorCreate
  | ActorWatch
  | ActorKill
  | ActorDrop
  | ActorByName
  | ActorStarted
  | ActorExited
  | Query
  | Told
  | EndJob
  | Welcome
  | Refused
  | Grant
  | Unplaceable
  | EnvBroken
  | Reclaim
  | Resumed
  | WorkerDied
  | ActorStart
  | ActorStop
  | ActorState
  | ActorNamed
  | Log
  | JobOver
  | Warning
  | Retire
  | Answer
  | Ask
  | CodeMessage
  | LeaseStart
  | CancelTask
  | CancelObject
  | LeaseBlocked
  | SchedulingMessage
  | TakeBack
  | KillWorker
  | Corrupt
  | Collect
  | HeadMessage
  | LinkMessage
  | ObjectMessage
  | AdoptionMessage

/** In `blocked`, `unblock` and `resumed`: not a lease, but what the sender's actor holds. */
export const ACTOR_LEASE = 0

/** Version of all of this; processes of different versions refuse each other at `hello`. */
export const PROTOCOL_VERSION = 5
