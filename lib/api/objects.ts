// SPDX-License-Identifier: Apache-2.0
// put, get, wait, cancel, createArray, release, explain.

import { encodeArrayHeader } from '../codec/value.js'
import { checkViewable } from '../codec/view-limit.js'
import { objectId } from '../ids.js'
import { callSiteText } from '../run/call-site.js'
import { type Explanation, explainFully } from '../run/explain.js'
import { checkTimeout, count, flag, refuseUnknown } from '../run/option-checks.js'
import { entryOf, ObjectRef } from '../run/ref.js'
import { type Runtime, session } from '../run/runtime.js'
import * as waits from '../run/waits.js'
import { current, currentOrStarted } from './init.js'

export type ValueOf<R> = R extends ObjectRef<infer T> ? T : never
type Values<R extends readonly ObjectRef[]> = { -readonly [K in keyof R]: ValueOf<R[K]> }

export interface GetOptions {
  /** How long to wait, in milliseconds; 0 is now or never. Left out: for ever. */
  timeoutMs?: number
}

export type WaitOptions = waits.WaitOptions

/**
 * Copies a value into the object store and gives a ref to it. Synchronous: later changes to `value` do not show.
 * Throws SerializationError for what cannot travel (with the path to it), ObjectStoreFullError, TypeError for an ObjectRef.
 * @example const ref = put(new Float64Array(1e6))
 */
export function put<T>(value: T): ObjectRef<T> {
  if (value instanceof ObjectRef) throw new TypeError('put() of an ObjectRef: the value is in the store already; pass the ref itself')
  const runtime = current()
  const ref = new ObjectRef<T>(runtime.puts.value(value), runtime)
  runtime.mesh.scheduleFlush()
  return ref
}

/**
 * The value of a ref, or the values of an array of refs in its order. Arrays of 4 KiB and more come as views over shared memory.
 * Rejects with the error of a failed task (for an array: as soon as one is known to have failed), GetTimeoutError, ObjectLostError.
 * @example const [a, b] = await get([left, right], { timeoutMs: 1000 })
 */
export function get<T>(ref: ObjectRef<T>, options?: GetOptions): Promise<T>
export function get<const R extends readonly ObjectRef[]>(refs: R, options?: GetOptions): Promise<Values<R>>
export async function get(refs: unknown, options?: GetOptions): Promise<unknown> {
  if (options !== undefined) checkTimeout('get()', options, ['timeoutMs'])
  return waits.get(session.runtime ?? (await startedFor(refs)), refs, options?.timeoutMs)
}

/**
 * Waits until `numReturns` (1) of the refs have values or have failed, or the time is over. Gives exactly that many as
 * ready when there are, the others as pending, both in the order of `refs`.
 * @example const [[first], rest] = await wait(refs)
 */
export async function wait<T>(
  refs: readonly ObjectRef<T>[],
  options: WaitOptions = {},
): Promise<[ready: ObjectRef<T>[], pending: ObjectRef<T>[]]> {
  checkTimeout('wait()', options, ['numReturns', 'timeoutMs', 'fetchLocal'])
  return (await waits.wait(session.runtime ?? (await startedFor(refs)), refs, options)) as [ObjectRef<T>[], ObjectRef<T>[]]
}

/** Starts a session for a first call without any ref; refs can only be of one that has ended. */
function startedFor(refs: unknown): Promise<Runtime> {
  for (const ref of Array.isArray(refs) ? refs : [refs]) if (ref instanceof ObjectRef) entryOf(ref)
  return currentOrStarted()
}

/**
 * Asks that the task which makes this value stop: a queued one never starts, a running one gets its `signal` aborted
 * (`force`: its process is ended). `get` then rejects with TaskCancelledError. `recursive` (default true): its children too.
 * No effect on a task that has ended. A body that does not heed its signal, such as a loop that awaits nothing, runs on and keeps its CPU until it
 * ends, unless `force` ends it.
 */
