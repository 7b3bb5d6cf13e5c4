// SPDX-License-Identifier: Apache-2.0
// What a simulated process does by itself, each after a while: it sends what has gathered, runs a piece of its body,
// collects a ref, hears of a death, looks at the time.

import type { SimDriver } from '../driver.js'
import type { SimProcess } from '../process.js'
import type { Random } from '../random.js'
import type { Life } from './life.js'

/** Mean delays in milliseconds. */
export interface Pace {
  flush: number
  run: number
  collect: number
}

export class Pulse {
  driver: SimDriver | null = null
  readonly #coming = new Set<string>()
  #tickAt = Number.POSITIVE_INFINITY

  constructor(
    readonly process: SimProcess,
    readonly life: Life,
    private readonly random: Random,
    private readonly pace: Pace,
    /** After each thing that happened. */
    private readonly happened: (process: SimProcess) => void,
  ) {}

  /** Something has happened to the process: enters what it will do now. */
  look(): void {
    const { process, pace, driver } = this
    process.settle()
    if (!this.life.alive) return
    if (process.dirty) this.#once('flush', pace.flush, () => process.act({ is: 'flush' }))
    if (process.badNews.length > 0) this.#once('news', pace.flush, () => process.hearBadNews())
    if (process.actor?.runnable) this.#once('call', pace.run, () => process.actor?.runnable && process.actor.step())
    if (process.executor.runnable) this.#once('run', pace.run, () => process.executor.runnable && process.executor.step())
    if (driver?.runnable) this.#once('drive', pace.run, () => driver.step())
    if (process.garbage.length > 0) this.#once('collect', pace.collect, () => this.#collect())
    this.#tick()
  }

  #collect(): void {
    const { garbage } = this.process
    if (garbage.length > 0) this.process.collect(this.random.int(garbage.length))
  }

  #once(what: string, mean: number, go: () => void): void {
    if (this.#coming.has(what)) return
    this.#coming.add(what)
    this.life.after(this.random.around(mean), () => {
      this.#coming.delete(what)
      go()
      this.happened(this.process)
    })
  }

  #tick(): void {
    const due = this.process.owner.deadline()
    if (due === null || due >= this.#tickAt) return
    this.#tickAt = due
    this.life.at(due, () => {
      if (this.#tickAt !== due) return
      this.#tickAt = Number.POSITIVE_INFINITY
      const now = this.process.owner.deadline()
      if (now !== null && now <= this.life.now) this.process.act({ is: 'tick' })
      this.happened(this.process)
    })
  }
}
