// SPDX-License-Identifier: Apache-2.0
// V8's collector, asked when memory that it does not see is short.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collector: (() => void) | null = null

/** A full collection, now. What it finds dead is given back in later turns of the event loop. */
export function collectGarbage(): void {
  if (collector === null) {
    setFlagsFromString('--expose-gc')
    collector = runInNewContext('gc') as () => void
  }
  collector()
}
