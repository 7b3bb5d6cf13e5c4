// SPDX-License-Identifier: Apache-2.0
// Jobs: one for each driver, from its hello to its end.
//
// Invariant: of jobs that have ended, at most `endedJobsKept` are remembered.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { JobSpec, NodeId, WorkerId } from '../../wire/messages.js'
import type { HeadEffect } from './events.js'
import { rowsOf, type Tables } from './tables.js'

/** A row of the state API. */
export interface JobRow {
  jobId: string
  namespace: string
  driver: WorkerId
  state: 'RUNNING' | 'ENDED'
}

/** As it is kept. */
interface KeptJob {
  job: JobSpec
  state: JobRow['state']
}

export class Jobs {
  readonly #running = new Map<WorkerId, JobSpec>()
  /** Oldest first. */
  readonly #ended: JobSpec[] = []

  restore(tables: Tables): void {
    for (const [, { job, state }] of rowsOf<KeptJob>(tables, 'jobs')) {
      if (state === 'RUNNING') this.#running.set(job.driver, job)
      else this.#ended.push(job)
    }
  }

  begin(spec: JobSpec, driver: WorkerId, out: HeadEffect[]): void {
    const job = { ...spec, driver }
    this.#running.set(driver, job)
    save(job, 'RUNNING', out)
  }

  /** Gives the job that ended with that process; null when it was no driver. */
  end(driver: WorkerId, out: HeadEffect[]): JobSpec | null {
    const job = this.#running.get(driver)
    if (job === undefined) return null
    this.#running.delete(driver)
    this.#ended.push(job)
    save(job, 'ENDED', out)
    const forgotten = this.#ended.length > limits.endedJobsKept ? this.#ended.shift() : undefined
    if (forgotten !== undefined) out.push({ is: 'persist', table: 'jobs', key: forgotten.jobId, row: null })
    return job
  }

  /** Of jobs that run. */
  driversOn(nodeId: NodeId): WorkerId[] {
    return [...this.#running.keys()].filter(driver => nodeOf(driver) === nodeId)
  }

  isRunning(jobId: string): boolean {
    for (const job of this.#running.values()) if (job.jobId === jobId) return true
    return false
  }

  /** Those that run. */
  get size(): number {
    return this.#running.size
  }

  rows(): JobRow[] {
    return [...this.#ended.map(job => rowOf(job, 'ENDED')), ...[...this.#running.values()].map(job => rowOf(job, 'RUNNING'))]
  }
}

function rowOf({ jobId, namespace, driver }: JobSpec, state: JobRow['state']): JobRow {
  return { jobId, namespace, driver, state }
}

function save(job: JobSpec, state: KeptJob['state'], out: HeadEffect[]): void {
  out.push({ is: 'persist', table: 'jobs', key: job.jobId, row: { job, state } })
}
