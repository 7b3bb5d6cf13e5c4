// SPDX-License-Identifier: Apache-2.0
// Objects that the node daemon keeps in its store for others: those that leave for other nodes, and those brought here that were
// not read yet. One pin of each, however many need it; it stays a little longer, because pieces of one object leave one after the other.
//
// Pieces are read from the file where they lie, the store's own in shared memory or one on disk, and not through a mapping: this process
// uses most objects once, and a fault a page costs more than the copy. The reading is done by threads, so that a disk holds up nobody.

import { closeSync, openSync, read } from 'node:fs'
import type { Piece } from '../io/data/channel.js'
import { type NativeFileRange, type NativeStore, ON_DISK } from '../native.js'

/** How long a pin is kept that nobody needs (ms). */
const LINGER_MS = 200

interface Pin {
  /** Small objects are a copy already. */
  source: ArrayBuffer | NativeFileRange
  /** Of the file, once a piece of it was wanted. */
  file: number | null
  users: number
  timer: NodeJS.Timeout | null
  /** It goes with its last user. */
  ending: boolean
}

const nothing = new Uint8Array(0)

export class Pins {
  private readonly pins = new Map<string, Pin>()
  /** For pieces, as long as anything is pinned. */
  private buffers: Uint8Array[] = []

  constructor(private readonly store: NativeStore) {}

  /** Pins a sealed object that is in memory, until `release`. False when there is none, or it is on disk. */
  hold(id: string): boolean {
    if (!this.pins.has(id) && this.store.read(id, nothing, 0) === ON_DISK) return false
    return this.acquire(id) !== null
  }

  /**
   * Some bytes of a sealed object, which stay as they are until `done` is called. Null when there is no such object or it is shorter;
   * rejects when a disk fails.
   */
  async read({ id, offset, length }: Piece): Promise<{ bytes: Uint8Array; done: () => void } | null> {
    const pin = this.acquire(id)
    if (pin === null) return null
    const { source } = pin
    const released = (): void => this.release(id)
    if (offset + length > source.byteLength) {
      released()
      return null
    }
    if (source instanceof ArrayBuffer) return { bytes: new Uint8Array(source, offset, length), done: released }
    const buffer = this.buffer(length)
    const done = (): void => {
      this.buffers.push(buffer)
      released()
    }
    try {
      pin.file ??= openSync(source.path, 'r')
      await readWhole(pin.file, buffer, length, source.fileOffset + offset)
      return { bytes: buffer.subarray(0, length), done }
    } catch (error) {
      done()
      throw error
    }
  }

  /** Ends one `hold`. */
  release(id: string): void {
    const pin = this.pins.get(id)
    if (pin === undefined || --pin.users > 0) return
    if (pin.ending) return this.end(id)
    pin.timer = setTimeout(() => this.end(id), LINGER_MS)
    pin.timer.unref()
  }

  /** The object was deleted: a pin that nobody uses goes at once. */
  deleted(id: string): void {
    if (this.pins.get(id)?.users === 0) this.end(id)
  }

  /** Memory is short: pins that nobody uses end. Gives whether there were any. */
  endIdle(): boolean {
    const idle = [...this.pins].filter(([, { users }]) => users === 0)
    for (const [id] of idle) this.end(id)
    return idle.length > 0
  }

  /** What is being read, by this process or by sockets, is let go afterwards. */
  close(): void {
    this.endIdle()
    for (const pin of this.pins.values()) pin.ending = true
  }

  private acquire(id: string): Pin | null {
    let pin = this.pins.get(id)
    if (pin === undefined) {
      const source = this.store.readView(id)
      if (source === null) return null
      pin = { source, file: null, users: 0, timer: null, ending: false }
      this.pins.set(id, pin)
    }
    if (pin.timer !== null) clearTimeout(pin.timer)
    pin.timer = null
    pin.users++
    return pin
  }

  private buffer(length: number): Uint8Array {
    const buffer = this.buffers.pop()
    return buffer !== undefined && buffer.length >= length ? buffer : new Uint8Array(length)
  }

  private end(id: string): void {
    const pin = this.pins.get(id)
    if (pin === undefined) return
    this.pins.delete(id)
    if (this.pins.size === 0) this.buffers = []
    if (pin.timer !== null) clearTimeout(pin.timer)
    if (pin.file !== null) closeSync(pin.file)
    this.store.release(pin.source)
  }
}

function readWhole(file: number, target: Uint8Array, length: number, from: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (have: number): void => {
      if (have === length) return resolve()
      read(file, target, have, length - have, from + have, (error, count) => {
        if (error !== null) return reject(error)
        if (count === 0) return reject(new Error(`the file ends ${length - have} bytes early`))
        next(have + count)
      })
    }
    next(0)
  })
}
