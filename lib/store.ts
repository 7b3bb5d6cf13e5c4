// SPDX-License-Identifier: Apache-2.0
// The object store by itself: any Node programs of one user share arrays, Arrow tables and values by path, without a
// cluster. Nothing stands between a program and the shared memory: every operation works on the segment directly.

import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { Decoder, Encoder, encodeArrayHeader, encodeSmall } from './codec/value.js'
import { checkViewable } from './codec/view-limit.js'
import { GetTimeoutError, ObjectExistsError, ObjectStoreFullError } from './errors.js'
import { isObjectId } from './ids.js'
import { bellOf, type StoreBell } from './io/store-bell.js'
import { removeAtEnd, removeNow, unnamedPath } from './io/store-home.js'
import { type StoreEvent, StoreWatch } from './io/store-watch.js'
import { type NativeStore, native } from './native.js'
import { limits } from './options.js'
import { Copied, Pinned, type StoredObject } from './run/stored-object.js'

export type { StoreEvent } from './io/store-watch.js'
export type { StoredObject } from './run/stored-object.js'

/** 40 hex digits. */
export type ObjectId = string

export interface CreateOptions {
  /** Directory of the store, which must not exist; made with mode 0700. Default: one of its own in shared memory. */
  path?: string
  /** Bytes for objects. */
  capacityBytes: number
  /** Touch all of it now, so that no first use is slow. Default false. */
  prefault?: boolean
  /** null: a full store is an error, and never evicts. The only choice in this version. */
  spillDir?: null
}

export interface ObjectInfo {
  id: ObjectId
  sizeBytes: number
  state: 'creating' | 'sealed' | 'deleting'
  createdAtMs: number
  /** Process ids of those that hold a view. */
  pinnedBy: number[]
}

export interface StoreStats {
  capacityBytes: number
  usedBytes: number
  largestFreeBytes: number
  objects: number
  sealed: number
  pins: number
  clients: number
}

/** Writable shared memory on its way to an object. After `seal` or `abort`, `bytes` has length 0. */
export interface ObjectBuilder {
  readonly bytes: Uint8Array
  /** Makes it an object, without a copy. */
  seal(): ObjectId
  /** Gives the memory back. */
  abort(): void
}

const SMALL_BYTES = 16 * 1024

export class ObjectStore implements Disposable {
  private readonly encoder = new Encoder({ references: null, functions: null })
  private readonly decoder = new Decoder({ references: null, functions: null })
  private readonly scratch = new Uint8Array(SMALL_BYTES)
  private readonly view = new DataView(this.scratch.buffer)
  private readonly out = new Uint8Array(limits.copyOutBytesMax)
  private readonly bell: StoreBell
  private closed = false

  private constructor(
    private readonly store: NativeStore,
    private readonly isCreator: boolean,
  ) {
    this.bell = bellOf(store)
    if (isCreator) removeAtEnd(store.path)
  }

  /**
   * Makes a store. It lives as long as its creator: `close`, or the end of this process, ends it for all.
   * Rejects with ERR_EAGLERAY_STORE_SPACE when the file system cannot hold it, RangeError for a capacity that is none.
   * @example const store = await ObjectStore.create({ capacityBytes: 1 << 30 })
   */
  static async create(options: CreateOptions): Promise<ObjectStore> {
    const { capacityBytes, path = unnamedPath(), prefault = false } = checkedCreate(options)
    return new ObjectStore(native.createStore(resolve(path), capacityBytes, randomBytes(5).toString('hex'), prefault), true)
  }

  /** Joins a store that another process of this user made. Rejects when there is none, or one of another version. */
  static async open(path: string): Promise<ObjectStore> {
    if (typeof path !== 'string') throw new TypeError('ObjectStore.open() takes the path of a store')
    return new ObjectStore(native.openStore(resolve(path)), false)
  }

  get path(): string {
    return this.store.path
  }

  /**
   * Copies a value into the store. Throws ObjectStoreFullError, ObjectExistsError for an id that is there already,
   * SerializationError for what cannot be stored.
   */
  put(data: unknown, id: ObjectId = newId()): ObjectId {
    this.check(id)
    const size = encodeSmall(data, this.scratch, this.view, 0)
    if (size > 0) this.attempt(id, size, () => this.store.put(id, this.scratch, size))
    else {
      const encoded = this.encoder.encode(data, 'value')
      checkViewable('put()', encoded.byteLength)
      this.attempt(id, encoded.byteLength, () =>
        this.store.putParts(id, encoded.byteLength, [encoded.head, ...encoded.buffers], [0, ...encoded.offsets]),
      )
    }
    return id
  }

