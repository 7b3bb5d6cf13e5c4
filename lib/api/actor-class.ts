// SPDX-License-Identifier: Apache-2.0
// Actor classes: `.remote()` makes an actor and gives its handle at once.

import { type Code, callSite, captureFunction, type FunctionShape } from '../codec/function.js'
import { Entry, STATE } from '../core/owner/entry.js'
import type { Argument } from '../core/owner/task.js'
import { toAmounts } from '../core/resources.js'
import { ActorDiedError } from '../errors.js'
import { objectId } from '../ids.js'
import { limits } from '../options.js'
import { resolvedArgument } from '../run/arguments.js'
import { type ActorShape, checkMethodOptions, encodeShape, type ActorHandle as Handle, makeHandle } from '../run/handle.js'
import { jobOf } from '../run/job.js'
import { checkName, count, flag, isRecord, refuseUnknown } from '../run/option-checks.js'
import type { ObjectRef } from '../run/ref.js'
import { checkArity } from '../run/requests.js'
import type { Runtime } from '../run/runtime.js'
import { currentContext } from '../run/task-context.js'
import { whenSettled } from '../run/waits.js'
import type { ActorSpec } from '../wire/messages.js'
import { current, namespaceOf } from './init.js'
import { REMOTE, REMOTE_OPTIONS, type RemoteArguments, type Returned } from './remote-function.js'
import { environmentOf, type RuntimeEnv, withRuntimeEnv } from './runtime-env.js'
import { checkPlacement, checkRoom, PLACEMENT_KEYS, type PlacementOptions, whereOf } from './strategy.js'
import { checkEnv, checkResources, type ResourceOptions, resourcesOf } from './task-options.js'

export interface MethodOptions {
  numReturns?: number
  concurrencyGroup?: string
  maxTaskRetries?: number
}

export interface ActorOptions extends ResourceOptions, PlacementOptions {
  /** Unique in its namespace; found again with getActor. */
  name?: string
  namespace?: string
  /** 'detached': lives until it is killed, whatever becomes of handles and creator (within the session). */
  lifetime?: 'detached'
  /** Gives the actor that has the name already, if there is one. */
  getIfExists?: boolean
  /** How often the process is started again when it dies: 0; -1 for ever. State starts anew. */
  maxRestarts?: number
  /** How often a call that was under way when the process died is made again: 0; -1 for ever. */
  maxTaskRetries?: number
  /** Calls that run at once: 1; 1000 for a class with an async method. */
  maxConcurrency?: number
  /** Calls one caller may have pending; more throw PendingCallsLimitError. Default: no limit. */
  maxPendingCalls?: number
  /** Names of groups of methods and how many calls of each run at once. */
  concurrencyGroups?: Record<string, number>
  methods?: Record<string, MethodOptions>
  /** A call whose argument is late does not hold back later ones. */
  allowOutOfOrderExecution?: boolean
  /** What the actor's process is started in. Default, and for each field that is left out: that of whoever makes the actor. */
  runtimeEnv?: RuntimeEnv
  env?: Record<string, unknown>
}

const KEYS = [
  'numCpus',
  'numGpus',
  'memoryBytes',
  'resources',
  'name',
  'namespace',
  'lifetime',
  'getIfExists',
  'maxRestarts',
  'maxTaskRetries',
  'maxConcurrency',
  'maxPendingCalls',
  'concurrencyGroups',
  'methods',
  'allowOutOfOrderExecution',
  ...PLACEMENT_KEYS,
  'runtimeEnv',
  'env',
]

/** Any class; `never` parameters so that classes with typed ones are taken too. */
export type AnyClass = abstract new (...args: never[]) => object

/** A method of an actor. */
export interface RemoteMethod<A extends readonly unknown[], R, N = 1> {
  /** Calls it; gives the ref of its result at once. */
  remote(...args: RemoteArguments<A>): Returned<R, N>
  options<const O extends MethodOptions & { name?: string }>(overrides: O): RemoteMethod<A, R, O extends { numReturns: infer M } ? M : N>
}

/** A handle on an actor of class T: its methods, each with `.remote()`. */
export type ActorHandle<T = unknown> = {
  readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]: T[K] extends (...args: infer A) => infer R
    ? RemoteMethod<A, R>
    : never
} & Disposable & { readonly __actor?: T }

export interface ActorClass<C extends AnyClass> {
  /** Makes an actor of this class; never blocks. Throws TypeError for a wrong number of arguments, SerializationError for what cannot travel. */
  remote(...args: RemoteArguments<ConstructorParameters<C>>): ActorHandle<InstanceType<C>>
  /** The same class with other options; this one is untouched. */
  options(overrides: ActorOptions): ActorClass<C>
}

