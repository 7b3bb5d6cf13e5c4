// SPDX-License-Identifier: Apache-2.0
// Checker: nothing is left once nobody needs anything.

import { ownerOf } from '#lib/ids.js'
import type { Observed } from './observed.js'

/** Who is not at rest, and what of the living is left anywhere, as words; empty when nothing is. */
export function leftovers(world: Observed): string[] {
  const left: string[] = []
  for (const { id, owner, garbage, refs } of world.living()) {
    const { references, tasks } = owner
    if (owner.atRest && garbage.length + refs.size === 0) continue
    const borrowed = [...references.borrowed].map(([from, table]) => `${[...table.keys()]} of ${from.slice(0, 14)}`)
    left.push(
      `${id.slice(0, 14)}: ${tasks.pending.size} tasks, owns ${[...references.owned.keys()]}, borrows ${borrowed}, quiet ${references.quiet}, ${refs.size} refs`,
    )
  }
  for (const { spec, phase } of world.actors()) if (phase !== 'dead') left.push(`actor ${spec.actorId} is ${phase}`)
  for (const { name, stored } of world.nodes()) {
    // Where processes are killed on a single node, its daemon removes what they left.
    for (const id of stored) if (world.isSwept || world.process(ownerOf(id)) !== undefined) left.push(`${id} in the store of ${name}`)
  }
  return left
}
