// SPDX-License-Identifier: Apache-2.0
// The object store by itself: any Node programs of one user share arrays, Arrow tables and values by path, without a
// cluster. Nothing stands between a program and the shared memory: every operation works on the segment directly.

import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { encodeSmallBinary } from './codec/small-binary.js'
import { Decoder, Encoder, encodeArrayHeader, encodeSmall } from './codec/value.js'
import { checkViewable } from './codec/view-limit.js'
import { GetTimeoutError } from './errors.js'
import { isObjectId } from './ids.js'
import { collectViews } from './io/garbage.js'
import { lockedFolder, SPILL_PREFIX } from './io/locked-folder.js'
import { bellOf, type StoreBell } from './io/store-bell.js'
import { removeAtEnd, removeNow, unnamedPath } from './io/store-home.js'
import { type StoreEvent, StoreWatch } from './io/store-watch.js'
import { type NativeStore, native, ON_DISK } from './native.js'
import { callSiteText } from './run/call-site.js'
import { CopyPool } from './run/copy-pool.js'
import { inTheWay, storeError } from './run/store-errors.js'
import { metricsText } from './run/store-metrics.js'
import { type CreateOptions, checkedCreate, checkedGet } from './run/store-options.js'
import { Copied, Pinned, type StoredObject } from './run/stored-object.js'
import { ViewPressure } from './run/view-pressure.js'

export type { StoreEvent } from './io/store-watch.js'
export type { CreateOptions } from './run/store-options.js'
export type { StoredObject } from './run/stored-object.js'

/** 40 hex digits. */
export type ObjectId = string

export interface ObjectInfo {
  id: ObjectId
  sizeBytes: number
  state: 'creating' | 'sealed' | 'deleting'
  createdAtMs: number
  /** Process that created it; 0 when it is gone. */
  createdBy: number
  /** "file:line:column" of the program that created it; empty for objects below 64 KiB, whose making a look at the stack would slow down. */
  callSite: string
  /** Process ids of those that hold a view. */
  pinnedBy: number[]
  /** When it last came to be viewed (in seconds, as milliseconds since 1970); null when nobody views it. */
  pinnedSinceMs: number | null
  /** On disk, not in memory. */
  spilled: boolean
  /** In the store of a cluster's node: a copy of what another node has, which goes when room is needed. */
  secondary: boolean
}

export interface StoreStats {
  capacityBytes: number
  usedBytes: number
  largestFreeBytes: number
  objects: number
  sealed: number
  pins: number
  clients: number
  /** Of the sealed objects, on disk alone. */
  spilled: number
  /** What files of spilled objects take on disk. */
  diskBytes: number
  /** Written to disk and read back, since the store was made. */
  spilledObjects: number
  spilledBytes: number
  restoredObjects: number
  restoredBytes: number
  /** Taken out of memory, since the store was made: written for that, or not because a copy was on disk already. */
  evictedObjects: number
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
/** From this size on an object carries the place where it was made. */
const CALL_SITE_BYTES = 64 * 1024

export class ObjectStore implements Disposable {
  private readonly encoder = new Encoder({ references: null, functions: null })
  private readonly decoder = new Decoder({ references: null, functions: null })
  private readonly scratch = new Uint8Array(SMALL_BYTES)
  private readonly view = new DataView(this.scratch.buffer)
  private readonly copies = new CopyPool()
  private readonly sites = new Map<string, number>()
  private readonly bell: StoreBell
  private readonly pressure: ViewPressure
  private closed = false

  private constructor(
    private readonly store: NativeStore,
    /** Directories to remove with the store: its creator's. */
    private readonly own: readonly string[],
  ) {
    this.bell = bellOf(store)
    this.pressure = new ViewPressure(store)
    for (const path of own) removeAtEnd(path)
  }

  /**
   * Makes a store. It lives as long as its creator: `close`, or the end of this process, ends it for all.
   * Rejects with ERR_EAGLERAY_STORE_SPACE when the file system cannot hold it, RangeError for a capacity that is none.
   * @example const store = await ObjectStore.create({ capacityBytes: 1 << 30 })
   */
  static async create(options: CreateOptions): Promise<ObjectStore> {
    const { capacityBytes, path = unnamedPath(), prefault = false, spillDir = null, spillQuotaBytes } = checkedCreate(options)
    const disk = spillDir === null ? null : lockedFolder(resolve(spillDir), SPILL_PREFIX)
    const own = [resolve(path), ...(disk === null ? [] : [disk])]
    try {
      const quota = spillQuotaBytes ?? Number.MAX_SAFE_INTEGER
      return new ObjectStore(native.createStore(resolve(path), capacityBytes, randomBytes(5).toString('hex'), prefault, disk, quota), own)
    } catch (error) {
      if (disk !== null) removeNow(disk)
      throw error
    }
  }

  /** Joins a store that another process of this user made. Rejects when there is none, or one of another version. */
  static async open(path: string): Promise<ObjectStore> {
    if (typeof path !== 'string') throw new TypeError('ObjectStore.open() takes the path of a store')
    return new ObjectStore(native.openStore(resolve(path)), [])
  }

  get path(): string {
    return this.store.path
  }

