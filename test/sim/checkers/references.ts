// SPDX-License-Identifier: Apache-2.0
// Checker: nothing is freed while somebody may still get it.

import type { Entry } from '#lib/core/owner/entry.js'
import { STATE } from '#lib/core/owner/entry.js'
import { objectId } from '#lib/ids.js'
import type { SimProcess } from '../process.js'
import type { Observed } from './observed.js'

/** While nobody was killed and nothing has vanished: whoever has a ref, or a value with one inside, finds the object at its owner, and in some store. */
export function checkReachable(world: Observed): void {
  if (world.killed > 0 || world.isLossy) return
  for (const process of world.living()) {
    if (world.isEnding(process)) continue
    for (const ref of [...process.refs, ...process.garbage]) present(world, process, ref.entry, 'a ref')
    for (const table of process.owner.references.borrowed.values())
      for (const entry of table.values()) present(world, process, entry, 'a borrow')
  }
}

function present(world: Observed, process: SimProcess, entry: Entry, what: string): void {
  const owner = entry.owner ?? process.id
  const id = objectId(owner, entry.seq)
  // Of one that a program has killed only what is in a store is left: there its actors put it.
  const end = world.endOf(owner)
  // Others may have refs by way of an actor with a name, to what never was in a store.
  if (end === 'with its job') return
  const owned = world.process(owner)?.owner.references.owned.get(entry.seq)
  if (owned === undefined && end === null) throw new Error(`references: ${process.id} has ${what} to ${id}, which its owner has freed`)
  if (owned !== undefined && owned.state !== STATE.stored) return
  for (const { stored } of world.nodes()) if (stored.has(id)) return
  throw new Error(`references: ${id} is in no store, and ${process.id} has ${what} to it`)
}
