// SPDX-License-Identifier: Apache-2.0
// The one declaration of everything the addon exports, in the order of bindings/addon.cc, and its only loader.
//
// Conventions of the bridge: `null` means absent and `undefined` is a bug; no defaults and no policy on either side of
// it; object ids cross as 40 hex digits; sizes and offsets are bytes. Every native error is an Error whose `code` is one
// of those in native/status.h, and which says what was attempted and on which path or id.

import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { OWN_PACKAGE } from './own-files.js'

/** One entry of the object table, as `NativeStore.list` gives it. */
export interface NativeObjectInfo {
  id: string
  sizeBytes: number
  state: 'creating' | 'sealed' | 'deleting'
  /** Slot of the client that created it. */
  creator: number
  createdAtMs: number
  /** Slots of the clients that hold a pin. */
  pinnedBy: number[]
  /** When it last came to be pinned; 0 when nobody pins it. */
  pinnedAtMs: number
  /** On disk, not in memory. */
  spilled: boolean
  /** A copy of what another node has: dropped, not spilled, when room is needed. */
  secondary: boolean
  /** What `setSite` said when it was made; empty when nothing. */
  callSite: string
}

export interface NativeStoreStats {
  capacityBytes: number
  usedBytes: number
  largestFreeBytes: number
  objects: number
  sealed: number
  creating: number
  deleting: number
  pins: number
  clients: number
  channels: number
  tableCapacity: number
  /** Of the sealed objects, on disk alone. */
  spilled: number
  /** What the files of spilled objects take. */
  diskBytes: number
  /** Written to disk, ever; read back, ever; taken out of memory, ever, written or not. */
  spilledObjects: number
  spilledBytes: number
  restoredObjects: number
  restoredBytes: number
  evictedObjects: number
  /** Of all objects, secondary copies; what they take of the memory; how many were dropped to make room, ever. */
  secondary: number
  secondaryBytes: number
  droppedObjects: number
}

export interface NativeClientInfo {
  slot: number
  pid: number
  workerId: string
  live: boolean
}

/** Where a pinned object lies: `byteLength` bytes of a file. The path is good in this process alone, until the range is released. */
export interface NativeFileRange {
  readonly path: string
  readonly fileOffset: number
  readonly byteLength: number
  /** Reading may take as long as a disk does; else the file is one in memory. */
  readonly onDisk: boolean
}

/** What `NativeStore.read` gives for an object that is on disk. */
export const ON_DISK = -2

/**
 * An attached segment: this process's place in it (a client slot) and the objects.
 * One per process and path: a second `open` in the process, also from a worker thread, shares the client.
 */
export interface NativeStore {
  readonly path: string
  /** This process's client slot. */
  readonly slot: number
  /** 24 hex digits naming this process: node (10), slot (4), nonce (10). The prefix of every id it makes. */
  readonly workerId: string
  /**
   * How often somebody needed room while all that was in memory was viewed. When it has grown since the last look, which `onSealed` tells
   * of, views that are garbage should be collected. 0 once closed.
   */
  readonly starved: number
  /** Sum of the sizes of the objects that this process views, each counted once; V8 does not count them. 0 once closed. */
  readonly viewedBytes: number

  /** Creates, copies and seals in one call. `bytes[0, length)` becomes the object. */
  put(id: string, bytes: Uint8Array, length: number): void
  /** As `put`, of several parts: `parts[i]` lands at `offsets[i]`; gaps are zero. Large copies may use several threads. */
  putParts(id: string, byteLength: number, parts: Uint8Array[], offsets: number[]): void
  /**
   * Reserves an object and gives its writable shared memory (64-byte aligned; page-aligned from 4 KiB on). What was written so far may be
   * read in it too. With `secondary` it is a copy of what another node has: the first to go when room is needed, unless it is viewed, and
   * never on disk, so ERR_EAGLERAY_OBJECT_STORE_FULL where memory has no room for it. Whoever `expect`s hears of its going.
   */
  create(id: string, byteLength: number, secondary?: boolean): ArrayBuffer
  /**
   * As `create`, of an object that `write` gives its bytes, through the file of the store: for what this process uses once, where the first
   * touch of a page costs more than the copy.
   */
  reserve(id: string, byteLength: number, secondary?: boolean): void
  /** `bytes[0, length)` becomes what is at `offset` of a reserved object. ERR_EAGLERAY_SYSTEM when a disk fails, on which it may be. */
  write(id: string, offset: number, bytes: Uint8Array, length: number): void
  /** Copies what is at `offset` of a reserved object to `target[0, length)`. */
  readBack(id: string, offset: number, target: Uint8Array, length: number): void
  /** Makes it visible and detaches the buffer `create` gave. Wakes the waiting. */
  seal(id: string): void
  /** Undoes `create` or `reserve`, and detaches the buffer it gave. */
  abort(id: string): void
  /** A secondary copy becomes the primary one, which may go to disk and goes only by `delete`. True too for what is one already; false when there is no object of that id, being made or sealed. */
  promote(id: string): boolean

