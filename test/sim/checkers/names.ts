// SPDX-License-Identifier: Apache-2.0
// Checker: a name has one actor at a time, and finds it. One that went out of scope has given its name up, though it still
// finishes what it was asked before.

import type { Observed } from './observed.js'

export function checkNames(world: Observed): void {
  const seen = new Map<string, string>()
  for (const { spec, phase, ending } of world.actors()) {
    if (spec.name === null || phase === 'dead' || ending !== null) continue
    const name = `${spec.namespace}/${spec.name}`
    const other = seen.get(name)
    if (other !== undefined) throw new Error(`names: ${name} is that of ${other} and of ${spec.actorId}`)
    seen.set(name, spec.actorId)
    const found = world.named(spec.name, spec.namespace)
    if (found !== spec.actorId) throw new Error(`names: ${name} finds ${found}, and is that of ${spec.actorId}`)
  }
}
