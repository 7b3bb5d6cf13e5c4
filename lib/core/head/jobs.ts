// SPDX-License-Identifier: Apache-2.0
// Jobs: one for each driver. The driver that started the cluster has the first, whose id and namespace its workers are
// told before it has said hello itself.

import type { WorkerId } from '../../wire/messages.js'

export interface Job {
  readonly jobId: string
  readonly namespace: string
  readonly driver: WorkerId
  alive: boolean
}

export class Jobs {
  readonly #first: { jobId: string; namespace: string }
  readonly #byDriver = new Map<WorkerId, Job>()

  constructor(first: { jobId: string; namespace: string }) {
    this.#first = first
  }

  begin(driver: WorkerId): Job {
    const known = this.#byDriver.get(driver)
    if (known !== undefined) return known
    const number = Number.parseInt(this.#first.jobId, 16) + this.#byDriver.size
    const jobId = number.toString(16).padStart(this.#first.jobId.length, '0')
    const job = { jobId, namespace: this.#first.namespace, driver, alive: true }
    this.#byDriver.set(driver, job)
    return job
  }

  end(driver: WorkerId): void {
    const job = this.#byDriver.get(driver)
    if (job !== undefined) job.alive = false
  }

  rows(): unknown[] {
    return [...this.#byDriver.values()].map(({ jobId, namespace, driver, alive }) => ({
      jobId,
      namespace,
      driver,
      state: alive ? 'running' : 'ended',
    }))
  }
}
