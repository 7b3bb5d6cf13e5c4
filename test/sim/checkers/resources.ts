// SPDX-License-Identifier: Apache-2.0
// Checker: no node ever grants more than it has, and each has all of it again at the end.

import type { Observed } from './observed.js'

export function checkGranted(world: Observed): void {
  for (const { name: node, machine, total } of world.nodes()) {
    const { available } = machine.resources()
    for (const [name, most] of Object.entries(total)) {
      const left = available[name] ?? 0
      if (left < 0 || left > most) throw new Error(`resources: ${left} of ${most} ${name} are left on ${node}`)
    }
  }
}

/** What each node still lacks of what it has in all, as words; empty when nothing is granted. */
export function granted(world: Observed): string[] {
  const lacking: string[] = []
  for (const { name: node, machine, total } of world.nodes()) {
    const { available } = machine.resources()
    for (const [name, most] of Object.entries(total))
      if (available[name] !== most) lacking.push(`${available[name]} of ${most} ${name} are left on ${node}`)
  }
  return lacking
}
