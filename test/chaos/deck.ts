// SPDX-License-Identifier: Apache-2.0
// Which fault comes next.

import type { Random } from '../sim/random.js'

/** How often each kind comes in a round. A node that stops takes its leave; one that freezes says nothing for a while, and goes on. */
const ROUND = { worker: 5, node: 1, stop: 1, freeze: 1, head: 1, driver: 1 } as const

export type Fault = keyof typeof ROUND

/** Faults in an order that the seed alone decides. Every kind comes in every round, so a run of one round has seen them all. */
export class Deck {
  #left: Fault[] = []
  #rounds = 0

  constructor(private readonly random: Random) {}

  /** Whether every kind has come. */
  get sawAll(): boolean {
    return this.#rounds > 1 || (this.#rounds === 1 && this.#left.length === 0)
  }

  next(): Fault {
    if (this.#left.length === 0) {
      this.#rounds++
      this.#left = Object.entries(ROUND).flatMap(([fault, count]) => Array<Fault>(count).fill(fault as Fault))
    }
    return this.#left.splice(this.random.int(this.#left.length), 1)[0] as Fault
  }
}
