// SPDX-License-Identifier: Apache-2.0
// Checker: nothing is freed while somebody may still get it, and nothing is left once nobody may.

import type { Entry } from '#lib/core/owner/entry.js'
import { STATE } from '#lib/core/owner/entry.js'
import { objectId } from '#lib/ids.js'
import type { SimProcess } from './process.js'
import type { World } from './world.js'

/** While things happen, and nobody was killed: whoever has a ref, or a value with one inside, finds the object at its owner. */
export function checkReachable(world: World): void {
  if (world.killed > 0) return
  for (const process of world.processes.values()) {
    for (const ref of [...process.refs, ...process.garbage]) present(world, process, ref.entry, 'a ref')
    for (const table of process.owner.references.borrowed.values())
      for (const entry of table.values()) present(world, process, entry, 'a borrow')
  }
}

function present(world: World, process: SimProcess, entry: Entry, what: string): void {
  const owner = entry.owner ?? process.id
  const owned = world.processes.get(owner)?.owner.references.owned.get(entry.seq)
  const id = objectId(owner, entry.seq)
  if (owned === undefined) throw new Error(`references: ${process.id} has ${what} to ${id}, which its owner has freed`)
  if (owned.state === STATE.stored && !world.store.has(id))
    throw new Error(`references: ${id} is not in the store, and ${process.id} has ${what} to it`)
}

/** Who is not at rest, and what of the living is left in the store; empty when nothing is. */
export function leftovers(world: World): string[] {
  const left: string[] = []
  for (const { id, owner, garbage, refs } of world.processes.values()) {
    const { references, tasks } = owner
    if (owner.atRest && garbage.length + refs.size === 0) continue
    const borrowed = [...references.borrowed].map(([from, table]) => `${[...table.keys()]} of ${from.slice(10, 14)}`)
    left.push(
      `${id.slice(10, 14)}: ${tasks.pending.size} tasks, owns ${[...references.owned.keys()]}, borrows ${borrowed}, quiet ${references.quiet}, ${refs.size} refs`,
    )
  }
  for (const { spec, phase } of world.daemon.head.actors.all()) if (phase !== 'dead') left.push(`actor ${spec.actorId} is ${phase}`)
  for (const id of world.store.keys()) if (world.alive(id.slice(0, 24))) left.push(`${id} in the store`)
  return left
}
