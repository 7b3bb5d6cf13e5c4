// SPDX-License-Identifier: Apache-2.0
// Some tasks that may be run again only so often have their worker killed each time they begin.

import type { Random } from '../random.js'
import type { SimCluster } from './cluster.js'

/** How often each is killed at most. */
const BITES = 6

export class Hounds {
  /** Tasks that are hounded: how often they may still be killed. */
  readonly #left = new Map<string, number>()

  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Random,
  ) {}

  /** That task begins; `kill` ends its worker. */
  begins(task: string, retries: number, kill: () => void): void {
    const { settings, agenda } = this.cluster
    if (retries > 0 && this.#left.size < settings.hounds && this.random.chance(0.3) && !this.#left.has(task)) this.#left.set(task, BITES)
    const left = this.#left.get(task) ?? 0
    if (left === 0) return
    this.#left.set(task, left - 1)
    agenda.after(this.random.around(0.2), kill)
  }
}
