// SPDX-License-Identifier: Apache-2.0
// Room in the store. Refs are small, so V8 sees no reason to collect them while the objects behind them fill the store:
// when much was stored since the last collection and the store is well filled, a collection is asked for. When it is full,
// every process of the node is asked for one.

import { collectGarbage } from '../io/garbage.js'
import type { NativeStore } from '../native.js'
import { limits } from '../options.js'

export class Pressure {
  /** Whether what waits for later turns of the event loop should be given one. */
  high = false
  private storedBytes = 0
  private readonly capacityBytes: number
  private lastCollection = 0

  constructor(private readonly store: NativeStore) {
    this.capacityBytes = store.stats().capacityBytes
  }

  /** So many bytes were stored for refs of this process. */
  stored(bytes: number): void {
    this.storedBytes += bytes
    if (this.storedBytes < this.capacityBytes * limits.collectAfterShare) return
    this.storedBytes = 0
    const { usedBytes } = this.store.stats()
    this.high = usedBytes > this.capacityBytes * limits.collectAboveShare
    if (!this.high) return
    if (usedBytes > this.capacityBytes * limits.collectAtOnceShare) this.lastCollection = Number.NEGATIVE_INFINITY
    this.collect()
  }

  /** Collects, unless that was done a moment ago. */
  collect(): void {
    const now = performance.now()
    if (now - this.lastCollection < limits.collectEveryMs) return
    this.lastCollection = now
    collectGarbage()
  }
}
