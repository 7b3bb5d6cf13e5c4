// SPDX-License-Identifier: Apache-2.0
// Checker: no node ever grants more than it has, and each has all of it again at the end.

import type { Observed } from './observed.js'

export function checkGranted(world: Observed): void {
  for (const { machine, total } of world.nodes()) {
    const { available } = machine.resources()
    for (const [name, most] of Object.entries(total)) {
      const left = available[name] ?? 0
      if (left < 0 || left > most) throw new Error(`resources: ${left} of ${most} ${name} are left`)
    }
  }
}

export function allReturned(world: Observed): boolean {
  for (const { machine, total } of world.nodes()) {
    const { available } = machine.resources()
    if (!Object.entries(total).every(([name, most]) => available[name] === most)) return false
  }
  return true
}