function checkActorOptions(what: string, options: ActorOptions, shape: FunctionShape): void {
  refuseUnknown(what, options, KEYS)
  checkResources(what, options)
  checkName(what, options.name)
  checkName(what, options.namespace, 'namespace')
  count(what, 'maxRestarts', options.maxRestarts, -1)
  count(what, 'maxTaskRetries', options.maxTaskRetries, -1)
  count(what, 'maxConcurrency', options.maxConcurrency, 1)
  count(what, 'maxPendingCalls', options.maxPendingCalls, -1)
  if (options.maxPendingCalls === 0) throw new RangeError(`${what}: maxPendingCalls is 0; it must be 1 or more, or -1 for no limit`)
  flag(what, 'getIfExists', options.getIfExists)
  flag(what, 'allowOutOfOrderExecution', options.allowOutOfOrderExecution)
  const { concurrencyGroups = {} } = options
  if (!isRecord(concurrencyGroups)) throw new TypeError(`${what}: concurrencyGroups must be an object of limits by name`)
  for (const [name, limit] of Object.entries(concurrencyGroups)) count(what, `concurrencyGroups.${name}`, limit, 1)
  if (options.lifetime !== undefined && options.lifetime !== 'detached') throw new RangeError(`${what}: lifetime can only be 'detached'`)
  if (options.getIfExists && options.name === undefined) throw new TypeError(`${what}: getIfExists needs a name`)
  checkPlacement(what, options)
  checkEnv(what, options.env)
  checkMethods(what, options, shape)
}

function checkMethods(what: string, { methods = {}, concurrencyGroups = {} }: ActorOptions, shape: FunctionShape): void {
  if (!isRecord(methods)) throw new TypeError(`${what}: methods must be an object of options by name`)
  for (const [name, method] of Object.entries(methods)) {
    if (shape.methods?.[name] === undefined) throw new TypeError(`${what}: methods names ${name}, which the class does not have`)
    checkMethodOptions(`${what}.methods.${name}`, method, ['numReturns', 'concurrencyGroup', 'maxTaskRetries'])
    const group = method.concurrencyGroup
    if (group !== undefined && !Object.hasOwn(concurrencyGroups, group))
      throw new RangeError(`${what}: method ${name} is in the concurrency group ${group}, which concurrencyGroups does not name`)
  }
}

export class ActorClassImpl {
  private code: { runtime: Runtime; code: Code } | null = null

  constructor(
    private readonly Class: Function,
    private readonly shape: FunctionShape,
    private readonly actorOptions: ActorOptions,
    private readonly site = callSite(),
  ) {}

  static define(Class: Function, shape: FunctionShape, options: ActorOptions): ActorClassImpl {
    const what = `remote(${shape.name || 'class'})`
    checkActorOptions(what, options, shape)
    return new ActorClassImpl(Class, shape, withRuntimeEnv(what, options))
  }

  get [REMOTE](): Function {
    return this.Class
  }

  get [REMOTE_OPTIONS](): ActorOptions {
    return this.actorOptions
  }

  options(overrides: ActorOptions): ActorClassImpl {
    const what = `${this.shape.name || 'class'}.options()`
    refuseUnknown(what, overrides, KEYS)
    for (const key of ['concurrencyGroups', 'env'] as const)
      if (overrides[key] !== undefined) throw new RangeError(`${what}: ${key} belongs to remote()`)
    const options = { ...this.actorOptions, ...withRuntimeEnv(what, overrides) }
    checkActorOptions(what, options, this.shape)
    return new ActorClassImpl(this.Class, this.shape, options, this.site)
  }

  remote(...args: unknown[]): Handle {
    const runtime = current()
    const { name } = this.shape
    checkArity(`new ${name || 'actor'}`, this.shape.requiredArgs, this.shape.maxArgs, args.length)
    checkRoom(name || 'actor', this.actorOptions, toAmounts(resourcesOf(this.actorOptions, 0)))
    const { captured } = runtime
    const code = this.captured(runtime)
    const environment = environmentOf(runtime, this.actorOptions.runtimeEnv)
    const held: Entry[] = []
    const encoded = runtime.arguments.encode(args, held)
    const seq = runtime.owner.nextSeq(1)
    const actorId = objectId(runtime.self, seq)
    const shape = this.actorShape()
    const entry = runtime.owner.actorEntry(seq)
    const actor = runtime.owner.actor(actorId, true, shape.className, shape.ordered)
    actor.watched = true
    const handle = makeHandle(actor, shape, runtime, runtime.requests)
    const create = (): void => {
      const spec = {
        ...this.spec(actorId, shape, code, argumentBytes(encoded, args.length, runtime), captured),
        environment,
        job: jobOf(runtime),
      }
      runtime.send(runtime.node, { is: 'actorCreate', spec })
      runtime.send(runtime.node, { is: 'actorWatch', actorId })
      runtime.mesh.scheduleFlush()
    }
    // What the constructor takes is held as long as the actor may be made again.
    entry.contained = held
    whenAllSettled(runtime, encoded, create, failed => {
      const cause = runtime.reader.failure(failed)
      const error = new ActorDiedError(
        `the actor ${shape.className} was not made: an argument of its constructor failed: ${cause.message}`,
        { actorId, cause },
      )
      runtime.actorFailed(actor, error)
    })
    return handle
  }

