// SPDX-License-Identifier: Apache-2.0
// Checker: an actor starts again only after its process died of something else than the cluster's own doing, or of a `kill()` that
// lets it restart; and as long as it may restart it does not stay dead.

import type { Actor } from '#lib/core/head/actor.js'
import type { ActorStart } from '#lib/wire/messages.js'

/** Ends of actors that a restart comes after, where there may be one. */
const RESTARTS_AFTER = /its process ended|died with its node/

export class Restarts {
  /** By actor: the starts whose process died so that the next may follow. */
  readonly #died = new Map<string, Set<number>>()
  /** By actor: how often somebody killed it to be restarted, and its process was not ended for that yet. */
  readonly #asked = new Map<string, number>()

  constructor(
    private readonly faults: string[],
    /** Whether the process of that start was on a node that was declared dead. */
    private readonly isOnDeadNode: (actorId: string, incarnation: number) => boolean,
  ) {}

  /** Somebody kills it, and it may restart. */
  asked(actorId: string): void {
    this.#asked.set(actorId, (this.#asked.get(actorId) ?? 0) + 1)
  }

  /** The process of that start is dead. `decreed`: its daemon ended it. */
  died(actorId: string, incarnation: number, decreed: boolean): void {
    const asked = this.#asked.get(actorId) ?? 0
    if (decreed && asked === 0) return
    if (decreed) this.#asked.set(actorId, asked - 1)
    const died = this.#died.get(actorId)
    if (died === undefined) this.#died.set(actorId, new Set([incarnation]))
    else died.add(incarnation)
  }

  starts({ spec: { actorId }, incarnation }: ActorStart): void {
    for (let before = 0; before < incarnation; before++) {
      if (this.#died.get(actorId)?.has(before) || this.isOnDeadNode(actorId, before)) continue
      this.faults.push(`restarts: actor ${actorId} starts for the ${incarnation + 1}. time, and nothing ended start ${before}`)
    }
  }
}

/** What is wrong with the ends of actors, as words. */
export function shortLives(actors: Iterable<Actor>, decode: (bytes: Uint8Array) => string): string[] {
  const wrong: string[] = []
  for (const { spec, phase, restartsLeft, restarts, deathCause } of actors) {
    if (phase !== 'dead' || restartsLeft === 0) continue
    const why = decode(deathCause as Uint8Array)
    if (RESTARTS_AFTER.test(why))
      wrong.push(`restarts: actor ${spec.actorId} restarted ${restarts} times of ${spec.maxRestarts}, and is dead: ${why}`)
  }
  return wrong
}
