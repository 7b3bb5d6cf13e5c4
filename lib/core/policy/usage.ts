// SPDX-License-Identifier: Apache-2.0
// How full a node is, as placing sees it: by the resource that is nearest to its end.

import type { Amounts } from '../../wire/messages.js'

/** Nodes are filled to this share before the next is begun. */
export const PACK_UNTIL = 0.5

/** The largest share that is in use, of CPU, memory and what is needed. 0 to 1. */
export function usedShare(total: Amounts, available: Amounts, need: Amounts): number {
  let most = Math.max(shareOf('CPU', total, available), shareOf('memory', total, available))
  for (const name in need) most = Math.max(most, shareOf(name, total, available))
  return most
}

function shareOf(name: string, total: Amounts, available: Amounts): number {
  const all = total[name] ?? 0
  return all === 0 ? 0 : 1 - (available[name] ?? 0) / all
}
