// SPDX-License-Identifier: Apache-2.0
// Every error a user of the package can meet, one class per thing a caller can do about it.
//
// Each class says when it is chosen and what the caller can do. `code` is stable and is what programs should compare
// when they cannot use `instanceof` (another copy of the package, a log line). Errors travel as data: their fields are
// plain values and own properties, so that codec/error-value.ts rebuilds them without running a constructor.
// Wrong arguments are TypeError or RangeError at the call and are not listed here; our own bugs are assertions.

/** On the prototype of a TaskError that is also an instance of a user's class; see `taskErrorPrototype`. */
const combinedMark = Symbol.for('eagleray.TaskError')

/** What every error of the package extends: `catch (e) { if (e instanceof EaglerayError) … }`. */
export class EaglerayError extends Error {
  static {
    nameIt(this, 'EaglerayError')
  }
  /** `ERR_EAGLERAY_…`; stable across versions. */
  readonly code: string = 'ERR_EAGLERAY'

  /** A TaskError may have the prototype of a user's class in place of ours; it is still one, and `instanceof` says so. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (Function.prototype[Symbol.hasInstance].call(this, value)) return true
    return (this === EaglerayError || this === TaskError) && typeof value === 'object' && value !== null && combinedMark in value
  }
}

/** The options of an error that concerns an actor. */
export interface ActorErrorOptions extends ErrorOptions {
  actorId?: string | null
}

/** The options of an error that concerns one object. */
export interface ObjectErrorOptions extends ErrorOptions {
  objectId?: string | null
}

/**
 * The task's own code threw (or one of its arguments had failed). The task ran; running it again gives the same unless
 * the failure was transient (`retryExceptions`). It is also `instanceof` the class of the original error when that class
 * can be found in this process.
 * @example
 * try { await get(parse.remote('{')) } catch (e) { if (e instanceof TaskError) console.error(e.cause, e.remoteStack) }
 */
export class TaskError extends EaglerayError {
  static {
    nameIt(this, 'TaskError')
  }
  override readonly code: string = 'ERR_EAGLERAY_TASK'
  /** The stack of the original error, as the worker saw it; empty when it had none. */
  readonly remoteStack: string
  /** The name of the task or method that threw. */
  readonly taskName: string

  constructor(message: string, options: ErrorOptions & { remoteStack?: string; taskName?: string } = {}) {
    super(message, options)
    this.remoteStack = options.remoteStack ?? ''
    this.taskName = options.taskName ?? ''
  }
}

/** The task was cancelled with `cancel`, or by its parent's cancellation. Submit it again if the result is wanted after all. */
export class TaskCancelledError extends EaglerayError {
  static {
    nameIt(this, 'TaskCancelledError')
  }
  override readonly code: string = 'ERR_EAGLERAY_TASK_CANCELLED'
  readonly taskId: string | null

  constructor(message: string, options: ErrorOptions & { taskId?: string | null } = {}) {
    super(message, options)
    this.taskId = options.taskId ?? null
  }
}

/**
 * The process that ran the task died, and the retries of the task are used up. Look at `stderrTail`: a crash of a native
 * library, `process.exit` in the task, or the operating system's memory killer (`signal` is SIGKILL).
 */
export class WorkerCrashedError extends EaglerayError {
  static {
    nameIt(this, 'WorkerCrashedError')
  }
  override readonly code: string = 'ERR_EAGLERAY_WORKER_CRASHED'
  /** The exit status; null when a signal ended the process or nothing is known. */
  readonly exitCode: number | null
  /** The signal that ended the process, such as `'SIGSEGV'`; null when it exited. */
  readonly signal: string | null
  /** The last lines the process wrote to its standard error. */
  readonly stderrTail: string

  constructor(message: string, options: ErrorOptions & { exitCode?: number | null; signal?: string | null; stderrTail?: string } = {}) {
    super(message, options)
    this.exitCode = options.exitCode ?? null
    this.signal = options.signal ?? null
    this.stderrTail = options.stderrTail ?? ''
  }
}

/** A call on an actor could not be carried out because of the actor's state; see the two subclasses. */
export class ActorError extends EaglerayError {
  static {
    nameIt(this, 'ActorError')
  }
  override readonly code: string = 'ERR_EAGLERAY_ACTOR'
  readonly actorId: string | null