  /** A number for a place in a program, for `setSite`; 0 when the store knows as many as it can. */
  internSite(site: string): number
  /** Objects made from now on were made there (0: nowhere in particular). */
  setSite(site: number): void

  /**
   * Copies a sealed object to `target[offset]` on when it fits there. Gives its length; -1 when there is no sealed object of that id, -2
   * when it is on disk (`view` or `restore` it). Nothing is copied when it does not fit.
   */
  read(id: string, target: Uint8Array, offset: number): number
  /**
   * Pins a sealed object and gives its bytes as one external ArrayBuffer over a private (copy-on-write) mapping; null
   * when there is none. The pin goes when the buffer is collected, or at once with `release`; transferred to a thread, it goes with the buffer.
   * V8 does not count its bytes, so that it does not collect because of them (it does where Node lacks what that takes, or
   * EAGLERAY_COUNT_VIEWS is set in the environment: then a buffer cannot be transferred). A write into it stays private. An object
   * that is on disk is read back first; ERR_EAGLERAY_SYSTEM when the disk fails.
   */
  view(id: string): ArrayBuffer | null
  /** As `view`, without holding up the event loop while a disk is read. */
  restore(id: string): Promise<ArrayBuffer | null>
  /**
   * Pins a sealed object where it is, for sending its bytes on: the place in a file where they lie, which is the store's own for what is in
   * memory; a view, as by `view`, of what is smaller than a page. The file keeps holding these bytes there until the pin goes, also when the
   * object is deleted, or moves between memory and disk meanwhile. Null when there is none. End it with `release`, only once nobody (a
   * socket, say) reads the bytes any more; a file that was opened before may be read on.
   */
  readView(id: string): ArrayBuffer | NativeFileRange | null
  /**
   * `view[offset, + length)` of a live view of this store as one more external ArrayBuffer, with a pin of its own: it outlives
   * `view`, and each is released by itself. Null when `view` is none. A write into either shows in both, and in no other process
   * (below a page, where a view is a copy, the part is one too). Works after `close` too. ERR_EAGLERAY_INVALID_ARGUMENT when it does
   * not lie within.
   */
  part(view: ArrayBuffer, offset: number, length: number): ArrayBuffer | null
  /** Ends what `view`, `readView` or `part` gave: a buffer and all its views become length 0, and the pin goes. False when it was none, or gone already. */
  release(view: ArrayBuffer | NativeFileRange): boolean
  /** Whether a sealed object of that id is there. */
  contains(id: string): boolean
  /** Marks for deletion: gone for new readers at once, freed with its last pin. False when there was none. */
  delete(id: string): boolean
  /** Asks that `onSealed` of the port's listener be called after an object of that id is sealed (spurious calls happen). Check again after calling. */
  expect(id: string): void
  /** As `expect`, of every id and of deletions too. Once: call again after each `onSealed`. */
  expectAll(): void
  list(): NativeObjectInfo[]
  stats(): NativeStoreStats
  clients(): NativeClientInfo[]

  /** Rolls back everything the dead client of that slot held: pins, half-made objects, channels. No effect on a live process. */
  reap(slot: number): boolean
  /** Reaps every client whose process is gone; gives their slots. */
  reapDead(): number[]
  /** Asserts every invariant of table, allocator and pins from outside; null when all hold, otherwise what does not. */
  check(): string | null
  /** Detaches. Views that are alive stay readable and pinned until collected. */
  close(): void
}

/** What a port tells. Called from the event loop, with microtasks run after each call. */
export interface NativePortListener {
  /**
   * `count` packets lie in `inbox`: packet i came over channel `index[3 i]` and lies at
   * `inbox[index[3 i + 1], + index[3 i + 2])`. Valid only during the call.
   */
  onPackets(count: number): void
  /** A channel was closed by its peer, by the reaper, or because of garbage in its ring (`reason`: 'closed' | 'died' | 'corrupt'). */
  onClosed(channel: number, reason: string): void
  /** A peer opened a channel to this process. */
  onOpened(channel: number, peerSlot: number): void
  /** A ring that was full when `send` gave false has room again. */
  onWritable(channel: number): void
  /** Objects this process asked for with `expect` may have been sealed. */
  onSealed(): void
}

