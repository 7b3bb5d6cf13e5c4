// SPDX-License-Identifier: Apache-2.0
// Copies of objects of other nodes as they are written into this node's store, piece by piece, from several sources at once.
//
// They are written and read through the file of the store, by way of small buffers, and not through a mapping: this process uses most
// of that memory once, and a fault a page costs more than the copy (ADR 9).

import type { PullEvent } from '../core/node/pulls.js'
import { ObjectStoreFullError } from '../errors.js'
import type { Failure, Lent, Piece, Sink } from '../io/data/channel.js'
import type { NativeStore } from '../native.js'
import type { Pins } from './pins.js'

interface Draft {
  sizeBytes: number
  /** Pieces of it that leave for other nodes now. */
  leaving: number
  /** It is an object now, which is kept until none leaves any more. */
  kept: Lent | null
  /** It is wanted no more, and goes when none leaves. */
  aborted: boolean
}

/** What a socket is read into at once: what is larger falls out of the cache before it is written to the store. */
const BUFFER_BYTES = 512 * 1024
/** Kept between pieces: many come at once only for a moment. */
const SPARE_BUFFERS = 8

type Made = Extract<PullEvent, { is: 'made' | 'noRoom' | 'exists' }>

export class Drafts {
  private readonly drafts = new Map<string, Draft>()
  /** Of pieces that are over, at most `SPARE_BUFFERS`. */
  private readonly buffers: Uint8Array[] = []

  constructor(
    private readonly store: NativeStore,
    private readonly pins: Pins,
  ) {}

  /** Reserves memory for a copy, which is the first thing to go when memory is short; on disk where memory has no room. */
  make(id: string, sizeBytes: number): Made {
    try {
      this.reserve(id, sizeBytes)
      this.drafts.set(id, { sizeBytes, leaving: 0, kept: null, aborted: false })
      return { is: 'made', id }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ERR_EAGLERAY_OBJECT_EXISTS') return { is: 'exists', id, here: this.store.contains(id) }
      if (code !== 'ERR_EAGLERAY_OBJECT_STORE_FULL' && code !== 'ERR_EAGLERAY_OUT_OF_DISK')
        return { is: 'noRoom', id, error: error as Error }
      return { is: 'noRoom', id, error: sizeBytes > this.store.stats().capacityBytes ? tooLarge(id, sizeBytes, error as Error) : null }
    }
  }

  /** Makes it an object. Pieces that are on their way to others go on, from the object. False when there is no such draft. */
  seal(id: string): boolean {
    const draft = this.drafts.get(id)
    if (draft === undefined) return false
    this.drafts.delete(id)
    this.store.seal(id)
    if (draft.leaving > 0) draft.kept = this.pins.lend({ id, offset: 0, length: 0 })
    return true
  }

  /** Gives its memory back, as soon as no piece of it is on its way to others. */
  abort(id: string): void {
    const draft = this.drafts.get(id)
    if (draft === undefined) return
    draft.aborted = true
    if (draft.leaving === 0) this.drop(id)
  }

  /** Some bytes of it that have come, to be sent on. Null when there is no such draft. */
  lend({ id, offset, length }: Piece): Lent | null {
    const draft = this.drafts.get(id)
    if (draft === undefined || offset + length > draft.sizeBytes) return null
    draft.leaving++
    let sealed: Lent | null = null
    return {
      read: (at, target) => {
        if (this.drafts.get(id) === draft) {
          this.store.readBack(id, offset + at, target, target.length)
          return null
        }
        sealed ??= this.pins.lend({ id, offset, length })
        if (sealed === null) throw new Error('the object is gone')
        return sealed.read(at, target)
      },
      done: () => {
        sealed?.done()
        if (--draft.leaving > 0) return
        draft.kept?.done()
        if (draft.aborted) this.drop(id)
      },
    }
  }

  /** Where a piece of it goes. What the store does not take is told at the end: it came, and is `unwritten`. */
  sink({ id, offset, length }: Piece, done: (failure: Failure | null, unwritten: boolean) => void): Sink {
    let buffer: Uint8Array | null = null
    let gathered = 0
    let failure: Failure | null = null
    const write = (end: number): void => {
      try {
        this.store.write(id, offset + end - gathered, buffer as Uint8Array, gathered)
      } catch (error) {
        failure ??= { missing: false, why: (error as Error).message }
      }
      gathered = 0
    }
    return {
      room: () => {
        buffer ??= this.buffers.pop() ?? new Uint8Array(BUFFER_BYTES)
        return buffer.subarray(gathered)
      },
      wrote: (at, count) => {
        gathered += count
        if (gathered === BUFFER_BYTES || at + count === length) write(at + count)
      },
      done: why => {
        if (buffer !== null && this.buffers.length < SPARE_BUFFERS) this.buffers.push(buffer)
        done(why ?? failure, why === null && failure !== null)
      },
    }
  }

  close(): void {
    for (const id of this.drafts.keys()) this.store.abort(id)
    this.drafts.clear()
  }

  private reserve(id: string, sizeBytes: number): void {
    try {
      this.store.reserve(id, sizeBytes, true)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_EAGLERAY_OBJECT_STORE_FULL') throw error
      // Pins that are kept only in case may be what is in the way.
      if (this.pins.endIdle()) this.reserve(id, sizeBytes)
      else this.store.reserve(id, sizeBytes, false)
    }
  }

  private drop(id: string): void {
    if (this.drafts.delete(id)) this.store.abort(id)
  }
}

function tooLarge(id: string, sizeBytes: number, cause: Error): Error {
  return new ObjectStoreFullError(
    `the object ${id} of ${sizeBytes} bytes is larger than the store of the node that needs it, which may not use its disk. Give the node more objectStoreBytes`,
    { requestedBytes: sizeBytes, holders: [], cause },
  )
}
