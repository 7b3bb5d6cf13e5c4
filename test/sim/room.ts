// SPDX-License-Identifier: Apache-2.0
// Results that are to go into a store, as lib/run/reply.ts puts them there: as soon as there is room, or never.

import { limits } from '#lib/options.js'
import type { SimProcess } from './process.js'

/** Calls back as soon as the store of that process's node has room; with false when it had none for too long. */
export function whenRoom(process: SimProcess, then: (hasRoom: boolean) => void, until = process.world.now + limits.roomWaitMs): void {
  const { world, id } = process
  if (!world.store.isFull) then(true)
  else if (world.now >= until) then(false)
  else world.later(id, limits.roomRetryMs, () => whenRoom(process, then, until))
}
