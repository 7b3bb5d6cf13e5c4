// SPDX-License-Identifier: Apache-2.0
// The head's machine: which message goes to which table. On one machine it is embedded in the node daemon.

import type { Control, WorkerId } from '../../wire/messages.js'
import type { Machine, Millis } from '../machine.js'
import { rowOf } from './actor.js'
import { Actors } from './actors.js'
import type { HeadEffect, HeadEvent, HeadOptions } from './events.js'
import { Jobs } from './jobs.js'
import { Nodes } from './nodes.js'

export class Head implements Machine<HeadEvent, HeadEffect> {
  readonly #options: HeadOptions
  readonly actors: Actors
  readonly jobs = new Jobs()
  readonly nodes = new Nodes()
  /** Processes that said hello and have not ended. */
  readonly #living = new Set<WorkerId>()

  constructor(options: HeadOptions) {
    this.#options = options
    this.actors = new Actors(options, workerId => this.#living.has(workerId))
  }

  handle(event: HeadEvent, now: Millis, out: HeadEffect[]): void {
    switch (event.is) {
      case 'message':
        return this.#message(event.from, event.message, now, out)
      case 'placed':
        return this.actors.placed(event, now, out)
      case 'placementImpossible':
        return this.actors.impossible(event.actorId, event.message, out)
      case 'environmentBroken':
        return this.actors.environmentBroken(event.actorId, event.message, out)
      case 'processDied':
        this.#living.delete(event.workerId)
        this.actors.processDied(event.workerId, event.death, now, out)
        return this.#endJob(event.workerId, out)
      case 'tick':
        return this.actors.tick(now, out)
    }
  }

  deadline(): Millis | null {
    return this.actors.deadline()
  }

  invariants(): void {
    this.actors.invariants()
  }

  #message(from: WorkerId, message: Control, now: Millis, out: HeadEffect[]): void {
    switch (message.is) {
      case 'hello':
        this.#living.add(from)
        if (message.job !== null) this.jobs.begin(message.job, from)
        return
      case 'actorCreate':
        return this.actors.create(message.spec, from, out)
      case 'actorWatch':
        return this.actors.watch(message.actorId, from, out)
      case 'actorKill':
        return this.actors.kill(message.actorId, message.noRestart, out)
      case 'actorDrop':
        return this.actors.drop(message.actorId, from, now, out)
      case 'actorStarted':
        return this.actors.started(message.actorId, message.incarnation, message.error, from, out)
      case 'actorExited':
        return this.actors.exited(message.actorId, message.incarnation, from, now, out)
      case 'actorByName': {
        const view = this.actors.named(message.name, message.namespace)
        out.push({ is: 'send', to: from, message: { is: 'actorNamed', request: message.request, view } })
        return
      }
      case 'query': {
        const rows = this.#rows(message.what, message.argument)
        out.push({ is: 'send', to: from, message: { is: 'answer', request: message.request, rows } })
      }
    }
  }

  #endJob(driver: WorkerId, out: HeadEffect[]): void {
    const job = this.jobs.end(driver)
    if (job !== null) out.push({ is: 'toNode', event: { is: 'jobEnded', jobId: job.jobId } })
  }

  #rows(what: string, argument: string): unknown[] {
    if (what === 'nodes') return this.nodes.rows()
    if (what === 'jobs') return this.jobs.rows()
    if (what === 'actors') return [...this.actors.all()].map(actor => rowOf(actor, this.#options.nodeId))
    const actor = this.actors.get(argument)
    return actor === undefined ? [] : [rowOf(actor, this.#options.nodeId)]
  }
}
