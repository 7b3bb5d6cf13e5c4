// SPDX-License-Identifier: Apache-2.0
// Copies of objects of other nodes as they are written into this node's store, piece by piece, from several sources at once.

import type { PullEvent } from '../core/node/pulls.js'
import { ObjectStoreFullError } from '../errors.js'
import type { Failure, Piece, Sink } from '../io/data/channel.js'
import type { NativeStore } from '../native.js'

/** Through how large a buffer bytes take a detour, and pieces from which size on do. */
const DETOUR_BYTES = 512 * 1024
const DETOUR_BYTES_MIN = 128 * 1024

type Made = Extract<PullEvent, { is: 'made' | 'noRoom' | 'exists' }>

export class Drafts {
  private readonly drafts = new Map<string, Uint8Array>()
  /** For pieces that leave, as long as there are drafts. */
  private copies: Uint8Array[] = []
  /** Of detours that are over. */
  private readonly buffers: Uint8Array[] = []

  constructor(
    private readonly store: NativeStore,
    /** Gives up memory that this process only keeps in case. Gives whether there was any. */
    private readonly letGo: () => boolean,
  ) {}

  /** Reserves memory for a copy, which is the first thing to go when memory is short; on disk where memory has no room. */
  make(id: string, sizeBytes: number): Made {
    try {
      this.drafts.set(id, new Uint8Array(this.create(id, sizeBytes)))
      return { is: 'made', id }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ERR_EAGLERAY_OBJECT_EXISTS') return { is: 'exists', id, here: this.store.contains(id) }
      if (code !== 'ERR_EAGLERAY_OBJECT_STORE_FULL' && code !== 'ERR_EAGLERAY_OUT_OF_DISK')
        return { is: 'noRoom', id, error: error as Error }
      return { is: 'noRoom', id, error: sizeBytes > this.store.stats().capacityBytes ? tooLarge(id, sizeBytes, error as Error) : null }
    }
  }

  /** Makes it an object. False when there is no such draft. */
  seal(id: string): boolean {
    if (!this.ended(id)) return false
    this.store.seal(id)
    return true
  }

  abort(id: string): void {
    if (this.ended(id)) this.store.abort(id)
  }

  /**
   * A copy of some bytes of it that have come, to be sent on; `done` is to be called when they have left. Null when there is no such draft.
   * A copy, because the draft's memory is taken away when it is sealed, and that must not wait for a peer that reads slowly.
   */
  lend({ id, offset, length }: Piece): { bytes: Uint8Array; done: () => void } | null {
    const draft = this.drafts.get(id)
    if (draft === undefined) return null
    const pooled = this.copies.pop()
    const copy = pooled !== undefined && pooled.length >= length ? pooled : new Uint8Array(length)
    copy.set(draft.subarray(offset, offset + length))
    const done = (): void => {
      if (this.drafts.size > 0) this.copies.push(copy)
    }
    return { bytes: copy.subarray(0, length), done }
  }

  private ended(id: string): boolean {
    const existed = this.drafts.delete(id)
    if (this.drafts.size === 0) this.copies = []
    return existed
  }

  /** Where a piece of it goes. */
  sink(piece: Piece, done: (failure: Failure | null) => void): Sink {
    const { id, offset, length } = piece
    const bytes = this.drafts.get(id)?.subarray(offset, offset + length) ?? new Uint8Array(length)
    if (length < DETOUR_BYTES_MIN || !this.drafts.has(id) || !this.store.isCold(id, offset, length))
      return { room: at => bytes.subarray(at), wrote: () => {}, done }
    return this.detour(piece, done)
  }

  /** Into memory that this process has not used yet bytes go by way of a buffer and the store's file, which saves a fault a page. */
  private detour({ id, offset, length }: Piece, done: (failure: Failure | null) => void): Sink {
    const buffer = this.buffers.pop() ?? new Uint8Array(DETOUR_BYTES)
    let gathered = 0
    return {
      room: () => buffer.subarray(gathered),
      wrote: (at, count) => {
        gathered += count
        if (gathered < buffer.length && at + count < length) return
        this.store.fill(id, offset + at + count - gathered, buffer, gathered)
        gathered = 0
      },
      done: failure => {
        this.buffers.push(buffer)
        done(failure)
      },
    }
  }

  close(): void {
    for (const id of this.drafts.keys()) this.store.abort(id)
    this.drafts.clear()
  }

  private create(id: string, sizeBytes: number): ArrayBuffer {
    try {
      return this.store.create(id, sizeBytes, true)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_EAGLERAY_OBJECT_STORE_FULL') throw error
      return this.letGo() ? this.create(id, sizeBytes) : this.store.create(id, sizeBytes, false)
    }
  }
}

function tooLarge(id: string, sizeBytes: number, cause: Error): Error {
  return new ObjectStoreFullError(
    `the object ${id} of ${sizeBytes} bytes is larger than the store of the node that needs it, which may not use its disk. Give the node more objectStoreBytes`,
    { requestedBytes: sizeBytes, holders: [], cause },
  )
}