  private captured(runtime: Runtime): Code {
    if (this.code?.runtime !== runtime) {
      const code = captureFunction(this.Class, { env: this.actorOptions.env ?? null, site: this.site, context: runtime.context })
      for (const entry of runtime.travel.entriesOf(code.references)) entry.holds++
      this.code = { runtime, code }
    }
    return this.code.code
  }

  private actorShape(): ActorShape {
    const { actorOptions, shape } = this
    const methods = Object.entries(shape.methods ?? {})
    const isAsync = methods.some(([, method]) => method.isAsync)
    const maxConcurrency = actorOptions.maxConcurrency ?? (isAsync ? limits.asyncConcurrencyDefault : 1)
    return {
      className: shape.name || 'Actor',
      isAsync,
      maxTaskRetries: actorOptions.maxTaskRetries ?? 0,
      maxPendingCalls: actorOptions.maxPendingCalls ?? -1,
      ordered: !isAsync && maxConcurrency === 1 && actorOptions.concurrencyGroups === undefined && !actorOptions.allowOutOfOrderExecution,
      groups: Object.keys(actorOptions.concurrencyGroups ?? {}),
      methods: methods.map(([name, method]) => {
        const given = actorOptions.methods?.[name]
        return {
          name,
          requiredArgs: method.requiredArgs,
          maxArgs: method.maxArgs,
          numReturns: given?.numReturns ?? 1,
          maxTaskRetries: given?.maxTaskRetries ?? null,
          concurrencyGroup: given?.concurrencyGroup ?? null,
        }
      }),
    }
  }

  private spec(
    actorId: string,
    shape: ActorShape,
    code: Code,
    args: Uint8Array,
    captured: string | null,
  ): Omit<ActorSpec, 'environment' | 'job'> {
    const { actorOptions } = this
    const held = toAmounts(resourcesOf(actorOptions, 0))
    const named = (['numCpus', 'numGpus', 'memoryBytes', 'resources'] as const).some(key => actorOptions[key] !== undefined)
    return {
      actorId,
      className: shape.className,
      name: actorOptions.name ?? null,
      namespace: actorOptions.namespace ?? namespaceOf(),
      detached: actorOptions.lifetime === 'detached',
      outlivesJob: actorOptions.lifetime === 'detached' || (currentContext()?.outlivesJob ?? false),
      getIfExists: actorOptions.getIfExists ?? false,
      maxRestarts: actorOptions.maxRestarts ?? 0,
      placement: named ? held : toAmounts(resourcesOf(actorOptions, 1)),
      held,
      where: whereOf(actorOptions, captured),
      maxConcurrency: actorOptions.maxConcurrency ?? (shape.isAsync ? limits.asyncConcurrencyDefault : 1),
      concurrencyGroups: actorOptions.concurrencyGroups ?? {},
      methodGroups: {},
      isAsync: shape.isAsync,
      maxTaskRetries: shape.maxTaskRetries,
      maxPendingCalls: shape.maxPendingCalls,
      codeHash: code.hash,
      code: code.bytes,
      args,
      shape: encodeShape(shape),
    }
  }
}

/** u16 count, then the arguments as in a task frame. */
function argumentBytes(encoded: Uint8Array | Argument[], argCount: number, runtime: Runtime): Uint8Array {
  const pieces =
    encoded instanceof Uint8Array
      ? [encoded]
      : encoded.map(piece => (piece instanceof Uint8Array ? piece : resolvedArgument(piece, runtime)))
  const bytes = Buffer.concat([new Uint8Array(2), ...pieces])
  bytes.writeUInt16LE(argCount, 0)
  return bytes
}

/** Calls `then` once all refs among the arguments have values, or `otherwise` with one that failed. */
function whenAllSettled(runtime: Runtime, encoded: Uint8Array | Argument[], then: () => void, otherwise: (failed: Entry) => void): void {
  const entries = encoded instanceof Uint8Array ? [] : encoded.filter((piece): piece is Entry => piece instanceof Entry)
  let missing = 1
  const settled = (entry: Entry | null): void => {
    if (missing > 0 && entry?.state === STATE.failed) {
      missing = -1
      otherwise(entry)
    } else if (--missing === 0) then()
  }
  for (const entry of entries) {
    missing++
    whenSettled(runtime, entry, settled)
  }
  settled(null)
}

/** The ref type of a method's result, for helpers that take methods. */
export type MethodRef<M> = M extends RemoteMethod<readonly unknown[], infer R> ? ObjectRef<Awaited<R>> : never
