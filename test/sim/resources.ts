// SPDX-License-Identifier: Apache-2.0
// Checker: the node never grants more than it has, and has all of it again at the end.

import type { World } from './world.js'

export function checkGranted(world: World): void {
  const { available } = world.daemon.node.resources()
  for (const [name, total] of Object.entries(world.total)) {
    const left = available[name] ?? 0
    if (left < 0 || left > total) throw new Error(`resources: ${left} of ${total} ${name} are left`)
  }
}

export function allReturned(world: World): boolean {
  const { available } = world.daemon.node.resources()
  return Object.entries(world.total).every(([name, total]) => available[name] === total)
}
