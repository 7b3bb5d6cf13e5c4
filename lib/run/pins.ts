// SPDX-License-Identifier: Apache-2.0
// Objects that the node daemon keeps in its store for others: those that leave for other nodes, and those brought here that were
// not read yet. One pin of each, however many need it; it stays a little longer, because pieces of one object leave one after the other.
//
// Pieces are read from the file where they lie, the store's own in shared memory or one on disk, and not through a mapping: this process
// uses most objects once, and a fault a page costs more than the copy. A disk is read by threads, so that it holds up nobody.

import { closeSync, openSync, read, readSync } from 'node:fs'
import { type Lent, NotNow, type Piece } from '../io/data/channel.js'
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

  constructor(private readonly store: NativeStore) {}

  /** Pins a sealed object that is in memory, until `release`. False when there is none, or it is on disk. */
  hold(id: string): boolean {
    if (!this.pins.has(id) && this.store.read(id, nothing, 0) === ON_DISK) return false
    return this.acquire(id) !== null
  }

  /** Some bytes of a sealed object. Null when there is no such object or it is shorter. */
  lend({ id, offset, length }: Piece): Lent | null {
    const pin = this.acquire(id)
    if (pin === null) return null
    const done = (): void => this.release(id)
    if (offset + length > pin.source.byteLength) {
      done()
      return null
    }
    return { read: (at, target) => readFrom(pin, offset + at, target), done }
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

  /** What is being read is let go afterwards. */
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

  private end(id: string): void {
    const pin = this.pins.get(id)
    if (pin === undefined) return
    this.pins.delete(id)
    if (pin.timer !== null) clearTimeout(pin.timer)
    if (pin.file !== null) closeSync(pin.file)
    this.store.release(pin.source)
  }
}

function readFrom(pin: Pin, offset: number, target: Uint8Array): Promise<void> | null {
  const { source } = pin
  if (source instanceof ArrayBuffer) {
    target.set(new Uint8Array(source, offset, target.length))
    return null
  }
  pin.file ??= openToRead(source.path)
  const from = source.fileOffset + offset
  return source.onDisk ? readDisk(pin.file, from, target) : readMemory(pin.file, from, target)
}

/** A file that is gone is a copy that is gone; one that cannot be opened (too many are) is there still. */
function openToRead(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    const { code, errno = 0, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw error
    throw new NotNow(errno, message)
  }
}

function readMemory(file: number, from: number, target: Uint8Array): null {
  for (let have = 0; have < target.length; ) {
    const count = readSync(file, target, have, target.length - have, from + have)
    if (count === 0) throw endsEarly(target.length - have)
    have += count
  }
  return null
}

function readDisk(file: number, from: number, target: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (have: number): void => {
      if (have === target.length) return resolve()
      read(file, target, have, target.length - have, from + have, (error, count) => {
        if (error !== null) return reject(error)
        if (count === 0) return reject(endsEarly(target.length - have))
        next(have + count)
      })
    }
    next(0)
  })
}

const endsEarly = (missing: number): Error => new Error(`the file ends ${missing} bytes early`)
