// SPDX-License-Identifier: Apache-2.0
// What a node owes its head: to tell what lives here, to do nothing twice of what is said twice (the head may have been
// restarted), to give back actors it cannot place soon while other nodes may, and to say when it is empty, once asked.

import { limits } from '../../options.js'
import type { ActorSeat, Amounts, Death, Demand, WorkerId } from '../../wire/messages.js'
import { type Millis, soonest } from '../machine.js'
import { subtract } from '../resources.js'
import type { ClusterView } from './cluster-view.js'
import type { NodeEffect, Place } from './events.js'
import type { Leases } from './leases.js'
import type { Ledger } from './ledger.js'
import { HEAD, type Requests } from './requests.js'
import type { Workers } from './workers.js'

const GONE: Death = { exitCode: null, signal: null, stderrTail: '', reason: 'it had ended before', outOfMemory: false }

export class Residents {
  readonly #workers: Workers
  readonly #requests: Requests
  readonly #leases: Leases
  readonly #ledger: Ledger
  readonly #cluster: ClusterView
  #isDraining = false
  #toldEmpty = false

  constructor(workers: Workers, requests: Requests, leases: Leases, ledger: Ledger, cluster: ClusterView) {
    this.#workers = workers
    this.#requests = requests
    this.#leases = leases
    this.#ledger = ledger
    this.#cluster = cluster
  }

  /** Whether this is to be placed here, and is not already. */
  accepts({ actorId, incarnation, held, placement }: Place, out: NodeEffect[]): boolean {
    const seat = this.seats().find(each => each.actorId === actorId && each.incarnation === incarnation)
    if (seat !== undefined) {
      out.push({ is: 'toHead', event: { is: 'placed', ...seat } })
      return false
    }
    const waiting = this.#requests.get(HEAD, actorId)
    if (waiting?.actor?.incarnation === incarnation) return false
    if (waiting !== undefined) this.#requests.remove(HEAD, actorId)
    const isPossible = this.#ledger.possible(held) && this.#ledger.possible(placement)
    if (!this.#isDraining && (isPossible || this.#cluster.alone)) return true
    refuse(actorId, incarnation, out)
    return false
  }

  /** Tells of the end of that process, if it is over: a living one's comes when it comes. */
  watch(workerId: WorkerId, isKnown: boolean, out: NodeEffect[]): void {
    if (!isKnown) out.push({ is: 'toHead', event: { is: 'processDied', workerId, death: GONE } })
  }

  drain(out: NodeEffect[]): void {
    this.#isDraining = true
    // Whatever still comes here by what others knew of it goes elsewhere.
    this.#cluster.own.state = 'draining'
    for (const { actor } of [...this.#requests.all()]) if (actor !== null) this.#giveBack(actor, out)
  }

  /** It has said that it is empty: nobody may come any more. */
  get isLeaving(): boolean {
    return this.#toldEmpty
  }

  /** Once, when it drains and is empty. `drivers`: those attached here. */
  tellEmpty(drivers: number, out: NodeEffect[]): void {
    if (!this.#isDraining || this.#toldEmpty || drivers > 0) return
    if (!this.#requests.all().next().done || !this.#leases.all().next().done || this.seats().length > 0) return
    this.#toldEmpty = true
    out.push({ is: 'toHead', event: { is: 'drained' } })
  }

  /** Gives back the actors that have waited for room here, where there are other nodes. */
  tick(now: Millis, out: NodeEffect[]): void {
    const due = this.deadline()
    if (due === null || now < due) return
    for (const { actor, waitingSince } of [...this.#requests.all()]) {
      if (actor !== null && now >= waitingSince + limits.placeWaitMs) this.#giveBack(actor, out)
    }
  }

  deadline(): Millis | null {
    if (this.#cluster.alone) return null
    const due: Millis[] = []
    for (const { actor, waitingSince } of this.#requests.all()) if (actor !== null) due.push(waitingSince + limits.placeWaitMs)
    return soonest(due)
  }

  seats(): ActorSeat[] {
    const seats: ActorSeat[] = []
    for (const { actor, workerId, pid } of this.#workers.all()) {
      if (actor === null || workerId === null || pid === null) continue
      const { actorId, incarnation, holding } = actor
      seats.push({ actorId, incarnation, workerId, pid, gpuIds: holding.gpuIds })
    }
    return seats
  }

  lives(drivers: Iterable<{ jobId: string }>): { actors: ActorSeat[]; placing: string[]; jobs: string[] } {
    const jobs = new Set([...drivers].map(({ jobId }) => jobId))
    for (const { job } of this.#workers.all()) if (job !== null) jobs.add(job.jobId)
    const placing = [...this.#requests.all()].flatMap(({ actor }) => actor?.actorId ?? [])
    return { actors: this.seats(), placing, jobs: [...jobs] }
  }

  load(): { available: Amounts; demand: Demand[] } {
    const demand: Demand[] = []
    for (const { need, count } of this.#requests.all()) {
      if (demand.length === limits.demandsTold) break
      demand.push({ resources: need, count })
    }
    const available = { ...this.#ledger.available }
    // What waits for nothing but a worker that starts has its resources.
    for (const { need, expected, class: scheduling, where } of this.#requests.all())
      if (scheduling !== null && where?.strategy.is !== 'group') for (let n = expected; n > 0; n--) subtract(available, need)
    return { available, demand }
  }

  #giveBack({ actorId, incarnation }: { actorId: string; incarnation: number }, out: NodeEffect[]): void {
    this.#requests.remove(HEAD, actorId)
    refuse(actorId, incarnation, out)
  }
}

function refuse(actorId: string, incarnation: number, out: NodeEffect[]): void {
  out.push({ is: 'toHead', event: { is: 'placeRefused', actorId, incarnation } })
}