  /** Writable shared memory of `byteLength` bytes, to be filled in place: no copy is made at all. */
  create(byteLength: number, id: ObjectId = newId()): ObjectBuilder {
    this.check(id)
    if (!Number.isInteger(byteLength) || byteLength < 0)
      throw new RangeError(`create(): byteLength is ${byteLength}; it must be a whole number, 0 or more`)
    const place = encodeArrayHeader(Uint8Array, byteLength)
    checkViewable('create()', place.byteLength)
    const buffer = this.attempt(id, place.byteLength, () => this.store.create(id, place.byteLength))
    new Uint8Array(buffer).set(place.head)
    let open = true
    const end = (what: string): void => {
      this.checkOpen()
      if (!open) throw new TypeError(`${what}: this object was sealed or aborted before`)
      open = false
    }
    const seal = (): ObjectId => {
      end('seal()')
      this.store.seal(id)
      return id
    }
    const abort = (): void => {
      end('abort()')
      this.store.abort(id)
    }
    return { bytes: new Uint8Array(buffer, place.offset, byteLength), seal, abort }
  }

  /**
   * The object, once it is sealed. Rejects with GetTimeoutError after `timeoutMs` milliseconds (0: now or never); without it
   * it waits for ever.
   */
  async get(id: ObjectId, options: { timeoutMs?: number } = {}): Promise<StoredObject> {
    const { timeoutMs = Number.POSITIVE_INFINITY } = checkedGet(options)
    const object = this.find(id) ?? (await this.sealed(id, timeoutMs))
    const preparing = object.prepare()
    if (preparing !== null) await preparing
    return object
  }

  /** The object if it is sealed now, else null. Never waits. */
  tryGet(id: ObjectId): StoredObject | null {
    return this.find(id)
  }

  private find(id: ObjectId): Copied | Pinned | null {
    this.check(id)
    const length = this.store.read(id, this.out)
    if (length < 0) return null
    if (length <= this.out.length) return new Copied(id, this.out.slice(0, length), this.decoder)
    checkViewable(`get() of ${id}`, length)
    const buffer = this.store.view(id)
    return buffer === null ? null : new Pinned(id, buffer, this.store, this.decoder)
  }

