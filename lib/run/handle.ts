// SPDX-License-Identifier: Apache-2.0
// ActorHandle: what users hold of an actor. Its methods are properties with `.remote()`; the class's shape says which.

import { decode, encode } from '@msgpack/msgpack'
import type { Actor } from '../core/owner/actor-calls.js'
import type { Entry } from '../core/owner/entry.js'
import { ActorDiedError } from '../errors.js'
import { limits } from '../options.js'
import { checkName, count, refuseUnknown } from './option-checks.js'
import type { ObjectRef } from './ref.js'
import { collected, type RefKeeper, Token } from './ref.js'

/** What callers need to know of a class, as it travels with handles. */
export interface ActorShape {
  className: string
  isAsync: boolean
  maxTaskRetries: number
  maxPendingCalls: number
  /** Calls keep their order per caller (not async, not concurrent, not asked otherwise). */
  ordered: boolean
  /** Names of the concurrency groups; a call names one by its place here. */
  groups: string[]
  methods: MethodShape[]
}

export interface MethodShape {
  name: string
  requiredArgs: number
  maxArgs: number | null
  numReturns: number
  maxTaskRetries: number | null
  concurrencyGroup: string | null
}

export interface CallOptions {
  numReturns?: number
  maxTaskRetries?: number
  concurrencyGroup?: string
  name?: string
}

/** What carries out a call; the runtime's side. */
export interface CallPort {
  call(handle: ActorHandle, method: number, shape: MethodShape, args: unknown[], options: CallOptions | null): unknown
}

let stateOf: (handle: ActorHandle) => HandleState

interface HandleState {
  actor: Actor
  shape: ActorShape
  token: Token | null
  keeper: RefKeeper
  port: CallPort
}

/** A method of an actor: `.remote()` calls it, and gives a ref at once. */
export class ActorMethod {
  constructor(
    private readonly handle: ActorHandle,
    private readonly index: number,
    private readonly callOptions: CallOptions | null,
  ) {}

  remote(...args: unknown[]): ObjectRef | ObjectRef[] | undefined {
    const { port, shape } = stateOf(this.handle)
    return port.call(this.handle, this.index, shape.methods[this.index] as MethodShape, args, this.callOptions) as ObjectRef
  }

  /** The same method with other options; this one is untouched. */
  options(overrides: CallOptions): ActorMethod {
    const { shape } = stateOf(this.handle)
    const method = shape.methods[this.index] as MethodShape
    checkMethodOptions(`${shape.className}.${method.name}.options()`, overrides, [
      'numReturns',
      'maxTaskRetries',
      'concurrencyGroup',
      'name',
    ])
    const group = overrides.concurrencyGroup
    if (group !== undefined && !shape.groups.includes(group))
      throw new RangeError(`${shape.className} has no concurrency group ${group}; it has ${shape.groups.join(', ') || 'none'}`)
    return new ActorMethod(this.handle, this.index, { ...this.callOptions, ...overrides })
  }
}

/** The options of a method, where the class is made remote and where it is called. */
export function checkMethodOptions(what: string, options: CallOptions, known: readonly string[]): void {
  refuseUnknown(what, options, known)
  count(what, 'numReturns', options.numReturns, 0, limits.returnsMax)
  count(what, 'maxTaskRetries', options.maxTaskRetries, -1)
  checkName(what, options.concurrencyGroup, 'concurrencyGroup')
  checkName(what, options.name)
}

/** A handle on an actor. It may be passed, stored and captured; the actor lives while a counted handle or a pending call does. */
export class ActorHandle {
  readonly #state: HandleState

  static {
    stateOf = handle => handle.#state
  }

  constructor(actor: Actor, shape: ActorShape, keeper: RefKeeper, port: CallPort) {
    const token = actor.entry === null ? null : new Token(actor.entry, keeper)
    this.#state = { actor, shape, token, keeper, port }
    if (token !== null) collected.register(this, token)
  }

  /** This handle no longer keeps the actor alive. */
  [Symbol.dispose](): void {
    this.#state.token?.end()
  }

  toString(): string {
    return describeHandle(this)
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return describeHandle(this)
  }
}

/** For messages: the class may have a method of the name toString. */
function describeHandle(handle: ActorHandle): string {
  const { shape, actor } = stateOf(handle)
  return `ActorHandle(${shape.className}, ${actor.actorId})`
}

/** The actor behind a handle. Throws TypeError for a disposed one, ActorDiedError when its session has ended. */
export function actorOf(handle: ActorHandle): Actor {
  const { actor, token, keeper } = stateOf(handle)
  if (keeper.closed) {
    const { actorId } = actor
    throw new ActorDiedError(`${describeHandle(handle)} is of a session that has ended`, { actorId })
  }
  if (token !== null && !token.live) throw new TypeError(`${describeHandle(handle)} was disposed and can no longer be used`)
  return actor
}

export function shapeOfHandle(handle: ActorHandle): ActorShape {
  return stateOf(handle).shape
}

const classes = new Map<string, typeof ActorHandle>()

/** A handle whose methods are those of the shape. */
export function makeHandle(actor: Actor, shape: ActorShape, keeper: RefKeeper, port: CallPort): ActorHandle {
  const key = JSON.stringify([shape.className, shape.methods.map(method => method.name)])
  let Handle = classes.get(key)
  if (Handle === undefined) {
    Handle = class extends ActorHandle {}
    shape.methods.forEach((method, index) => {
      Object.defineProperty(Handle?.prototype, method.name, {
        get(this: ActorHandle) {
          return new ActorMethod(this, index, null)
        },
        enumerable: true,
      })
    })
    classes.set(key, Handle)
  }
  return new Handle(actor, shape, keeper, port)
}

export function encodeShape(shape: ActorShape): Uint8Array {
  return encode(shape)
}

export function decodeShape(bytes: Uint8Array): ActorShape {
  return decode(bytes) as ActorShape
}

/** Entry that counts the handles; null for one found by name. */
export function entryOfHandle(handle: ActorHandle): Entry | null {
  return actorOf(handle).entry
}
