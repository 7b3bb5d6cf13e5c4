// SPDX-License-Identifier: Apache-2.0
// Requests that this node can never serve: another one may. Of those that no node of the cluster can the driver is warned
// after a while, and the owner hears after a longer one that it is over, unless a node has come meanwhile that can.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import { type Millis, soonest } from '../machine.js'
import { unlessOneJoins, whyNot } from '../policy/explain.js'
import { type Demand, feasibleNodes } from '../policy/pick.js'
import { describeAmounts } from '../resources.js'
import type { ClusterView } from './cluster-view.js'
import type { Drivers } from './drivers.js'
import type { NodeEffect } from './events.js'
import { groupOf } from './group-work.js'
import type { Ledger } from './ledger.js'
import { HEAD, type Request, type Requests } from './requests.js'

export interface ImpossibleParts {
  readonly requests: Requests
  readonly cluster: ClusterView
  readonly ledger: Ledger
  readonly drivers: Drivers
}

export class Impossible {
  readonly #requests: Requests
  readonly #cluster: ClusterView
  readonly #ledger: Ledger
  readonly #drivers: Drivers
  readonly #mayGrow: boolean
  readonly #warnAfterMs: number

  /** `mayGrow`: whether other nodes may join. */
  constructor({ requests, cluster, ledger, drivers }: ImpossibleParts, mayGrow: boolean) {
    this.#requests = requests
    this.#cluster = cluster
    this.#ledger = ledger
    this.#drivers = drivers
    this.#mayGrow = mayGrow
    this.#warnAfterMs = mayGrow ? limits.infeasibleWarnAfterMs : 0
  }

  /** Marks a request by where it can be served. */
  judge(request: Request, now: Millis, out: NodeEffect[]): void {
    // The bundles that work in a placement group may use are known to the group alone.
    if (groupOf(request) !== null) return
    const { own } = this.#cluster
    const feasible = feasibleNodes(demandOf(request), this.#cluster.states(now))
    const here = feasible.includes(own) && this.#ledger.possible(request.need) && this.#ledger.possible(request.placement)
    request.notHere = !here
    request.nowhere.found(here || feasible.some(node => node !== own), now)
    this.#warn(request, now, out)
  }

  judgeAll(now: Millis, out: NodeEffect[]): void {
    for (const request of this.#requests.all()) this.judge(request, now, out)
  }

  /** Warns of those that have waited for a while, and ends those that have waited long enough. */
  tick(now: Millis, out: NodeEffect[]): void {
    for (const request of [...this.#requests.all()]) {
      this.#warn(request, now, out)
      if (request.nowhere.isOver(now)) this.#end(request, now, out)
    }
  }

  deadline(): Millis | null {
    const due: (Millis | null)[] = []
    for (const { nowhere } of this.#requests.all()) if (nowhere.holds) due.push(nowhere.warnAt(this.#warnAfterMs), nowhere.overAt())
    return soonest(due)
  }

  /** That no node can serve it, as a sentence; null where one can. */
  describe(request: Request, now: Millis): string | null {
    if (!request.nowhere.holds) return null
    return `${this.#reason(request, now)}${this.#mayGrow ? unlessOneJoins() : ', so it can never be placed'}`
  }

  /** The node of an owner does so for it. */
  #warn(request: Request, now: Millis, out: NodeEffect[]): void {
    if (request.owner !== HEAD && nodeOf(request.owner) !== this.#cluster.own.nodeId) return
    if (request.nowhere.warns(now, this.#warnAfterMs)) this.#drivers.warn(request.job, this.describe(request, now) as string, out)
  }

  #end(request: Request, now: Millis, out: NodeEffect[]): void {
    const { owner, key, actor } = request
    this.#requests.remove(owner, key)
    const message = this.#reason(request, now)
    if (actor !== null) out.push({ is: 'toHead', event: { is: 'placementImpossible', actorId: actor.actorId, message } })
    else out.push({ is: 'send', to: owner, message: { is: 'unplaceable', classKey: key, message, groupRemoved: false } })
  }

  #reason(request: Request, now: Millis): string {
    const what = `${request.actor === null ? 'Task' : 'Actor'} ${request.name}`
    const demand = demandOf(request)
    const { own, alone } = this.#cluster
    const byAmount = alone && feasibleNodes({ ...demand, need: {}, placement: {} }, [own]).length > 0
    if (!byAmount) return `${what} ${whyNot(demand, this.#cluster.states(now))}`
    const need = describeAmounts({ ...request.placement, ...request.need })
    return `${what} needs {${need}}, and this node has {${describeAmounts(own.total)}} in all`
  }
}

export function demandOf({ need, placement, where }: Request): Demand {
  return { need, placement, where }
}
