// SPDX-License-Identifier: Apache-2.0
// The object store by itself: any Node programs of one user share arrays, Arrow tables and values by path, without a
// cluster. Nothing stands between a program and the shared memory: every operation works on the segment directly.

import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Decoder, decodeSmall, Encoder, encodeArrayHeader, encodeSmall, NOT_SMALL, payloadOf } from './codec/value.js'
import { GetTimeoutError, ObjectExistsError, ObjectStoreFullError } from './errors.js'
import { isObjectId } from './ids.js'
import { type NativePort, type NativeStore, native } from './native.js'
import { limits } from './options.js'

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

/** An object of the store, pinned until it is released or collected. */
export interface StoredObject extends Disposable {
  readonly id: ObjectId
  /** Of a binary value exactly its bytes; of a table an Arrow IPC stream; of any other value its encoding. Length 0 after `release`. */
  readonly bytes: Uint8Array
  /** The value; arrays of 4 KiB and more are views over the store. */
  value<T = unknown>(): T
  /** Ends the view at once: arrays over it become length 0. A second time: no effect. */
  release(): void
}

/** Writable shared memory on its way to an object. */
export interface ObjectBuilder {
  bytes: Uint8Array
  seal(): ObjectId
  abort(): void
}

const SMALL_BYTES = 16 * 1024
const INBOX_BYTES = 4096
const SHM = '/dev/shm'

export class ObjectStore implements Disposable {
  private readonly encoder = new Encoder({ references: null, functions: null })
  private readonly decoder = new Decoder({ references: null, functions: null })
  private readonly scratch = new Uint8Array(SMALL_BYTES)
  private readonly view = new DataView(this.scratch.buffer)
  private readonly waiting = new Map<ObjectId, Set<() => void>>()
  private port: NativePort | null = null
  private closed = false

  private constructor(
    private readonly store: NativeStore,
    private readonly isCreator: boolean,
  ) {
    if (isCreator) process.on('exit', this.remove)
  }

  /**
   * Makes a store. It lives as long as its creator: `close`, or the end of this process, ends it for all.
   * Rejects with ERR_EAGLERAY_STORE_SPACE when the file system cannot hold it, RangeError for a capacity that is none.
   * @example const store = await ObjectStore.create({ capacityBytes: 1 << 30 })
   */
  static async create(options: CreateOptions): Promise<ObjectStore> {
    const { capacityBytes } = options
    for (const key of Object.keys(options)) {
      if (!['path', 'capacityBytes', 'prefault', 'spillDir'].includes(key)) throw new TypeError(`ObjectStore.create(): unknown option ${key}`)
    }
    if (options.spillDir !== undefined && options.spillDir !== null) throw new TypeError('ObjectStore.create(): spilling to a directory is not supported by this version of eagleray; leave spillDir out or pass null')
    if (!Number.isInteger(capacityBytes) || capacityBytes <= 0) throw new RangeError(`ObjectStore.create(): capacityBytes is ${String(capacityBytes)}; it must be a positive whole number of bytes`)
    const path = options.path ?? join(process.platform === 'linux' ? SHM : tmpdir(), `eagleray-store-${process.pid}-${randomBytes(6).toString('hex')}`)
    return new ObjectStore(native.createStore(path, capacityBytes, randomBytes(5).toString('hex'), options.prefault ?? false), true)
  }

