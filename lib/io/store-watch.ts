// SPDX-License-Identifier: Apache-2.0
// What happens to the objects of a store, told by comparing what is there now with what was there before, after each ring.

import type { NativeStore } from '../native.js'
import type { StoreBell } from './store-bell.js'

export interface StoreEvent {
  type: 'sealed' | 'deleted'
  /** 40 hex digits. */
  id: string
  sizeBytes: number
}

interface Seen {
  sizeBytes: number
  createdAtMs: number
}

/** Iterates over events from its making on. Ends with `return`, or when the store is closed. */
export class StoreWatch implements AsyncIterableIterator<StoreEvent> {
  private readonly events: StoreEvent[] = []
  private known: Map<string, Seen>
  private ended = false

  constructor(
    private readonly store: NativeStore,
    private readonly bell: StoreBell,
    private readonly isClosed: () => boolean,
  ) {
    bell.listen(store)
    store.expectAll()
    this.known = this.sealed()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<StoreEvent, undefined>> {
    for (;;) {
      if (this.ended || this.isClosed()) return { done: true, value: undefined }
      const event = this.events.shift()
      if (event !== undefined) return { done: false, value: event }
      this.bell.listen(this.store)
      this.store.expectAll()
      this.look()
      if (this.events.length === 0) await this.bell.rung(null)
    }
  }

  async return(): Promise<IteratorResult<StoreEvent, undefined>> {
    this.ended = true
    this.bell.wake()
    return { done: true, value: undefined }
  }

  private look(): void {
    const now = this.sealed()
    for (const [id, { sizeBytes, createdAtMs }] of this.known) {
      if (now.get(id)?.createdAtMs !== createdAtMs) this.events.push({ type: 'deleted', id, sizeBytes })
    }
    for (const [id, { sizeBytes, createdAtMs }] of now) {
      if (this.known.get(id)?.createdAtMs !== createdAtMs) this.events.push({ type: 'sealed', id, sizeBytes })
    }
    this.known = now
  }

  private sealed(): Map<string, Seen> {
    return new Map(this.store.list().flatMap(each => (each.state === 'sealed' ? [[each.id, each]] : [])))
  }
}
