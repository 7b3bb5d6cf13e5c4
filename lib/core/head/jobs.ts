// SPDX-License-Identifier: Apache-2.0
// Jobs: one for each driver, from its hello to its end.
//
// Invariant: of jobs that have ended, at most `endedJobsKept` are remembered.

import { limits } from '../../options.js'
import type { JobSpec, WorkerId } from '../../wire/messages.js'

/** A row of the state API. */
export interface JobRow {
  jobId: string
  namespace: string
  driver: WorkerId
  state: 'RUNNING' | 'ENDED'
}

export class Jobs {
  readonly #running = new Map<WorkerId, JobSpec>()
  /** Oldest first. */
  readonly #ended: JobSpec[] = []

  begin(job: JobSpec, driver: WorkerId): void {
    this.#running.set(driver, { ...job, driver })
  }

  /** Gives the job that ended with that process; null when it was no driver. */
  end(driver: WorkerId): JobSpec | null {
    const job = this.#running.get(driver)
    if (job === undefined) return null
    this.#running.delete(driver)
    this.#ended.push(job)
    if (this.#ended.length > limits.endedJobsKept) this.#ended.shift()
    return job
  }

  rows(): JobRow[] {
    return [...this.#ended.map(job => rowOf(job, 'ENDED')), ...[...this.#running.values()].map(job => rowOf(job, 'RUNNING'))]
  }
}

function rowOf({ jobId, namespace, driver }: JobSpec, state: JobRow['state']): JobRow {
  return { jobId, namespace, driver, state }
}
