// SPDX-License-Identifier: Apache-2.0
// The memory monitor: above the limit one worker is ended, before the kernel ends whomever it likes. Which one: the one
// furthest above the memory it declared, since it is the one that broke its word; of equals the larger one. Never the
// daemon or a driver. One at a time: the memory of the last comes back with its exit.
//
//   memory (totals, at every check) --above the limit--> weigh --> weighed (each process) --> a victim, or a warning
//
// Invariant: `#victim` is the key of a worker that was ended for memory and has not exited yet.

import { limits } from '../../options.js'
import type { JobSpec, NodeId, WorkerId } from '../../wire/messages.js'
import type { Millis } from '../machine.js'
import { describeBytes } from '../resources.js'
import type { MemoryTotals, NodeEffect, Weighed } from './events.js'
import type { Leases } from './leases.js'
import type { Worker, Workers } from './workers.js'

/** How many of the largest processes a text names. */
const CONSUMERS = 5

/** What is to be told, null when nothing is; and of whose worker, null: of the node as a whole. */
export interface MemoryNews {
  text: string | null
  job: JobSpec | null
}

const NO_NEWS: MemoryNews = { text: null, job: null }

export class MemoryMonitor {
  readonly #nodeId: NodeId
  readonly #workers: Workers
  readonly #leases: Leases
  #victim: string | null = null
  /** The drivers have been told that nobody can be ended; once until the usage is below the limit again. */
  #warned = false
  /** Processes the kernel has ended for lack of memory, by its count; null before the first look. */
  #kernelKills: number | null = null
  /** Of those, the ones that no exit has been put down to, and until when one may. */
  #unclaimed = 0
  #claimUntil: Millis = 0

  constructor(nodeId: NodeId, workers: Workers, leases: Leases) {
    this.#nodeId = nodeId
    this.#workers = workers
    this.#leases = leases
  }

  /** The totals at a check: asks for each process's size when they are above the limit. */
  checked(totals: MemoryTotals, now: Millis, out: NodeEffect[]): void {
    this.#count(totals.kernelKills, now)
    if (!isAbove(totals)) this.#warned = false
    else if (this.#victim === null) out.push({ is: 'weigh', pids: this.#candidates().map(worker => worker.pid as number) })
  }

  /** Ends a worker, or finds that none is worth it. Gives what drivers are to be told. */
  weighed({ totals, sizes, others }: Weighed, out: NodeEffect[]): MemoryNews {
    if (!isAbove(totals) || this.#victim !== null) return NO_NEWS
    const bytesOf = new Map(sizes)
    const weights = this.#candidates().map(worker => {
      const bytes = bytesOf.get(worker.pid as number) ?? 0
      return { worker, what: `${nameOf(worker)} (pid ${worker.pid})`, bytes, excess: bytes - this.#declared(worker) }
    })
    const usage = this.#describe(totals)
    const largest = [...weights, ...others].sort((a, b) => b.bytes - a.bytes).slice(0, CONSUMERS)
    const consumers = `The largest here: ${largest.map(each => `${each.what} ${describeBytes(each.bytes)}`).join(', ')}`
    const [first] = weights
      .filter(each => each.bytes >= limits.memoryVictimBytesMin)
      .sort((a, b) => b.excess - a.excess || b.bytes - a.bytes)
    if (first !== undefined) {
      const { worker, what, bytes, excess } = first
      const word = excess < bytes ? `declared memoryBytes of ${describeBytes(bytes - excess)}` : 'declared no memoryBytes'
      const text = this.#end(
        worker,
        `${usage}, and of its workers ${what} was the furthest above its word: it uses ${describeBytes(bytes)} and ${word}. ${consumers}`,
        out,
      )
      return { text, job: worker.job }
    }
    if (this.#warned) return NO_NEWS
    this.#warned = true
    return { text: `${usage}, and no worker is so large that ending it would help. ${consumers}`, job: null }
  }

  /** A worker has exited. Gives why, when that was memory. */
  exited(worker: Worker, signal: string | null, kernelKills: number, now: Millis): string | null {
    if (this.#victim === worker.key) {
      this.#victim = null
      return worker.endReason
    }
    this.#count(kernelKills, now)
    if (signal !== 'SIGKILL' || worker.endReason !== null || this.#unclaimed === 0) return null
    this.#unclaimed--
    return `most likely node ${this.#nodeId} ran out of memory: it was killed by SIGKILL, which nobody here sent, just when the kernel ended a process for lack of memory`
  }

  #end(worker: Worker, reason: string, out: NodeEffect[]): string {
    const name = nameOf(worker)
    this.#victim = worker.key
    this.#workers.kill(worker, reason, out)
    // It may have been leaving for another reason.
    worker.endReason = reason
    return `${name} was ended: ${reason}`
  }

  /** Kernel kills that no worker's exit follows soon were of somebody else. */
  #count(kernelKills: number, now: Millis): void {
    if (now >= this.#claimUntil) this.#unclaimed = 0
    if (this.#kernelKills !== null && kernelKills > this.#kernelKills) {
      this.#unclaimed += kernelKills - this.#kernelKills
      this.#claimUntil = now + limits.kernelKillMs
    }
    this.#kernelKills = kernelKills
  }

  #candidates(): Worker[] {
    return [...this.#workers.all()].filter(worker => worker.pid !== null && worker.workerId !== null)
  }

  #declared(worker: Worker): number {
    const amounts = worker.actor?.holding.amounts ?? this.#leases.of(worker.workerId as WorkerId)?.class.resources
    return amounts?.memory ?? 0
  }

  #describe(totals: MemoryTotals): string {
    const { usedBytes, totalBytes, where } = totals
    const limit = `the limit of ${describeBytes(limitOf(totals))} (${Math.round(limits.memoryLimitShare * 100)} %)`
    return `node ${this.#nodeId} is out of memory: ${describeBytes(usedBytes)} of the ${describeBytes(totalBytes)} of ${where} are used, which is above ${limit}`
  }
}

function nameOf({ name, state }: Worker): string {
  return state === 'leased' || state === 'actor' ? name || 'a task' : `a worker that is ${state}`
}

function isAbove(totals: MemoryTotals): boolean {
  return totals.usedBytes > limitOf(totals)
}

function limitOf({ totalBytes }: MemoryTotals): number {
  return totalBytes * limits.memoryLimitShare
}