export function cancel(ref: ObjectRef, options: { force?: boolean; recursive?: boolean } = {}): void {
  if (!(ref instanceof ObjectRef)) throw new TypeError('cancel() takes an ObjectRef')
  refuseUnknown('cancel()', options, ['force', 'recursive'])
  flag('cancel()', 'force', options.force)
  flag('cancel()', 'recursive', options.recursive)
  const entry = entryOf(ref)
  const runtime = current()
  if (options.force && entry.task !== null && 'actor' in entry.task)
    throw new RangeError('cancel(): force is not for calls on actors; use kill(handle)')
  runtime.act({ is: 'cancel', entry, force: options.force ?? false, recursive: options.recursive ?? true })
  runtime.mesh.scheduleFlush()
}

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array
export interface TypedArrayConstructor<A extends TypedArray = TypedArray> {
  new (length: number): A
  new (buffer: ArrayBuffer, byteOffset: number, length: number): A
  readonly BYTES_PER_ELEMENT: number
  readonly name: string
}

/** An array being made in shared memory. After `seal` or `abort`, `array` has length 0; so it has once the builder is collected. */
export interface ArrayBuilder<A extends TypedArray = TypedArray> {
  readonly array: A
  /** Makes it an object, without a copy. */
  seal(): ObjectRef<A>
  /** Gives the memory back. */
  abort(): void
}

/**
 * A typed array in the object store, to be filled in place: it is not zeroed. Throws ObjectStoreFullError, RangeError for a bad length.
 * @example const b = createArray(Float64Array, 1e8); b.array.fill(1); const ref = b.seal()
 */
export function createArray<A extends TypedArray>(type: TypedArrayConstructor<A>, length: number): ArrayBuilder<A> {
  if (typeof type !== 'function' || !(type.BYTES_PER_ELEMENT > 0))
    throw new TypeError('createArray() takes a typed array constructor, such as Float64Array')
  count('createArray()', 'length', length, 0)
  const runtime = current()
  const { head, offset, byteLength } = encodeArrayHeader(type, length)
  checkViewable('createArray()', byteLength)
  const seq = runtime.owner.nextSeq(1)
  const id = objectId(runtime.self, seq)
  const buffer = runtime.puts.full(byteLength, () => runtime.store.create(id, byteLength))
  new Uint8Array(buffer).set(head)
  const array = new type(buffer, offset, length)
  const draft = new Draft(runtime, id)
  const site = callSiteText()
  const seal = (): ObjectRef<A> => {
    draft.end('seal()')
    runtime.store.seal(id)
    const entry = runtime.owner.stored(seq, byteLength, null)
    entry.callSite = site
    return new ObjectRef<A>(entry, runtime)
  }
  const abort = (): void => {
    draft.end('abort()')
    runtime.store.abort(id)
  }
  return { array, seal, abort }
}

/** What `seal` and `abort` of one array share: when neither can be called any more, the memory goes back. */
class Draft {
  private open = true

  constructor(
    private readonly runtime: Runtime,
    id: string,
  ) {
    forgotten.register(this, { runtime, id }, this)
  }

  end(what: string): void {
    if (!this.open) throw new TypeError(`${what}: this array was sealed or aborted before`)
    if (this.runtime.closed) throw new TypeError(`${what}: the session of this array has ended`)
    this.open = false
    forgotten.unregister(this)
  }
}

const forgotten = new FinalizationRegistry<{ runtime: Runtime; id: string }>(({ runtime, id }) => {
  if (!runtime.closed) runtime.store.abort(id)
})

/** Ends this process's view of a zero-copy value at once: the arrays in it become length 0. Without views in it, or a second time: no effect. */
export function release(value: unknown): void {
  const { runtime } = session
  if (runtime === null) return
  const seen = new Set<object>()
  const queue: unknown[] = [value]
  while (queue.length > 0) {
    const each = queue.pop()
    if (typeof each !== 'object' || each === null || seen.has(each)) continue
    seen.add(each)
    if (ArrayBuffer.isView(each)) queue.push(each.buffer)
    else if (each instanceof ArrayBuffer) runtime.store.release(each)
    else if (each instanceof Map) for (const [key, inner] of each) queue.push(key, inner)
    else if (each instanceof Set) for (const inner of each) queue.push(inner)
    else for (const inner of Object.values(each)) queue.push(inner)
  }
}

/** Why a value is not there yet: which argument, worker, resource, runtime environment or actor it waits for. */
export async function explain(ref: ObjectRef): Promise<Explanation> {
  if (!(ref instanceof ObjectRef)) throw new TypeError('explain() takes an ObjectRef')
  const entry = entryOf(ref)
  const runtime = await currentOrStarted()
  return explainFully(runtime, entry)
}
