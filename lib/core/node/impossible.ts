// SPDX-License-Identifier: Apache-2.0
// Requests that this node can never serve: another one may. Those that no node of the cluster can: the driver is warned
// at once, and the owner hears after a while that it is final, unless a node has come meanwhile that can.

import { limits } from '../../options.js'
import type { Millis } from '../machine.js'
import { whyNot } from '../policy/explain.js'
import { type Demand, feasibleNodes } from '../policy/pick.js'
import { describeAmounts } from '../resources.js'
import type { ClusterView } from './cluster-view.js'
import type { NodeEffect } from './events.js'
import { groupOf } from './group-work.js'
import type { Ledger } from './ledger.js'
import type { Request, Requests } from './requests.js'

/** Marks a request by where it can be served, and gives the warning if that has just become nowhere. */
export function judge(request: Request, cluster: ClusterView, ledger: Ledger, now: Millis): string | null {
  // The bundles that work in a placement group may use are known to the group alone.
  if (groupOf(request) !== null) return null
  const feasible = feasibleNodes(demandOf(request), cluster.states(now))
  const here = feasible.includes(cluster.own) && ledger.possible(request.need) && ledger.possible(request.placement)
  request.notHere = !here
  const possible = here || feasible.some(node => node !== cluster.own)
  if (possible) request.impossibleSince = null
  if (possible || request.impossibleSince !== null) return null
  request.impossibleSince = now
  return describe(request, cluster, now)
}

export function demandOf({ need, placement, where }: Request): Demand {
  return { need, placement, where }
}

/** Ends those that have waited long enough. */
export function expire(requests: Requests, cluster: ClusterView, now: Millis, out: NodeEffect[]): void {
  for (const request of [...requests.all()]) {
    if (request.impossibleSince === null || now < request.impossibleSince + limits.infeasibleAfterMs) continue
    requests.remove(request.owner, request.key)
    const message = describe(request, cluster, now)
    if (request.actor !== null) {
      out.push({ is: 'toHead', event: { is: 'placementImpossible', actorId: request.actor.actorId, message } })
    } else {
      out.push({
        is: 'send',
        to: request.owner,
        message: { is: 'unplaceable', classKey: request.key, message, final: true, groupRemoved: false },
      })
    }
  }
}

export function expiry(requests: Requests): Millis | null {
  let next: Millis | null = null
  for (const { impossibleSince } of requests.all()) {
    if (impossibleSince !== null && (next === null || impossibleSince < next)) next = impossibleSince
  }
  return next === null ? null : next + limits.infeasibleAfterMs
}

export function describe(request: Request, cluster: ClusterView, now: Millis): string {
  const what = `${request.actor === null ? 'Task' : 'Actor'} ${request.name}`
  const demand = demandOf(request)
  const { own, alone } = cluster
  const byAmount = alone && feasibleNodes({ ...demand, need: {}, placement: {} }, [own]).length > 0
  if (!byAmount) return `${what} ${whyNot(demand, cluster.states(now))}, so it can never be placed`
  const need = describeAmounts({ ...request.placement, ...request.need })
  return `${what} needs {${need}}, and this node has {${describeAmounts(own.total)}} in all, so it can never be placed`
}