  /** Waits for the seal. An object that is deleted again before it was found is waited for on. */
  private async sealed(id: ObjectId, timeoutMs: number): Promise<Copied | Pinned> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      this.checkOpen()
      this.bell.listen(this.store)
      this.store.expect(id)
      const object = this.find(id)
      if (object !== null) return object
      const leftMs = deadline - performance.now()
      if (!(leftMs > 0)) throw new GetTimeoutError(`the object ${id} was not sealed within ${timeoutMs} ms`, { timeoutMs, pending: [id] })
      await this.bell.rung(leftMs === Number.POSITIVE_INFINITY ? null : leftMs)
    }
  }

  contains(id: ObjectId): boolean {
    this.check(id)
    return this.store.contains(id)
  }

  /** Gone for new readers at once; its memory comes free with the last view of it. False when there was none. */
  delete(id: ObjectId): boolean {
    this.check(id)
    return this.store.delete(id)
  }

  /** Every object, also those being made, and those deleted that somebody still views. Gives back what dead processes held. */
  list(): ObjectInfo[] {
    this.checkOpen()
    this.store.reapDead()
    const pids = new Map(this.store.clients().map(client => [client.slot, client.pid]))
    return this.store.list().map(({ id, sizeBytes, state, createdAtMs, pinnedBy }) => ({
      id,
      sizeBytes,
      state,
      createdAtMs,
      pinnedBy: pinnedBy.map(slot => pids.get(slot) ?? 0),
    }))
  }

  /** Sizes and counts. Gives back what dead processes held. */
  stats(): StoreStats {
    this.checkOpen()
    this.store.reapDead()
    const { capacityBytes, usedBytes, largestFreeBytes, objects, sealed, pins, clients } = this.store.stats()
    return { capacityBytes, usedBytes, largestFreeBytes, objects, sealed, pins, clients }
  }

  /**
   * What is sealed and deleted from this call on, by any process. Waiting is by doorbell, and keeps the process alive. The events
   * are what differs between two looks: an object that came and went in between is not told. Ends with the store's `close`.
   * @example for await (const { type, id } of store.watch()) console.log(type, id)
   */
  watch(): AsyncIterableIterator<StoreEvent> {
    this.checkOpen()
    return new StoreWatch(this.store, this.bell, () => this.closed)
  }

  /** Leaves the store; views that are alive stay readable. The creator's close removes it. May be called twice. */
  close(): void {
    if (this.closed) return
    this.closed = true
    this.bell.leave()
    this.store.close()
    if (this.isCreator) removeNow(this.store.path)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  private checkOpen(): void {
    if (this.closed) throw new TypeError('the store was closed')
  }

  private check(id: ObjectId): void {
    this.checkOpen()
    if (typeof id !== 'string' || !isObjectId(id))
      throw new TypeError(`an object id is a string of 40 lower-case hex digits, which ${JSON.stringify(id)} has not`)
  }

  /** What is in the way may be of a process that died: then once more without it. */
  private attempt<T>(id: ObjectId, requestedBytes: number, write: () => T): T {
    try {
      return write()
    } catch (error) {
      if (!inTheWay(error) || this.store.reapDead().length === 0) throw this.explained(error, id, requestedBytes)
    }
    try {
      return write()
    } catch (error) {
      throw this.explained(error, id, requestedBytes)
    }
  }

  private explained(error: unknown, id: ObjectId, requestedBytes: number): unknown {
    if (!inTheWay(error)) return error
    if (error.code === EXISTS) return new ObjectExistsError(`there is an object ${id} already`, { objectId: id, cause: error })
    const largest = this.list().sort((a, b) => b.sizeBytes - a.sizeBytes)
    const holders = largest.slice(0, 10).map(each => ({
      objectId: each.id,
      sizeBytes: each.sizeBytes,
      owner: '',
      reason: each.pinnedBy.length > 0 ? `viewed by pid ${each.pinnedBy.join(', ')}` : 'not deleted',
      callSite: 'unknown call site',
    }))
    return new ObjectStoreFullError(error.message, { requestedBytes, cause: error, holders })
  }
}

const EXISTS = 'ERR_EAGLERAY_OBJECT_EXISTS'
const FULL = 'ERR_EAGLERAY_OBJECT_STORE_FULL'

function inTheWay(error: unknown): error is Error & { code: string } {
  return [EXISTS, FULL].includes((error as NodeJS.ErrnoException).code ?? '')
}

function checkedCreate(options: CreateOptions): CreateOptions {
  const wrong = (what: string): TypeError => new TypeError(`ObjectStore.create(): ${what}`)
  if (typeof options !== 'object' || options === null) throw wrong('options must be an object')
  for (const key of Object.keys(options))
    if (!['path', 'capacityBytes', 'prefault', 'spillDir'].includes(key)) throw wrong(`unknown option ${key}`)
  const { path, capacityBytes, prefault, spillDir } = options
  if (spillDir !== undefined && spillDir !== null)
    throw wrong('spilling to a directory is not supported by this version of eagleray; leave spillDir out or pass null')
  if (path !== undefined && (typeof path !== 'string' || path === '')) throw wrong('path must be that of a directory to be made')
  if (prefault !== undefined && typeof prefault !== 'boolean') throw wrong('prefault must be true or false')
  if (typeof capacityBytes !== 'number') throw wrong('capacityBytes must be a number of bytes')
  if (!Number.isSafeInteger(capacityBytes) || capacityBytes <= 0)
    throw new RangeError(`ObjectStore.create(): capacityBytes is ${capacityBytes}; it must be a positive whole number of bytes`)
  return options
}

function newId(): ObjectId {
  return randomBytes(20).toString('hex')
}

function checkedGet(options: { timeoutMs?: number }): { timeoutMs?: number } {
  if (typeof options !== 'object' || options === null) throw new TypeError('get(): options must be an object')
  for (const key of Object.keys(options)) if (key !== 'timeoutMs') throw new TypeError(`get(): unknown option ${key}`)
  const { timeoutMs } = options
  if (timeoutMs === undefined) return options
  if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) throw new TypeError('get(): timeoutMs must be a number of milliseconds')
  if (timeoutMs < 0) throw new RangeError(`get(): timeoutMs is ${timeoutMs}; it must be 0 or more`)
  return options
}
