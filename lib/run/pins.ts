// SPDX-License-Identifier: Apache-2.0
// Objects that the node daemon keeps in its store for others: those that leave for other nodes, and those brought here that were
// not read yet. One view of each, however many need it; it stays a little longer, because pieces of one object leave one after the other.

import { type NativeStore, ON_DISK } from '../native.js'

/** How long a view is kept that nobody needs (ms). */
const LINGER_MS = 200

interface Pin {
  buffer: ArrayBuffer
  users: number
  timer: NodeJS.Timeout | null
}

const nothing = new Uint8Array(0)

export class Pins {
  private readonly pins = new Map<string, Pin>()

  constructor(private readonly store: NativeStore) {}

  /** The bytes of a sealed object, until `release`; a promise while they come from disk. Null when it is not there (any more). */
  acquire(id: string): Uint8Array | null | Promise<Uint8Array | null> {
    const known = this.pins.get(id)
    if (known !== undefined) return this.use(known)
    if (this.store.read(id, nothing, 0) === ON_DISK) return this.store.restore(id).then(buffer => this.viewed(id, buffer))
    return this.viewed(id, this.store.view(id))
  }

  /** As `acquire`, of what is in memory alone. Gives whether it is pinned now. */
  acquireHere(id: string): boolean {
    if (!this.pins.has(id) && this.store.read(id, nothing, 0) === ON_DISK) return false
    return this.acquire(id) !== null
  }

  release(id: string): void {
    const pin = this.pins.get(id)
    if (pin === undefined || --pin.users > 0) return
    pin.timer = setTimeout(() => this.end(id), LINGER_MS)
    pin.timer.unref()
  }

  /** The object was deleted: a view that nobody uses goes at once. */
  deleted(id: string): void {
    if (this.pins.get(id)?.users === 0) this.end(id)
  }

  /** Memory is short: views that nobody uses end. Gives whether there were any. */
  endIdle(): boolean {
    const idle = [...this.pins].filter(([, { users }]) => users === 0)
    for (const [id] of idle) this.end(id)
    return idle.length > 0
  }

  close(): void {
    for (const id of [...this.pins.keys()]) this.end(id)
  }

  private viewed(id: string, buffer: ArrayBuffer | null): Uint8Array | null {
    const known = this.pins.get(id)
    if (known !== undefined) {
      // Two asked for it while it came from disk.
      if (buffer !== null) this.store.release(buffer)
      return this.use(known)
    }
    if (buffer === null) return null
    const pin: Pin = { buffer, users: 0, timer: null }
    this.pins.set(id, pin)
    return this.use(pin)
  }

  private use(pin: Pin): Uint8Array {
    if (pin.timer !== null) clearTimeout(pin.timer)
    pin.timer = null
    pin.users++
    return new Uint8Array(pin.buffer)
  }

  private end(id: string): void {
    const pin = this.pins.get(id)
    if (pin === undefined) return
    this.pins.delete(id)
    if (pin.timer !== null) clearTimeout(pin.timer)
    this.store.release(pin.buffer)
  }
}