  /** Joins a store that another process of this user made. Rejects when there is none, or one of another version. */
  static async open(path: string): Promise<ObjectStore> {
    if (typeof path !== 'string') throw new TypeError('ObjectStore.open() takes the path of a store')
    return new ObjectStore(native.openStore(path), false)
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
      this.attempt(id, encoded.byteLength, () => this.store.putParts(id, encoded.byteLength, [encoded.head, ...encoded.buffers], [0, ...encoded.offsets]))
    }
    return id
  }

  /** Writable shared memory of `byteLength` bytes, to be filled in place: no copy is made at all. */
  create(byteLength: number, id: ObjectId = newId()): ObjectBuilder {
    this.check(id)
    if (!Number.isInteger(byteLength) || byteLength < 0) throw new RangeError(`create(): byteLength is ${byteLength}; it must be a whole number, 0 or more`)
    const place = encodeArrayHeader(Uint8Array, byteLength)
    const buffer = this.attempt(id, place.byteLength, () => this.store.create(id, place.byteLength))
    new Uint8Array(buffer).set(place.head)
    const seal = (): ObjectId => {
      this.store.seal(id)
      return id
    }
    return { bytes: new Uint8Array(buffer, place.offset, byteLength), seal, abort: () => this.store.abort(id) }
  }

  /** The object, once it is sealed. Rejects with GetTimeoutError after `timeoutMs`; without one it waits for ever. */
  async get(id: ObjectId, options: { timeoutMs?: number } = {}): Promise<StoredObject> {
    const found = this.tryGet(id)
    if (found !== null) return found
    const { timeoutMs } = options
    await this.sealed(id, timeoutMs)
    const object = this.tryGet(id)
    if (object === null) throw new GetTimeoutError(`the object ${id} was not sealed within ${timeoutMs} ms`, timeoutMs === undefined ? {} : { timeoutMs, pending: [id] })
    return object
  }

  /** The object if it is sealed now, else null. Never waits. */
  tryGet(id: ObjectId): StoredObject | null {
    this.check(id)
    const length = this.store.read(id, this.scratch)
    if (length < 0) return null
    if (length <= limits.copyOutBytesMax) return new Copied(id, this.scratch.slice(0, length), this.decoder)
    const buffer = this.store.view(id)
    return buffer === null ? null : new Pinned(id, buffer, this.store, this.decoder)
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

  list(): ObjectInfo[] {
    const pids = new Map(this.store.clients().map((client) => [client.slot, client.pid]))
    return this.store.list().map(({ id, sizeBytes, state, createdAtMs, pinnedBy }) => ({ id, sizeBytes, state, createdAtMs, pinnedBy: pinnedBy.map((slot) => pids.get(slot) ?? 0) }))
  }

  stats(): StoreStats {
    const { capacityBytes, usedBytes, largestFreeBytes, objects, sealed, pins, clients } = this.store.stats()
    return { capacityBytes, usedBytes, largestFreeBytes, objects, sealed, pins, clients }
  }

  /** Leaves the store; views that are alive stay readable. The creator's close removes it. May be called twice. */
  close(): void {
    if (this.closed) return
    this.closed = true
    this.port?.close()
    this.store.close()
    if (this.isCreator) {
      process.off('exit', this.remove)
      this.remove()
    }
    for (const waiters of this.waiting.values()) for (const wake of waiters) wake()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  private readonly remove = (): void => rmSync(this.store.path, { recursive: true, force: true })

  private check(id: ObjectId): void {
    if (this.closed) throw new TypeError('the store was closed')
    if (typeof id !== 'string' || !isObjectId(id)) throw new TypeError(`an object id has 40 hex digits, which ${JSON.stringify(id)} has not`)
  }

  private attempt<T>(id: ObjectId, requestedBytes: number, write: () => T): T {
    try {
      return write()
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'ERR_EAGLERAY_OBJECT_EXISTS') throw new ObjectExistsError(`there is an object ${id} already`, { objectId: id, cause: error })
      if (code !== 'ERR_EAGLERAY_OBJECT_STORE_FULL') throw error
      const holders = this.list().sort((a, b) => b.sizeBytes - a.sizeBytes).slice(0, 10)
      throw new ObjectStoreFullError(message, {
        requestedBytes,
        cause: error,
        holders: holders.map((each) => ({ objectId: each.id, sizeBytes: each.sizeBytes, owner: '', reason: each.pinnedBy.length > 0 ? `viewed by pid ${each.pinnedBy.join(', ')}` : 'not deleted', callSite: 'unknown call site' })),
      })
    }
  }

  /** Resolves when the object may be there, or the time is over. */
  private async sealed(id: ObjectId, timeoutMs: number | undefined): Promise<void> {
    if (timeoutMs === 0) return
    const port = this.listen()
    const waiters = this.waiting.get(id) ?? new Set()
    this.waiting.set(id, waiters)
    port.ref()
    const deadline = timeoutMs === undefined ? null : performance.now() + timeoutMs
    try {
      for (;;) {
        this.store.expect(id)
        const left = deadline === null ? null : deadline - performance.now()
        if (this.closed || this.store.contains(id) || (left !== null && left <= 0)) return
        await bell(waiters, left)
      }
    } finally {
      if (waiters.size === 0) this.waiting.delete(id)
      if (this.waiting.size === 0 && !this.closed) port.unref()
    }
  }

  private listen(): NativePort {
    this.port ??= native.openPort(
      this.store,
      {
        onPackets: () => {},
        onClosed: () => {},
        onOpened: () => {},
        onWritable: () => {},
        onSealed: () => {
          for (const waiters of this.waiting.values()) for (const wake of waiters) wake()
        },
      },
      new Uint8Array(native.packetBytesMax + INBOX_BYTES),
      new Int32Array(3),
      0,
    )
    return this.port
  }
}

function bell(waiters: Set<() => void>, leftMs: number | null): Promise<void> {
  return new Promise((resolve) => {
    const timer = leftMs === null ? undefined : setTimeout(() => wake(), leftMs)
    const wake = (): void => {
      clearTimeout(timer)
      waiters.delete(wake)
      resolve()
    }
    waiters.add(wake)
  })
}

function newId(): ObjectId {
  return randomBytes(20).toString('hex')
}

/** A small object, copied out. */
class Copied implements StoredObject {
  constructor(
    readonly id: ObjectId,
    private envelope: Uint8Array,
    private readonly decoder: Decoder,
  ) {}

  get bytes(): Uint8Array {
    return payloadOf(this.envelope)
  }

  value<T>(): T {
    if (this.envelope.length === 0) throw new TypeError(`the object ${this.id} was released`)
    const small = decodeSmall(this.envelope, new DataView(this.envelope.buffer, this.envelope.byteOffset), 0, this.envelope.length)
    return (small === NOT_SMALL ? this.decoder.decode(this.envelope, false) : small) as T
  }

  release(): void {
    this.envelope = new Uint8Array(0)
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

class Pinned implements StoredObject {
  private readonly envelope: Uint8Array

  constructor(
    readonly id: ObjectId,
    private readonly buffer: ArrayBuffer,
    private readonly store: NativeStore,
    private readonly decoder: Decoder,
  ) {
    this.envelope = new Uint8Array(buffer)
  }

  get bytes(): Uint8Array {
    return this.envelope.length === 0 ? this.envelope : payloadOf(this.envelope)
  }

  value<T>(): T {
    if (this.envelope.length === 0) throw new TypeError(`the object ${this.id} was released`)
    return this.decoder.decode(this.envelope, true) as T
  }

  release(): void {
    this.store.release(this.buffer)
  }

  [Symbol.dispose](): void {
    this.release()
  }
}
