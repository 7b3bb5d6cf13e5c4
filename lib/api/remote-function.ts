// SPDX-License-Identifier: Apache-2.0
// Remote functions: `.remote()` submits a task and gives its ref at once.

import { callSite, captureFunction, type FunctionShape } from '../codec/function.js'
import type { Entry } from '../core/owner/entry.js'
import { type CodeRef, Task } from '../core/owner/task.js'
import { limits } from '../options.js'
import { jobOf } from '../run/job.js'
import type { ObjectRef } from '../run/ref.js'
import { checkArity, refsOf } from '../run/requests.js'
import type { Runtime } from '../run/runtime.js'
import { currentContext } from '../run/task-context.js'
import type { SchedulingClass } from '../wire/messages.js'
import { current } from './init.js'
import { environmentOf, withRuntimeEnv } from './runtime-env.js'
import { checkTaskOptions, schedulingClass, type TaskOptions } from './task-options.js'

/** Marks what `remote()` gave, with the function or class behind it. */
export const REMOTE = Symbol.for('eagleray.remote')
export const REMOTE_OPTIONS = Symbol.for('eagleray.remoteOptions')

/** Where a value is expected, a ref to such a value may stand. */
export type RemoteArguments<A extends readonly unknown[]> = { [K in keyof A]: A[K] | ObjectRef<A[K]> }

/** A tuple of refs for a tuple of values. */
type RefsTo<T extends readonly unknown[]> = { -readonly [K in keyof T]: ObjectRef<T[K]> }

/** Refs for `numReturns` N of a function that returns R. */
export type Returned<R, N> = N extends 0
  ? undefined
  : N extends 1
    ? ObjectRef<Awaited<R>>
    : number extends N
      ? ObjectRef<unknown>[]
      : Awaited<R> extends readonly unknown[]
        ? RefsTo<Awaited<R>>
        : ObjectRef<unknown>[]

/** What `.options({ numReturns })` makes of N. */
export type ReturnsOf<O, N> = O extends { numReturns: infer M } ? M : N

export interface RemoteFunction<A extends readonly unknown[], R, N = 1> {
  /** Submits a task; never blocks. Throws TypeError for a wrong number of arguments, SerializationError for what cannot travel. */
  remote(...args: RemoteArguments<A>): Returned<R, N>
  /** The same function with other options; this one is untouched. */
  options<const O extends TaskOptions>(overrides: O): RemoteFunction<A, R, ReturnsOf<O, N>>
}

/** Code captured at the first call, shared by all `.options()` of one `remote()`. */
class Definition {
  private code: { runtime: Runtime; hash: string; bytes: Uint8Array } | null = null
  private readonly byName = new Map<string, CodeRef>()
  private readonly site = callSite()

  constructor(
    readonly fn: Function,
    readonly shape: FunctionShape,
    private readonly env: Record<string, unknown> | null,
  ) {}

  /** What ships; captured now if this is the first call of this session. */
  ref(runtime: Runtime, name: string): CodeRef {
    if (this.code?.runtime !== runtime) {
      const { hash, bytes, references } = captureFunction(this.fn, { env: this.env, site: this.site, context: runtime.context })
      for (const entry of runtime.travel.entriesOf(references)) entry.holds++
      this.code = { runtime, hash, bytes }
      this.byName.clear()
    }
    let ref = this.byName.get(name)
    if (ref === undefined) {
      ref = { hash: this.code.hash, bytes: this.code.bytes, name, bodyMs: null }
      this.byName.set(name, ref)
    }
    return ref
  }
}

const NO_HOLDS: Entry[] = []

export class RemoteFunctionImpl {
  private scheduling: SchedulingClass | null = null
  private readonly name: string
  private readonly returns: number
  private ref: CodeRef | null = null
  private runtime: Runtime | null = null
  private captured: string | null = null

  constructor(
    private readonly definition: Definition,
    private readonly taskOptions: TaskOptions,
  ) {
    this.name = taskOptions.name ?? (definition.shape.name || 'anonymous')
    this.returns = taskOptions.numReturns ?? 1
  }

  static define(fn: Function, shape: FunctionShape, options: TaskOptions): RemoteFunctionImpl {
    const name = typeof options?.name === 'string' ? options.name : shape.name
    const call = `remote(${name || 'function'})`
    checkTaskOptions(call, options)
    if (shape.isGenerator)
      throw new TypeError(
        `${call}: generator functions are not supported by this version of eagleray; return an array with numReturns, or use an actor`,
      )
    const resolved = withRuntimeEnv(call, options)
    return new RemoteFunctionImpl(new Definition(fn, shape, options.env ?? null), resolved)
  }

  get [REMOTE](): Function {
    return this.definition.fn
  }

  get [REMOTE_OPTIONS](): TaskOptions {
    return this.taskOptions
  }

  remote(...args: unknown[]): ObjectRef | ObjectRef[] | undefined {
    const runtime = current()
    if (this.runtime !== runtime || this.captured !== runtime.captured) {
      this.captured = runtime.captured
      this.ref = this.definition.ref(runtime, this.name)
      this.scheduling = schedulingClass(
        this.taskOptions,
        environmentOf(runtime, this.taskOptions.runtimeEnv),
        jobOf(runtime),
        this.captured,
      )
      this.runtime = runtime
    }
    const { shape } = this.definition
    checkArity(this.name, shape.requiredArgs, shape.maxArgs, args.length)
    let held: Entry[] = NO_HOLDS
    let encoded: Task['args'] = EMPTY
    if (args.length > 0) {
      held = []
      encoded = runtime.arguments.encode(args, held)
    }
    const { taskOptions } = this
    const parent = currentContext()
    const task = new Task(
      runtime.owner.nextSeq(this.returns),
      this.name,
      this.ref as CodeRef,
      this.scheduling as SchedulingClass,
      encoded,
      args.length,
      this.returns,
      taskOptions.maxRetries ?? limits.maxRetriesDefault,
      taskOptions.retryExceptions ?? false,
      held,
      parent,
    )
    task.outlivesJob = parent?.outlivesJob ?? false
    runtime.act({ is: 'submit', task })
    runtime.mesh.scheduleFlush()
    return refsOf(runtime, task.entries)
  }

  options(overrides: TaskOptions): RemoteFunctionImpl {
    checkTaskOptions(`${this.name}.options()`, overrides)
    if (overrides.env !== undefined)
      throw new TypeError(`${this.name}.options(): env belongs to remote(), where the function's captures are decided`)
    const resolved = withRuntimeEnv(`${this.name}.options()`, overrides)
    return new RemoteFunctionImpl(this.definition, { ...this.taskOptions, ...resolved })
  }
}

const EMPTY = new Uint8Array(0)
