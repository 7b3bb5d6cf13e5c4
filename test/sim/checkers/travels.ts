// SPDX-License-Identifier: Apache-2.0
// Checker: a ref finds its object, unless somebody died through whose hands it, or a value that it is inside of, has gone: only
// such a death ends a hold before the owner has heard of the next holder.

import { ownerOf } from '#lib/ids.js'
import type { WorkerId } from '#lib/wire/messages.js'
import type { Ends } from './ends.js'

export class Travels {
  /** Who ever had a ref to an object. */
  readonly #had = new Map<string, Set<WorkerId>>()
  /** Objects whose values a ref was inside of. */
  readonly #inside = new Map<string, Set<string>>()
  /**
   * An object vanished, whose owner lets go of what was inside of it when it hears so, or a task was run once more: what its arguments hold may be gone
   * since.
   */
  isExcused = false

  constructor(private readonly ends: Ends) {}

  had(process: WorkerId, ids: Iterable<string>): void {
    for (const id of ids) add(this.#had, id, process)
  }

  inside(container: string, ids: Iterable<string>): void {
    for (const id of ids) add(this.#inside, id, container)
  }

  /** What is wrong with that object being freed before somebody who got a ref to it could borrow it, as words; null when nothing is. */
  problem(id: string): string | null {
    if (this.isExcused || this.#isBroken(id, new Set())) return null
    return `travels: ${id} was freed, and nobody has died who ever had a ref to it`
  }

  #isBroken(id: string, seen: Set<string>): boolean {
    if (seen.has(id)) return false
    seen.add(id)
    const holders = [ownerOf(id), ...(this.#had.get(id) ?? [])]
    if (holders.some(each => this.ends.isOver(each))) return true
    return [...(this.#inside.get(id) ?? [])].some(each => this.#isBroken(each, seen))
  }
}

function add<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key)
  if (set === undefined) map.set(key, new Set([value]))
  else set.add(value)
}