/** This process's mailbox on the segment: rings to and from other processes, and the doorbell the event loop polls. One per environment that asks; at most one per process. */
export interface NativePort {
  /** Opens (or gives the open) channel to the process in that slot; `workerId` must be the one attached there, else an error. Channel numbers are those of the segment and name the same channel on both sides. */
  connect(slot: number, workerId: string): number
  /** Puts one packet (at most `packetBytesMax`) on the ring and rings the bell if the peer sleeps. False when the ring has no room: nothing was written, and `onWritable` follows. */
  send(channel: number, bytes: Uint8Array, length: number): boolean
  /** 256 words of shared memory for revocable tasks, each direction its own: `mine` for tasks I send, `theirs` for tasks the peer sends. Use Atomics. */
  claims(channel: number): { mine: Int32Array; theirs: Int32Array }
  /** Closes; the peer hears `onClosed`. */
  disconnect(channel: number): void
  /** Whether the port keeps the event loop alive (it does not at first). */
  ref(): void
  unref(): void
  /** Handles what has arrived now, without the event loop. Gives the number of packets. */
  poll(): number
  close(): void
}

export interface NativeModule {
  /** Creates a segment in a new directory `path` (mode 0700, files 0600) and attaches as its first client. Fails with ERR_EAGLERAY_STORE_SPACE when the file system cannot hold `capacityBytes`. `prefault` touches all of it now. With a `spillDirectory` (which exists, for this store alone) objects go to files there when memory is short, at most `spillQuotaBytes`. */
  createStore(
    path: string,
    capacityBytes: number,
    nodeId: string,
    prefault: boolean,
    spillDirectory: string | null,
    spillQuotaBytes: number,
  ): NativeStore
  /** `anew`: as another client than the one this process may be already, whose views may outlive its end. */
  openStore(path: string, anew?: boolean): NativeStore
  /** Starts the port of this process on an open store. `inbox` and `index` are the listener's buffers; `spinMicros` bounds the spin before sleeping, 0 for none. */
  openPort(store: NativeStore, listener: NativePortListener, inbox: Uint8Array, index: Int32Array, spinMicros: number): NativePort
  readonly packetBytesMax: number
  /** Asks the kernel to send this process `signal` when the thread that started it dies. False when it is dead already. */
  dieWithParent(parentPid: number, signal: number): boolean
  /** An exclusive advisory lock on a file, held until the process ends: true when taken. */
  lockFile(path: string): boolean
  /** How many of the pages under `view` are resident private copies, i.e. were written to by this process. */
  privatePages(view: ArrayBuffer): number
  /** That socket becomes readable when so many bytes have come, or it ends; 1 at first. False where the system does not do that. */
  receiveAtLeast(fd: number, bytes: number): boolean
  /**
   * Whether V8 counts views as memory of its own in this process, and they stay in their thread: where this Node lacks what it takes that
   * they are not counted, or EAGLERAY_COUNT_VIEWS is set. Views of 4 GiB and more always are.
   */
  countsViews(): boolean
}

const require = createRequire(import.meta.url)

function load(): NativeModule {
  const root = fileURLToPath(OWN_PACKAGE)
  const candidates = [
    `${root}build/Release/eagleray.node`,
    `${root}build/Debug/eagleray.node`,
    `${root}build-cmake/Release/eagleray.node`,
    `${root}prebuilds/${process.platform}-${process.arch}.node`,
  ]
  const failures: string[] = []
  for (const candidate of candidates) {
    try {
      return require(candidate) as NativeModule
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') failures.push(`${candidate}: ${(error as Error).message}`)
    }
  }
  throw new Error(
    [
      `eagleray: no native addon for ${process.platform}-${process.arch} (Node ${process.version}) could be loaded.`,
      ...(failures.length > 0 ? failures : ['None of the places it is looked for holds one:', ...candidates]),
      'Build it with: npm run build:native (needs Python 3 and a C++20 compiler)',
    ].join('\n  '),
  )
}

/** The addon. Loaded on first import of this module. */
export const native: NativeModule = load()
