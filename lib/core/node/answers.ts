// SPDX-License-Identifier: Apache-2.0
// Questions of people to this node: its workers, what waits and for what, and what the processes here own.

import { isObjectId, nodeOf, ownerOf } from '../../ids.js'
import type { Query, WorkerId } from '../../wire/messages.js'
import type { Millis } from '../machine.js'
import { fromAmounts } from '../resources.js'
import type { ClusterView } from './cluster-view.js'
import type { Environments } from './environments.js'
import type { NodeEffect } from './events.js'
import { type GroupWork, groupOf } from './group-work.js'
import type { Impossible } from './impossible.js'
import type { Leases } from './leases.js'
import type { Ledger } from './ledger.js'
import type { Questions } from './questions.js'
import type { Requests } from './requests.js'
import { waitingRows, workerRows } from './rows.js'
import type { Workers } from './workers.js'

export interface AnswerParts {
  readonly cluster: ClusterView
  readonly ledger: Ledger
  readonly leases: Leases
  readonly workers: Workers
  readonly requests: Requests
  readonly environments: Environments
  readonly groups: GroupWork
  readonly impossible: Impossible
  readonly questions: Questions
}

export class Answers {
  readonly #parts: AnswerParts

  constructor(parts: AnswerParts) {
    this.#parts = parts
  }

  /** `processes`: those of this node. */
  query(from: WorkerId, { request, what, argument }: Query, processes: ReadonlySet<WorkerId>, now: Millis, out: NodeEffect[]): void {
    const { questions, workers, leases, cluster } = this.#parts
    const ownId = cluster.own.nodeId
    // The daemon of another node asks for what is here.
    const daemons = nodeOf(from) === ownId ? cluster.daemons() : []
    if (what === 'tasks' || what === 'objects') return questions.ask(from, request, what, argument, { processes, daemons }, now, out)
    if (what === 'workers') {
      const rows = workerRows(workers, leases, ownId)
      return questions.ask(from, request, what, argument, { processes: [], daemons, rows }, now, out)
    }
    if (what === 'explain' && isObjectId(argument)) {
      const owner = ownerOf(argument)
      const whom = { processes: processes.has(owner) ? [owner] : [], daemons: daemons.filter(id => nodeOf(id) === nodeOf(owner)) }
      return questions.ask(from, request, what, argument, whom, now, out)
    }
    // It may have been sent on to another node, and wait there.
    if (what === 'explain')
      return questions.ask(from, request, what, argument, { processes: [], daemons, rows: this.#waiting(argument, now) }, now, out)
    out.push({ is: 'send', to: from, message: { is: 'answer', request, rows: [this.resources()] } })
  }

  /** What there is and what is free, as users write it. */
  resources(): { resources: Record<string, number>; available: Record<string, number> } {
    const { ledger } = this.#parts
    return { resources: fromAmounts(ledger.total), available: fromAmounts(ledger.available) }
  }

  /** What the requests of a class, or of an actor, wait for. */
  #waiting(what: string, now: Millis): unknown[] {
    const { requests, ledger, environments, groups, impossible } = this.#parts
    return waitingRows(what, requests.all(), ledger, environments, {
      why: request => {
        if (groupOf(request) !== null) return groups.describe(request)
        return request.notHere ? 'another node that can serve it' : null
      },
      impossible: request => impossible.describe(request, now),
    })
  }
}
