// SPDX-License-Identifier: Apache-2.0
// V8's collector, asked when memory that it does not see is short.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collector: (() => void) | null = null

/** As `collectGarbage`, and what it finds dead among views of the store is given back when this returns. */
export function collectViews(): void {
  collectGarbage()
  // V8 lets go of buffers in a thread beside, and waits for that when the next collection begins.
  collectGarbage()
}

/** A full collection, now. What it finds dead is given back meanwhile, or in later turns of the event loop. */
export function collectGarbage(): void {
  if (collector === null) {
    setFlagsFromString('--expose-gc')
    collector = runInNewContext('gc') as () => void
  }
  collector()
}
