// SPDX-License-Identifier: Apache-2.0
// The drivers attached to this node: when each is welcomed, whose end is the end of everything, and who is warned of what.
//
// Invariant: whoever waits to be welcomed is attached.

import type { Control, JobSpec, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { NodeEffect } from './events.js'

export class Drivers {
  /** Those that said hello and have not left, and their jobs. */
  readonly #jobs = new Map<WorkerId, JobSpec>()
  /** Not welcomed yet: they are when the first warm worker is there, so that their first task finds one. */
  readonly #early = new Set<WorkerId>()
  readonly #founded: boolean
  /** The driver whose end is the end of everything; null where there is none. */
  #founder: WorkerId | null = null

  /** `founded`: the first that comes started the node. */
  constructor(founded: boolean) {
    this.#founded = founded
  }

  get count(): number {
    return this.#jobs.size
  }

  has(process: WorkerId): boolean {
    return this.#jobs.has(process)
  }

  ids(): Iterable<WorkerId> {
    return this.#jobs.keys()
  }

  jobs(): Iterable<JobSpec> {
    return this.#jobs.values()
  }

  isFounder(driver: WorkerId): boolean {
    return driver === this.#founder
  }

  /** `welcome` is due. */
  arrived(driver: WorkerId, job: JobSpec): void {
    this.#jobs.set(driver, job)
    this.#early.add(driver)
    if (this.#founded) this.#founder ??= driver
  }

  left(driver: WorkerId): void {
    this.#jobs.delete(driver)
    this.#early.delete(driver)
  }

  /** All who wait for it. */
  welcome(message: Control, out: NodeEffect[]): void {
    for (const to of this.#early) out.push({ is: 'send', to, message })
    this.#early.clear()
  }

  /** Whose job that is; null while nobody has it. It may be a driver of another node. */
  of({ driver, jobId }: JobSpec): WorkerId | null {
    if (driver !== '') return driver
    for (const [other, job] of this.#jobs) if (job.jobId === jobId) return other
    return null
  }

  /** Tells the driver of that job; all of this node, where it is nobody's. */
  warn(job: JobSpec | null, text: string, out: NodeEffect[]): void {
    const whom = job === null ? [...this.#jobs.keys()] : [this.of(job)]
    for (const to of whom) if (to !== null) out.push({ is: 'send', to, message: { is: 'warning', text } })
  }

  invariants(): void {
    for (const driver of this.#early) assert(this.#jobs.has(driver), 'a driver that is gone waits to be welcomed')
  }
}
