// SPDX-License-Identifier: Apache-2.0
// From a settled entry to the value a user sees: decoded afresh at every get, so that nobody sees another's changes;
// large arrays as views over the store's shared memory.

import { prepareError, rebuildTaskError } from '../codec/error-value.js'
import { type Decoder, decodeSmall, type Encoded, NOT_SMALL, type PartOf } from '../codec/value.js'
import { checkViewable } from '../codec/view-limit.js'
import { type Entry, STATE } from '../core/owner/entry.js'
import { type NativeStore, native, ON_DISK } from '../native.js'
import { limits } from '../options.js'
import type { Fetches } from './fetches.js'
import { ViewPressure } from './view-pressure.js'

export class Reader {
  /** Objects behind the views that values of this process are made of. */
  private readonly views = new WeakMap<ArrayBufferLike, string>()
  private readonly pressure: ViewPressure
  private readonly scratch = new Uint8Array(limits.copyOutBytesMax)
  private readonly view = new DataView(this.scratch.buffer)
  private readonly part: PartOf = bytes => this.store.part(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)

  constructor(
    private readonly store: NativeStore,
    private readonly decoder: Decoder,
    private readonly fetches: Pick<Fetches, 'want'>,
    private readonly idOf: (entry: Entry) => string,
  ) {
    this.pressure = new ViewPressure(store)
  }

  /**
   * The value, or a promise of it where modules have to be loaded, a disk be read or another node be asked first. Throws (or rejects with) the
   * error of a failed entry. What takes back the wish for what is elsewhere is appended to `cancels`.
   */
  value(entry: Entry, cancels: (() => void)[] | null = null): unknown {
    switch (entry.state) {
      case STATE.inline:
        return entry.envelope === null ? entry.plain : this.decode(entry.envelope, false)
      case STATE.stored:
        return this.stored(entry.storedAs ?? this.idOf(entry), cancels)
      default:
        return this.fail(entry)
    }
  }

  /** Throws the error of a failed entry; a promise that rejects with it where its class has to be loaded first. */
  fail(entry: Entry): Promise<never> {
    const loading = entry.error instanceof Uint8Array ? prepareError(entry.error) : null
    if (loading === null) throw this.failure(entry)
    entry.seen = true
    return loading.then(() => {
      throw this.failure(entry)
    })
  }

  /** The error of a failed entry, as an Error; of its own class if that is loaded. */
  failure(entry: Entry): Error {
    entry.seen = true
    if (entry.error instanceof Error) return entry.error
    return rebuildTaskError(entry.error as Uint8Array)
  }

  /** The value of a sealed object. */
  stored(id: string, cancels: (() => void)[] | null = null): unknown {
    const length = this.store.read(id, this.scratch, 0)
    if (length === ON_DISK) return this.restored(id)
    if (length < 0) return this.fetched(id, cancels)
    if (length <= this.scratch.length) {
      const small = decodeSmall(this.scratch, this.view, 0, length)
      return small !== NOT_SMALL ? small : this.decode(this.scratch.slice(0, length), false)
    }
    checkViewable(`get() of ${id}`, length)
    return this.viewed(id, this.store.view(id))
  }

  /** The value of an object that is not in this node's store, brought there first. */
  private fetched(id: string, cancels: (() => void)[] | null): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const cancel = this.fetches.want(id, 'get', error => {
        if (error !== null) return reject(error)
        try {
          resolve(this.stored(id, cancels))
        } catch (thrown) {
          reject(thrown)
        }
      })
      cancels?.push(cancel)
    })
  }

  /** The value of an object that is on disk, read from there first. */
  private async restored(id: string): Promise<unknown> {
    return this.viewed(id, await this.store.restore(id))
  }

  private viewed(id: string, buffer: ArrayBuffer | null): unknown {
    if (buffer === null) return this.fetched(id, null)
    const bytes = new Uint8Array(buffer)
    if (this.decoder.holdsViews(bytes)) {
      this.views.set(buffer, id)
      this.pressure.viewed()
      return this.decode(bytes, true)
    }
    const value = this.decode(bytes, true)
    if (value instanceof Promise) return value.finally(() => this.store.release(buffer))
    this.store.release(buffer)
    return value
  }

  /** The object that an encoded value is, whole and unchanged: a view of it that comes back as it was got. Null for any other. */
  sourceOf(encoded: Encoded): string | null {
    const [data] = encoded.buffers
    if (encoded.buffers.length !== 1 || data === undefined || data.byteOffset !== encoded.offsets[0]) return null
    const id = this.views.get(data.buffer)
    if (id === undefined || data.buffer.byteLength !== encoded.byteLength) return null
    if (Buffer.compare(encoded.head, new Uint8Array(data.buffer, 0, encoded.head.length)) !== 0) return null
    return native.privatePages(data.buffer as ArrayBuffer) === 0 ? id : null
  }

  decode(bytes: Uint8Array, zeroCopy: boolean): unknown {
    const part = zeroCopy ? this.part : null
    const loading = this.decoder.prepare(bytes)
    if (loading === null) return this.decoder.decode(bytes, zeroCopy, part)
    return loading.then(() => this.decoder.decode(bytes, zeroCopy, part))
  }
}
