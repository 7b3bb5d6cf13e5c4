// SPDX-License-Identifier: Apache-2.0
// ObjectRef: what users hold. Each is one local count of its entry, given back when it is disposed or collected.

import type { Entry } from '../core/owner/entry.js'
import { ObjectLostError } from '../errors.js'
import { objectId } from '../ids.js'

/** What happens to counts when refs go; the runtime of this process. */
export interface RefKeeper {
  readonly self: string
  /** The session is over. */
  readonly closed: boolean
  unref(entry: Entry): void
  /** Others will know of the object: it is kept by count from now on. */
  share(entry: Entry): void
}

/** One count of an entry, ended once: by disposal or by collection of whatever was registered with it. */
export class Token {
  live = true
  constructor(
    readonly entry: Entry,
    readonly keeper: RefKeeper,
  ) {
    entry.local++
  }

  end(): void {
    if (!this.live) return
    this.live = false
    this.keeper.unref(this.entry)
  }
}

/** Ends the token of whatever object was registered, once that is collected. */
export const collected = new FinalizationRegistry<Token>(token => token.end())
let tokenOf: (ref: ObjectRef<unknown>) => Token

/**
 * A reference to a value that exists, or will once its task has run. Pass it to tasks (which get the value), to `get` and
 * `wait`, or inside other values (where it stays a reference). Dispose it (`using`, or `[Symbol.dispose]()`) to say at once
 * that this process no longer needs the value; otherwise garbage collection says so later.
 */
export class ObjectRef<T = unknown> {
  readonly #token: Token
  /** Only for the type system: refs of different values are different types. */
  declare readonly __type?: T

  static {
    tokenOf = ref => ref.#token
  }

  /** Not for users: refs come from `put`, `.remote()` and values. */
  constructor(entry: Entry, keeper: RefKeeper) {
    this.#token = new Token(entry, keeper)
    // What V8 watches for collection survives until the next full collection. Most results are small values that nobody
    // else ever hears of: their first ref is watched only once that turns out otherwise (see `watch`).
    if (entry.owner === null && entry.task !== null && entry.local === 1) entry.firstRef = this
    else collected.register(this, this.#token)
  }

  /** 40 hex digits: the owner's id and a number. */
  get id(): string {
    const { entry, keeper } = this.#token
    entry.id ??= objectId(entry.owner ?? keeper.self, entry.seq)
    return entry.id
  }

  /** This process no longer needs the value through this ref. The ref cannot be used afterwards. */
  [Symbol.dispose](): void {
    this.#token.end()
  }

  toString(): string {
    return `ObjectRef(${this.id})`
  }

  toJSON(): never {
    throw new TypeError(`an ObjectRef cannot be written as JSON (${this.id}): pass it as an argument, or get() its value first`)
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }
}

/** From now on the end of an entry's first ref is noticed. */
export function watch(entry: Entry): void {
  const ref = entry.firstRef as ObjectRef | null
  if (ref === null) return
  entry.firstRef = null
  collected.register(ref, tokenOf(ref))
}

/** The entry behind a ref that is about to travel: others will know of it. */
export function sharedEntryOf(ref: ObjectRef<unknown>): Entry {
  const entry = entryOf(ref)
  if (entry.isPrivate) {
    const token = tokenOf(ref)
    token.keeper.share(entry)
    collected.register(ref, token)
  } else watch(entry)
  return entry
}

/** The entry behind a ref. Throws TypeError for a disposed one. */
export function entryOf(ref: ObjectRef<unknown>): Entry {
  const token = tokenOf(ref)
  if (!token.live) throw new TypeError(`${ref.toString()} was disposed and can no longer be used`)
  if (token.keeper.closed) throw new ObjectLostError(`${ref.toString()} is of a session that has ended`, { objectId: ref.id })
  return token.entry
}
