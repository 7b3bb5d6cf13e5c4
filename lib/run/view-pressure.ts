// SPDX-License-Identifier: Apache-2.0
// Views of objects are nothing to V8, which sees no reason to collect those that nobody has any more, while the objects behind them stay
// in the store. So when the views of this process have come to hold much more of it than they did, and it is well filled, a collection is
// asked for. Views of one object count once: getting the same one again and again holds no more of the store.

import { collectGarbage } from '../io/garbage.js'
import type { NativeStore } from '../native.js'
import { limits } from '../options.js'

export class ViewPressure {
  private readonly capacityBytes: number
  private readonly stepBytes: number
  /** The least that was viewed since the last collection. */
  private leastBytes = 0
  private lastCollection = Number.NEGATIVE_INFINITY

  constructor(private readonly store: NativeStore) {
    this.capacityBytes = store.stats().capacityBytes
    this.stepBytes = this.capacityBytes * limits.collectAfterShare
  }

  /** Another view was made. */
  viewed(): void {
    const { viewedBytes } = this.store
    if (viewedBytes < this.leastBytes) this.leastBytes = viewedBytes
    if (viewedBytes - this.leastBytes < this.stepBytes) return
    const now = performance.now()
    if (now - this.lastCollection < limits.collectEveryMs) return
    if (this.store.stats().usedBytes < this.capacityBytes * limits.collectAboveShare) return
    this.lastCollection = now
    collectGarbage()
    this.leastBytes = this.store.viewedBytes
  }
}
