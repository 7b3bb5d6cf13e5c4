// SPDX-License-Identifier: Apache-2.0
// What a reader of a store holds: a small object copied out, or a large one pinned.

import { type Decoder, decodeSmall, NOT_SMALL, type PartOf, payloadOf } from '../codec/value.js'
import type { NativeStore } from '../native.js'

/** An object of the store, pinned until it is released or collected. */
export interface StoredObject extends Disposable {
  readonly id: string
  /** Of a binary value exactly its bytes; of a table an Arrow IPC stream; of any other value its encoding. Length 0 after `release`. */
  readonly bytes: Uint8Array
  /**
   * The value, anew at each call; arrays and ArrayBuffers of 4 KiB and more are views over the store, and in all these values the same
   * memory. Throws TypeError after `release`.
   */
  value<T = unknown>(): T
  /** Ends the view at once: arrays over it become length 0. A second time: no effect. */
  release(): void
}

/** A small object, copied out to a place that it shares with others (copy-pool.ts). */
export class Copied implements StoredObject {
  constructor(
    readonly id: string,
    private source: Uint8Array | null,
    private readonly offset: number,
    private readonly length: number,
    private readonly decoder: Decoder,
  ) {}

  /** What must be awaited before `value`, if anything. */
  prepare(): Promise<void> | null {
    return this.decoder.prepare(this.envelope(this.held()))
  }

  get bytes(): Uint8Array {
    return this.source === null ? new Uint8Array(0) : payloadOf(this.envelope(this.source))
  }

  value<T>(): T {
    const envelope = this.envelope(this.held())
    const small = decodeSmall(envelope, new DataView(envelope.buffer, envelope.byteOffset, envelope.length), 0, envelope.length)
    return (small === NOT_SMALL ? this.decoder.decode(envelope, false) : small) as T
  }

  release(): void {
    this.source = null
  }

  [Symbol.dispose](): void {
    this.release()
  }

  private held(): Uint8Array {
    if (this.source === null) throw released(this.id)
    return this.source
  }

  private envelope(source: Uint8Array): Uint8Array {
    return source.subarray(this.offset, this.offset + this.length)
  }
}

export class Pinned implements StoredObject {
  private readonly envelope: Uint8Array
  /** ArrayBuffers given out over parts of the object, by where they begin. Each has a pin of its own. */
  private readonly parts = new Map<number, WeakRef<ArrayBuffer>>()

  constructor(
    readonly id: string,
    private readonly buffer: ArrayBuffer,
    private readonly store: NativeStore,
    private readonly decoder: Decoder,
  ) {
    this.envelope = new Uint8Array(buffer)
  }

  /** What must be awaited before `value`, if anything. */
  prepare(): Promise<void> | null {
    return this.decoder.prepare(this.envelope)
  }

  get bytes(): Uint8Array {
    return this.envelope.length === 0 ? this.envelope : payloadOf(this.envelope)
  }

  value<T>(): T {
    if (this.envelope.length === 0) throw released(this.id)
    return this.decoder.decode(this.envelope, true, this.part) as T
  }

  release(): void {
    this.store.release(this.buffer)
    for (const part of this.parts.values()) {
      const buffer = part.deref()
      if (buffer !== undefined) this.store.release(buffer)
    }
    this.parts.clear()
  }

  [Symbol.dispose](): void {
    this.release()
  }

  private readonly part: PartOf = bytes => {
    const known = this.parts.get(bytes.byteOffset)?.deref()
    if (known !== undefined && known.byteLength === bytes.byteLength) return known
    const part = this.store.part(this.buffer, bytes.byteOffset, bytes.byteLength)
    if (part !== null) this.parts.set(bytes.byteOffset, new WeakRef(part))
    return part
  }
}

function released(id: string): TypeError {
  return new TypeError(`the object ${id} was released`)
}