  constructor(message: string, options: ActorErrorOptions = {}) {
    super(message, options)
    this.actorId = options.actorId ?? null
  }
}

/**
 * The actor is dead for good: killed, its constructor threw, its restarts are used up, its owner died, or its process
 * crashed. Create a new one; `maxRestarts` and `maxTaskRetries` make it survive crashes.
 */
export class ActorDiedError extends ActorError {
  static {
    nameIt(this, 'ActorDiedError')
  }
  override readonly code: string = 'ERR_EAGLERAY_ACTOR_DIED'
}

/**
 * The actor is restarting or cannot be reached now, and the call was not allowed to wait or to be retried. It may have
 * run. Try again later.
 */
export class ActorUnavailableError extends ActorError {
  static {
    nameIt(this, 'ActorUnavailableError')
  }
  override readonly code: string = 'ERR_EAGLERAY_ACTOR_UNAVAILABLE'
}

/** `get` did not have every value within `timeoutMs`. Nothing is cancelled: `get` again, or `cancel` the refs. */
export class GetTimeoutError extends EaglerayError {
  static {
    nameIt(this, 'GetTimeoutError')
  }
  override readonly code: string = 'ERR_EAGLERAY_GET_TIMEOUT'
  /** The time that was allowed, in milliseconds. */
  readonly timeoutMs: number
  /** Ids of the refs that were not ready, at most the first hundred. */
  readonly pending: readonly string[]

  constructor(message: string, options: ErrorOptions & { timeoutMs?: number; pending?: readonly string[] } = {}) {
    super(message, options)
    this.timeoutMs = options.timeoutMs ?? 0
    this.pending = options.pending ?? []
  }
}

/** Every copy of the object is gone and it cannot be rebuilt. Run what produced it again, or keep the ref of the `put`. */
export class ObjectLostError extends EaglerayError {
  static {
    nameIt(this, 'ObjectLostError')
  }
  override readonly code: string = 'ERR_EAGLERAY_OBJECT_LOST'
  readonly objectId: string | null

  constructor(message: string, options: ObjectErrorOptions = {}) {
    super(message, options)
    this.objectId = options.objectId ?? null
  }
}

/**
 * The process that owned the object (it called `put` or `.remote()`) has exited, and with it who knows where the value is.
 * Let a process that outlives its users create it.
 */
export class OwnerDiedError extends ObjectLostError {
  static {
    nameIt(this, 'OwnerDiedError')
  }
  override readonly code: string = 'ERR_EAGLERAY_OWNER_DIED'
}

/** The object was freed on purpose while this ref was still held. Keep it until its last use, or create it again. */
export class ObjectFreedError extends ObjectLostError {
  static {
    nameIt(this, 'ObjectFreedError')
  }
  override readonly code: string = 'ERR_EAGLERAY_OBJECT_FREED'
}

/**
 * The object was lost and running its task again failed, or was not possible (retries used up, its own arguments lost).
 * `cause` tells which.
 */
export class ReconstructionFailedError extends ObjectLostError {
  static {
    nameIt(this, 'ReconstructionFailedError')
  }
  override readonly code: string = 'ERR_EAGLERAY_RECONSTRUCTION_FAILED'
}

/** An object of that id exists already in the store. Choose another id, or leave it out. */
export class ObjectExistsError extends EaglerayError {
  static {
    nameIt(this, 'ObjectExistsError')
  }
  override readonly code: string = 'ERR_EAGLERAY_OBJECT_EXISTS'
  readonly objectId: string | null