  /**
   * Copies a value into the store. Throws ObjectStoreFullError, OutOfDiskError where the store spills, ObjectExistsError for an id that
   * is there already, SerializationError for what cannot be stored. A store that spills takes what was not used for longest to disk
   * when it is full: then this takes as long as the disk does.
   */
  put(data: unknown, id?: ObjectId): ObjectId {
    if (id === undefined) {
      this.checkOpen()
      return this.write(data, newId())
    }
    this.check(id)
    return this.write(data, id)
  }

  private write(data: unknown, id: ObjectId): ObjectId {
    const size = encodeSmall(data, this.scratch, this.view, 0) || encodeSmallBinary(data, this.scratch, this.view)
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
    const object = (await this.find(id)) ?? (await this.sealed(id, timeoutMs))
    const preparing = object.prepare()
    if (preparing !== null) await preparing
    return object
  }

  /** The object if it is sealed now, else null. Never waits for a seal; an object that is on disk is read from there meanwhile, which `get` does without holding up the event loop. */
  tryGet(id: ObjectId): StoredObject | null {
    const found = this.look(id)
    return found === ON_DISK ? this.pinned(id, this.store.view(id)) : found
  }

  private async find(id: ObjectId): Promise<Copied | Pinned | null> {
    const found = this.look(id)
    return found === ON_DISK ? this.pinned(id, await this.store.restore(id)) : found
  }

  private look(id: ObjectId): Copied | Pinned | typeof ON_DISK | null {
    this.check(id)
    const { copies } = this
    copies.prepare()
    const length = this.store.read(id, copies.bytes, copies.offset)
    if (length < 0) return length === ON_DISK ? ON_DISK : null
    const offset = copies.take(length)
    if (offset >= 0) return new Copied(id, copies.bytes, offset, length, this.decoder)
    checkViewable(`get() of ${id}`, length)
    return this.pinned(id, this.store.view(id))
  }

  private pinned(id: ObjectId, buffer: ArrayBuffer | null): Pinned | null {
    if (buffer === null) return null
    const pinned = new Pinned(id, buffer, this.store, this.decoder)
    this.pressure.viewed()
    return pinned
  }

  /** Waits for the seal. An object that is deleted again before it was found is waited for on. */
  private async sealed(id: ObjectId, timeoutMs: number): Promise<Copied | Pinned> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      this.checkOpen()
      this.bell.listen(this.store)
      this.store.expect(id)
      const object = await this.find(id)
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
    return this.store.list().map(({ creator, pinnedBy, pinnedAtMs, ...object }) => ({
      ...object,
      createdBy: pids.get(creator) ?? 0,
      pinnedBy: pinnedBy.map(slot => pids.get(slot) ?? 0),
      pinnedSinceMs: pinnedAtMs === 0 ? null : pinnedAtMs,
    }))
  }

  /** Sizes and counts. Gives back what dead processes held. */
  stats(): StoreStats {
    this.checkOpen()
    this.store.reapDead()
    const {
      creating: _,
      deleting: __,
      channels: ___,
      tableCapacity: ____,
      secondary: _____,
      secondaryBytes: ______,
      droppedObjects: _______,
      ...stats
    } = this.store.stats()
    return stats
  }

  /** The figures of `stats`, and the bytes that each process made and views, as a Prometheus exposition text. */
  metrics(): string {
    return metricsText(this.path, this.stats(), this.list())
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
    for (const path of this.own) removeNow(path)
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

  /** What is in the way may be of a process that died, or views that nobody has any more: then once more without them. */
  private attempt<T>(id: ObjectId, requestedBytes: number, write: () => T): T {
    const site = requestedBytes >= CALL_SITE_BYTES ? this.site() : 0
    if (site !== 0) this.store.setSite(site)
    try {
      return write()
    } catch (error) {
      if (!inTheWay(error)) throw error
      if (this.store.reapDead().length === 0 && !this.collected(error)) throw storeError(error, id, requestedBytes, this.list())
    } finally {
      if (site !== 0) this.store.setSite(0)
      if (requestedBytes >= CALL_SITE_BYTES) this.bell.collectIfStarved(this.store)
    }
    try {
      return write()
    } catch (error) {
      throw inTheWay(error) ? storeError(error, id, requestedBytes, this.list()) : error
    }
  }

  /** Whether a collection let go of objects that only garbage of this process viewed, where these may be what is in the way. */
  private collected({ code }: { code: string }): boolean {
    const { viewedBytes } = this.store
    if (viewedBytes === 0 || code === 'ERR_EAGLERAY_OBJECT_EXISTS') return false
    collectViews()
    return this.store.viewedBytes < viewedBytes
  }

  /** The number by which the store knows where our caller is. */
  private site(): number {
    const text = callSiteText() ?? ''
    let site = this.sites.get(text)
    if (site === undefined) {
      site = text === '' ? 0 : this.store.internSite(text)
      this.sites.set(text, site)
    }
    return site
  }
}

/** The same 12 random bytes in all ids of this thread, and a number. */
const idPrefix = randomBytes(12).toString('hex')
let idsMade = 0

function newId(): ObjectId {
  return idPrefix + (idsMade++).toString(16).padStart(16, '0')
}
