// SPDX-License-Identifier: Apache-2.0
// Worker processes that did not get started: tried again, or given up with what waits for them.

import { limits } from '../../options.js'
import type { Environment } from '../../wire/messages.js'
import { describeFailure } from '../environment.js'
import type { Environments } from './environments.js'
import type { NodeEffect } from './events.js'
import { suspects } from './refusals.js'
import type { Requests } from './requests.js'
import { ENVIRONMENT_BROKEN, type Worker, type Workers } from './workers.js'

/** How a process ended. */
interface How {
  readonly exitCode: number | null
  readonly signal: string | null
  readonly stderrTail: string
}

export class Starts {
  readonly #workers: Workers
  readonly #environments: Environments
  readonly #requests: Requests

  constructor(workers: Workers, environments: Environments, requests: Requests) {
    this.#workers = workers
    this.#environments = environments
    this.#requests = requests
  }

  /** What waits for the environment fails, and what asks for it later tries again. */
  environmentBroken(key: string, field: string, message: string, out: NodeEffect[]): void {
    this.#environments.failed(key)
    this.#workers.broken(key, out)
    for (const request of [...this.#requests.all()]) {
      if (request.environment?.key !== key) continue
      this.#requests.remove(request.owner, request.key)
      if (request.actor === null) {
        out.push({ is: 'send', to: request.owner, message: { is: 'envBroken', classKey: request.key, field, message } })
      } else {
        const { actorId } = request.actor
        out.push({ is: 'toHead', event: { is: 'environmentBroken', actorId, message: describeFailure(request.name, field, message) } })
      }
    }
  }

  /** Gives what is to be told of it; null when nothing is. */
  failed(worker: Worker, how: How, out: NodeEffect[]): string | null {
    const end = worker.endReason ?? (how.signal === null ? `exit code ${how.exitCode}` : `signal ${how.signal}`)
    if (worker.environment !== null) {
      this.#failedIn(worker.environment, worker, end, how, out)
      return null
    }
    const tail = how.stderrTail === '' ? '' : `\n${how.stderrTail}`
    const failures = this.#workers.failures
    if (failures >= limits.workerStartFailuresMax && ![...this.#workers.all()].some(each => each.workerId !== null)) {
      // A hang would be worse: nothing that waits can ever run.
      out.push({ is: 'end', reason: `${failures} worker processes in a row did not get started (${end})${tail}` })
      return null
    }
    return `A worker process did not get started (${end}); ${this.#workers.failures} in a row by now. It is tried again.${tail}`
  }

  #failedIn(environment: Environment, worker: Worker, end: string, how: How, out: NodeEffect[]): void {
    if (worker.endReason === ENVIRONMENT_BROKEN) return
    const bySystem = worker.endReason === null && (how.signal !== null || worker.pid === null)
    if (bySystem && this.#environments.killed(environment.key)) return
    const tail = how.stderrTail === '' ? '' : `\n${how.stderrTail}\n`
    const message = `a worker process did not get started in it (${end})${tail}`
    this.environmentBroken(environment.key, suspects(environment), message, out)
  }
}