  constructor(message: string, options: ObjectErrorOptions = {}) {
    super(message, options)
    this.objectId = options.objectId ?? null
  }
}

/** One of the largest objects of a full store: who holds it, why, and where it was created. */
export interface StoreHolder {
  objectId: string
  sizeBytes: number
  /** Worker id of the process whose ref or view keeps it. */
  owner: string
  reason: string
  callSite: string
}

/**
 * The store has no room, after collecting garbage, evicting and spilling. Drop refs and views (`holders` names the
 * largest), or start with more `objectStoreBytes`.
 */
export class ObjectStoreFullError extends EaglerayError {
  static {
    nameIt(this, 'ObjectStoreFullError')
  }
  override readonly code: string = 'ERR_EAGLERAY_OBJECT_STORE_FULL'
  /** Size of the object that did not fit, in bytes. */
  readonly requestedBytes: number
  /** The largest objects and who holds them, largest first. */
  readonly holders: readonly StoreHolder[]

  constructor(message: string, options: ErrorOptions & { requestedBytes?: number; holders?: readonly StoreHolder[] } = {}) {
    super(message, options)
    this.requestedBytes = options.requestedBytes ?? 0
    this.holders = options.holders ?? []
  }
}

/** The disk that takes spilled objects is full. Free space there, or name another `spillDir`. */
export class OutOfDiskError extends EaglerayError {
  static {
    nameIt(this, 'OutOfDiskError')
  }
  override readonly code: string = 'ERR_EAGLERAY_OUT_OF_DISK'
}

/** The task was ended because the machine ran out of memory. Ask for `memoryBytes`, run fewer at a time, or use smaller pieces. */
export class OutOfMemoryError extends EaglerayError {
  static {
    nameIt(this, 'OutOfMemoryError')
  }
  override readonly code: string = 'ERR_EAGLERAY_OUT_OF_MEMORY'
}

/** The node that ran the task or actor is gone. Tasks are retried on another node first (`maxRetries`). */
export class NodeDiedError extends EaglerayError {
  static {
    nameIt(this, 'NodeDiedError')
  }
  override readonly code: string = 'ERR_EAGLERAY_NODE_DIED'
  readonly nodeId: string | null

  constructor(message: string, options: ErrorOptions & { nodeId?: string | null } = {}) {
    super(message, options)
    this.nodeId = options.nodeId ?? null
  }
}

/** No node can ever run the task as asked: a hard node affinity or label that nothing satisfies. Change what it asks for. */
export class TaskUnschedulableError extends EaglerayError {
  static {
    nameIt(this, 'TaskUnschedulableError')
  }
  override readonly code: string = 'ERR_EAGLERAY_TASK_UNSCHEDULABLE'
}

/** No node can ever hold the actor as asked: a hard node affinity or label that nothing satisfies. Change what it asks for. */
export class ActorUnschedulableError extends EaglerayError {
  static {
    nameIt(this, 'ActorUnschedulableError')
  }
  override readonly code: string = 'ERR_EAGLERAY_ACTOR_UNSCHEDULABLE'
}

/** The placement group that a task or actor was to run in was removed. Create another and submit again. */
export class PlacementGroupRemovedError extends EaglerayError {
  static {
    nameIt(this, 'PlacementGroupRemovedError')
  }
  override readonly code: string = 'ERR_EAGLERAY_PLACEMENT_GROUP_REMOVED'
}

/** The actor has `maxPendingCalls` calls waiting already. Wait for some of them, then call again. */
export class PendingCallsLimitError extends EaglerayError {
  static {
    nameIt(this, 'PendingCallsLimitError')
  }
  override readonly code: string = 'ERR_EAGLERAY_PENDING_CALLS_LIMIT'
}

/** An actor of that name lives in the namespace already. Use `getIfExists`, `getActor`, or another name. */
export class ActorNameTakenError extends EaglerayError {
  static {
    nameIt(this, 'ActorNameTakenError')
  }
  override readonly code: string = 'ERR_EAGLERAY_ACTOR_NAME_TAKEN'
}

/** A value or function cannot be carried. The message and `path` name the culprit; leave it out, or say how with `registerSerializer`. */
export class SerializationError extends EaglerayError {
  static {
    nameIt(this, 'SerializationError')
  }
  override readonly code: string = 'ERR_EAGLERAY_SERIALIZATION'
  /** Where in the value it is, such as `args[0].client.socket`. */
  readonly path: string

