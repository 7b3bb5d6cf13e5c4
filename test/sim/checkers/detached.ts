// SPDX-License-Identifier: Apache-2.0
// Checker: a detached actor that somebody was told lives is found by its name, whatever ends, until it is killed.

import type { ActorView } from '#lib/wire/messages.js'
import type { Observed } from './observed.js'

export class Detached {
  /** By name. */
  readonly #living = new Map<string, string>()
  readonly #killed = new Set<string>()

  constructor(private readonly names: readonly string[]) {}

  /** Somebody is told that. */
  told({ name, phase, actorId }: ActorView): void {
    if (name !== null && phase === 'alive' && this.names.includes(name) && !this.#killed.has(actorId)) this.#living.set(name, actorId)
  }

  /** Somebody is about to. */
  killed(name: string, actorId: string): void {
    this.#killed.add(actorId)
    if (this.#living.get(name) === actorId) this.#living.delete(name)
  }

  isKilled(actorId: string): boolean {
    return this.#killed.has(actorId)
  }

  check(world: Observed): void {
    for (const [name, actorId] of this.#living) {
      const found = world.named(name, 'default')
      if (found !== actorId) throw new Error(`detached: ${name} finds ${found}, and is ${actorId}, which nobody killed`)
    }
  }
}
