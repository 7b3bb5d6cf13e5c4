// SPDX-License-Identifier: Apache-2.0
// Putting values into the store: put, createArray, large arguments and results.

import { encodeSmallBinary } from '../codec/small-binary.js'
import type { Encoded } from '../codec/value.js'
import { encodeSmall } from '../codec/value.js'
import { checkViewable } from '../codec/view-limit.js'
import type { Entry } from '../core/owner/entry.js'
import { ObjectStoreFullError, OutOfDiskError } from '../errors.js'
import { objectId } from '../ids.js'
import { collectViews } from '../io/garbage.js'
import { callSiteText } from './call-site.js'
import type { Runtime } from './runtime.js'

const SMALL_BYTES = 16 * 1024
const HOLDERS_NAMED = 10

export class Puts {
  private readonly scratch = new Uint8Array(SMALL_BYTES)
  private readonly view = new DataView(this.scratch.buffer)
  private starved = 0

  constructor(private readonly runtime: Runtime) {}

  /** Copies the value into the store; when it returns, later changes to `value` do not show. */
  value(value: unknown): Entry {
    const { owner } = this.runtime
    const size = encodeSmall(value, this.scratch, this.view, 0) || encodeSmallBinary(value, this.scratch, this.view)
    if (size === 0) return this.encoded(this.runtime.encoder.encode(value, 'value'))
    const seq = owner.nextSeq(1)
    const id = objectId(this.runtime.self, seq)
    this.full(size, () => this.runtime.store.put(id, this.scratch, size))
    const entry = owner.stored(seq, size, null)
    entry.id = id
    this.runtime.pressure.stored(size)
    return entry
  }

  encoded(encoded: Encoded): Entry {
    const { owner } = this.runtime
    const seq = owner.nextSeq(1)
    const id = objectId(this.runtime.self, seq)
    this.write(id, encoded)
    const entry = owner.stored(seq, encoded.byteLength, this.runtime.contained(encoded))
    entry.id = id
    entry.callSite = callSiteText()
    this.runtime.pressure.stored(encoded.byteLength)
    return entry
  }

  /** Writes an encoded value under an id, in one copy. */
  write(id: string, encoded: Encoded): void {
    checkViewable('an object', encoded.byteLength)
    const parts = [encoded.head, ...encoded.buffers]
    const offsets = [0, ...encoded.offsets]
    this.full(encoded.byteLength, () => this.runtime.store.putParts(id, encoded.byteLength, parts, offsets))
    this.afterStarving()
  }

  /** All that was in memory was viewed: where that are views nobody has any more, the next will find room. */
  private afterStarving(): void {
    const { starved } = this.runtime.store
    if (starved === this.starved) return
    this.starved = starved
    this.runtime.makeRoom()
  }

  /** Runs something that needs room in the store, once more without the garbage of this process; a full store becomes an error that names who holds it. */
  full<T>(requestedBytes: number, attempt: () => T): T {
    try {
      return attempt()
    } catch (error) {
      if (!isFull(error)) throw error
      this.runtime.makeRoom()
      const { viewedBytes } = this.runtime.store
      if (viewedBytes > 0) collectViews()
      if (this.runtime.store.viewedBytes >= viewedBytes) throw this.fullError(requestedBytes, error as Error)
    }
    return this.fullAgain(requestedBytes, attempt)
  }

  private fullAgain<T>(requestedBytes: number, attempt: () => T): T {
    try {
      return attempt()
    } catch (error) {
      throw isFull(error) ? this.fullError(requestedBytes, error as Error) : error
    }
  }

  private fullError(requestedBytes: number, cause: Error): Error {
    const { store } = this.runtime
    const stats = store.stats()
    const clients = new Map(store.clients().map(client => [client.slot, client]))
    const largest = store
      .list()
      .sort((a, b) => b.sizeBytes - a.sizeBytes)
      .slice(0, HOLDERS_NAMED)
    const holders = largest.map(object => {
      const own = object.id.startsWith(this.runtime.self)
        ? this.runtime.owner.references.owned.get(Number.parseInt(object.id.slice(24), 16))
        : undefined
      const pinned =
        object.pinnedBy.length > 0
          ? `a view is alive in pid ${object.pinnedBy.map(slot => clients.get(slot)?.pid ?? '?').join(', ')}`
          : 'referenced by its owner'
      return {
        objectId: object.id,
        sizeBytes: object.sizeBytes,
        owner: object.id.slice(0, 24),
        callSite: own?.callSite ?? 'unknown call site',
        reason: own === undefined ? pinned : reason(own),
      }
    })
    const text = holders.map(each => `  ${each.sizeBytes} bytes made at ${each.callSite}: ${each.reason} (${each.objectId})`)
    if ((cause as NodeJS.ErrnoException).code === 'ERR_EAGLERAY_OUT_OF_DISK') {
      const what = `the object store has no room for ${requestedBytes} bytes in memory, nor on disk: ${cause.message}. The largest objects are:`
      return new OutOfDiskError(
        `${what}\n${text.join('\n')}\nDrop refs you no longer need, free disk space, or give init() another spillDir`,
        {
          cause,
        },
      )
    }
    return new ObjectStoreFullError(
      `the object store has no room for ${requestedBytes} bytes: ${stats.usedBytes} of ${stats.capacityBytes} are used, the largest free piece is ${stats.largestFreeBytes}. ` +
        `The largest objects are:\n${text.join('\n')}\nDrop refs you no longer need (using, or [Symbol.dispose]()), release() views, or give init() more objectStoreBytes`,
      { requestedBytes, holders, cause },
    )
  }
}

function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ERR_EAGLERAY_OBJECT_STORE_FULL' || code === 'ERR_EAGLERAY_OUT_OF_DISK'
}

/** Why an object of this process is still there. */
export function reason(entry: Entry): string {
  if (entry.local > 0) return 'local ref'
  if (entry.borrowers !== null && entry.borrowers.size > 0) return 'borrowed by another process'
  if (entry.holds > 0) return 'pending task or container'
  return 'a view is alive'
}
