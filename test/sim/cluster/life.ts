// SPDX-License-Identifier: Apache-2.0
// What can stop for a while and what can die: a process, a daemon, the head. What was to happen to it while it stopped
// happens at once when it goes on, in order; what was to happen after its death does not.

import type { Agenda } from './agenda.js'

/** So that the clock never shows less than the time that was asked for. */
const ROUNDING = 1e-6

/** How the clock of a machine goes: at this rate, from this beginning. */
export interface Skew {
  readonly rate: number
  readonly offset: number
}

export class Life {
  alive = true
  #pausedUntil = 0

  constructor(
    readonly agenda: Agenda,
    readonly skew: Skew,
  ) {}

  /** What the clock of its machine shows. */
  get now(): number {
    return this.agenda.now * this.skew.rate + this.skew.offset
  }

  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.agenda.now + ms)
  }

  after(delay: number, go: () => void): void {
    this.agenda.after(delay, () => this.#fire(go))
  }

  /** At that time of its machine's clock. */
  at(time: number, go: () => void): void {
    this.agenda.at((time - this.skew.offset) / this.skew.rate + ROUNDING, () => this.#fire(go))
  }

  #fire(go: () => void): void {
    if (!this.alive) return
    if (this.agenda.now < this.#pausedUntil) this.agenda.at(this.#pausedUntil, () => this.#fire(go))
    else go()
  }
}
