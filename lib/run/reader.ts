// SPDX-License-Identifier: Apache-2.0
// From a settled entry to the value a user sees: decoded afresh at every get, so that nobody sees another's changes;
// large arrays as views over the store's shared memory.

import { prepareError, rebuildTaskError } from '../codec/error-value.js'
import { type Decoder, decodeSmall, NOT_SMALL } from '../codec/value.js'
import { type Entry, STATE } from '../core/owner/entry.js'
import { ObjectLostError } from '../errors.js'
import type { NativeStore } from '../native.js'
import { limits } from '../options.js'

export class Reader {
  private readonly scratch = new Uint8Array(limits.copyOutBytesMax)
  private readonly view = new DataView(this.scratch.buffer)

  constructor(
    private readonly store: NativeStore,
    private readonly decoder: Decoder,
    private readonly idOf: (entry: Entry) => string,
  ) {}

  /** The value, or a promise of it where modules have to be loaded first. Throws (or rejects with) the error of a failed entry. */
  value(entry: Entry): unknown {
    switch (entry.state) {
      case STATE.inline:
        return entry.envelope === null ? entry.plain : this.decode(entry.envelope, false)
      case STATE.stored:
        return this.stored(this.idOf(entry))
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

  /** The value of a sealed object of the store. */
  stored(id: string): unknown {
    const length = this.store.read(id, this.scratch)
    if (length < 0) throw new ObjectLostError(`the object ${id} is not in the store any more`, { objectId: id })
    if (length <= this.scratch.length) {
      const small = decodeSmall(this.scratch, this.view, 0, length)
      return small !== NOT_SMALL ? small : this.decode(this.scratch.slice(0, length), false)
    }
    const buffer = this.store.view(id)
    if (buffer === null) throw new ObjectLostError(`the object ${id} is not in the store any more`, { objectId: id })
    const bytes = new Uint8Array(buffer)
    if (this.decoder.holdsViews(bytes)) return this.decode(bytes, true)
    const value = this.decode(bytes, true)
    if (!(value instanceof Promise)) this.store.release(buffer)
    return value
  }

  decode(bytes: Uint8Array, zeroCopy: boolean): unknown {
    const loading = this.decoder.prepare(bytes)
    if (loading === null) return this.decoder.decode(bytes, zeroCopy)
    return loading.then(() => this.decoder.decode(bytes, zeroCopy))
  }
}