  constructor(message: string, path = '', options: ErrorOptions = {}) {
    super(message, options)
    this.path = path
  }
}

/** The runtime environment of a task or actor could not be set up (a package, a directory, a preload). `cause` tells what failed. */
export class RuntimeEnvError extends EaglerayError {
  static {
    nameIt(this, 'RuntimeEnvError')
  }
  override readonly code: string = 'ERR_EAGLERAY_RUNTIME_ENV'
}

/** The cluster could not be reached, or started, or the connection to it ended. Check the address and that the cluster runs. */
export class ClusterConnectionError extends EaglerayError {
  static {
    nameIt(this, 'ClusterConnectionError')
  }
  override readonly code: string = 'ERR_EAGLERAY_CLUSTER_CONNECTION'
}

/** The cluster refused this process's token or keys. Use those of the cluster. */
export class AuthenticationError extends EaglerayError {
  static {
    nameIt(this, 'AuthenticationError')
  }
  override readonly code: string = 'ERR_EAGLERAY_AUTHENTICATION'
}

/** `Queue.putNoWait`, or `put` within its `timeoutMs`, found no room. Take something out, or wait longer. */
export class QueueFullError extends EaglerayError {
  static {
    nameIt(this, 'QueueFullError')
  }
  override readonly code: string = 'ERR_EAGLERAY_QUEUE_FULL'
}

/** `Queue.getNoWait`, or `get` within its `timeoutMs`, found nothing. Put something in, or wait longer. */
export class QueueEmptyError extends EaglerayError {
  static {
    nameIt(this, 'QueueEmptyError')
  }
  override readonly code: string = 'ERR_EAGLERAY_QUEUE_EMPTY'
}

/** Bytes from a peer, a file or shared memory are not what their format says. It costs the peer its connection, never this process. */
export class WireError extends EaglerayError {
  static {
    nameIt(this, 'WireError')
  }
  override readonly code: string = 'ERR_EAGLERAY_WIRE'
}

/** Any of the classes here. */
export type EaglerayErrorClass = new (message: string) => EaglerayError

const classes: readonly EaglerayErrorClass[] = [
  EaglerayError,
  TaskError,
  TaskCancelledError,
  WorkerCrashedError,
  ActorError,
  ActorDiedError,
  ActorUnavailableError,
  GetTimeoutError,
  ObjectLostError,
  OwnerDiedError,
  ObjectFreedError,
  ReconstructionFailedError,
  ObjectExistsError,
  ObjectStoreFullError,
  OutOfDiskError,
  OutOfMemoryError,
  NodeDiedError,
  TaskUnschedulableError,
  ActorUnschedulableError,
  PlacementGroupRemovedError,
  PendingCallsLimitError,
  ActorNameTakenError,
  SerializationError,
  RuntimeEnvError,
  ClusterConnectionError,
  AuthenticationError,
  QueueFullError,
  QueueEmptyError,
  WireError,
]

/** Every class above by its `code`; how an error that travelled finds its class again. */
export const errorClasses: ReadonlyMap<string, EaglerayErrorClass> = new Map(classes.map(each => [new each('').code, each]))

const combined = new WeakMap<object, object>()

/**
 * The prototype of a TaskError with that cause: one that makes it `instanceof` both TaskError and the class of its cause.
 * Made once for each class, and without running any constructor.
 */
export function taskErrorPrototype(cause: unknown): object {
  const parent: object | null = cause instanceof Error ? Object.getPrototypeOf(cause) : null
  if (parent === null || parent === Error.prototype || parent === EaglerayError.prototype || parent === TaskError.prototype)
    return TaskError.prototype
  if (Object.hasOwn(parent, combinedMark)) return parent
  let known = combined.get(parent)
  if (known === undefined) {
    known = Object.create(parent, {
      constructor: { value: TaskError, writable: true, configurable: true },
      name: { value: 'TaskError', writable: true, configurable: true },
      [combinedMark]: { value: true },
    }) as object
    combined.set(parent, known)
  }
  return known
}

/** `name` lives on the prototype, as for the language's own errors: not a field of every instance. */
function nameIt(errorClass: { prototype: Error }, name: string): void {
  Object.defineProperty(errorClass.prototype, 'name', { value: name, writable: true, configurable: true, enumerable: false })
}
