// SPDX-License-Identifier: Apache-2.0
// Questions whose answer every process knows a part of: what tasks and objects it owns. Each is asked, and the rows are
// put together; who does not answer in time (it may run a long loop) is left out, and so is who dies meanwhile. Daemons of
// other nodes are asked for the rows of theirs.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { NodeId, WorkerId } from '../../wire/messages.js'
import { type Millis, soonest } from '../machine.js'
import type { NodeEffect } from './events.js'

type What = 'tasks' | 'objects' | 'workers' | 'explain'

/** Who knows a part of the answer. */
export interface Knowing {
  processes: Iterable<WorkerId>
  daemons: readonly WorkerId[]
  /** Known already. */
  rows?: unknown[]
}

interface Question {
  readonly to: WorkerId
  readonly request: number
  readonly what: What
  readonly until: Millis
  readonly missing: Set<WorkerId>
  readonly rows: unknown[]
}

export class Questions {
  #next = 1
  readonly #open = new Map<number, Question>()

  ask(from: WorkerId, request: number, what: What, argument: string, whom: Knowing, now: Millis, out: NodeEffect[]): void {
    const number = this.#next++
    const processes = [...whom.processes]
    // A daemon waits as long for its own processes.
    const until = now + limits.questionMs * (whom.daemons.length === 0 ? 1 : 2)
    const missing = new Set([...processes, ...whom.daemons])
    const question: Question = { to: from, request, what, until, missing, rows: whom.rows ?? [] }
    this.#open.set(number, question)
    for (const to of processes)
      if (what !== 'workers') out.push({ is: 'send', to, message: { is: 'ask', request: number, what, argument } })
    for (const to of whom.daemons) out.push({ is: 'send', to, message: { is: 'query', request: number, what, argument } })
    this.#settle(number, question, out)
  }

  told(from: WorkerId, number: number, rows: readonly unknown[], out: NodeEffect[]): void {
    const question = this.#open.get(number)
    if (question === undefined || !question.missing.delete(from)) return
    for (const row of rows) question.rows.push(row)
    this.#settle(number, question, out)
  }

  gone(workerId: WorkerId, out: NodeEffect[]): void {
    for (const [number, question] of this.#open) {
      if (question.to === workerId) this.#open.delete(number)
      else if (question.missing.delete(workerId)) this.#settle(number, question, out)
    }
  }

  nodeGone(nodeId: NodeId, out: NodeEffect[]): void {
    for (const { missing } of [...this.#open.values()]) for (const id of [...missing]) if (nodeOf(id) === nodeId) this.gone(id, out)
  }

  tick(now: Millis, out: NodeEffect[]): void {
    for (const [number, question] of this.#open) {
      if (now < question.until) continue
      question.missing.clear()
      this.#settle(number, question, out)
    }
  }

  deadline(): Millis | null {
    return soonest([...this.#open.values()].map(({ until }) => until))
  }

  #settle(number: number, { to, request, what, missing, rows }: Question, out: NodeEffect[]): void {
    if (missing.size > 0) return
    this.#open.delete(number)
    if (what === 'objects') out.push({ is: 'answerObjects', to, request, rows })
    else out.push({ is: 'send', to, message: { is: 'answer', request, rows } })
  }
}
