// SPDX-License-Identifier: Apache-2.0
// Requests that the node can never serve: the driver is warned at once, and after a while, in which nothing can change
// since nothing adds nodes yet, the owner hears that it is final.

import { limits } from '../../options.js'
import type { Amounts } from '../../wire/messages.js'
import type { Millis } from '../machine.js'
import { describeAmounts } from '../resources.js'
import type { NodeEffect } from './events.js'
import type { Ledger } from './ledger.js'
import type { Request, Requests } from './requests.js'

/** Marks a new request if it is one of those, and gives the warning; null when it can be served. */
export function judge(request: Request, ledger: Ledger, now: Millis): string | null {
  if (ledger.possible(request.need) && ledger.possible(request.placement)) return null
  request.impossibleSince = now
  return describe(request, ledger)
}

/** Ends those that have waited long enough. */
export function expire(requests: Requests, ledger: Ledger, now: Millis, out: NodeEffect[]): void {
  for (const request of [...requests.all()]) {
    if (request.impossibleSince === null || now < request.impossibleSince + limits.infeasibleAfterMs) continue
    requests.remove(request.owner, request.key)
    const message = describe(request, ledger)
    if (request.actor !== null) {
      out.push({ is: 'toHead', event: { is: 'placementImpossible', actorId: request.actor.actorId, message } })
    } else {
      out.push({ is: 'send', to: request.owner, message: { is: 'unplaceable', classKey: request.key, message, final: true } })
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

export function describe(request: Request, ledger: Ledger): string {
  const what = request.actor === null ? 'Task' : 'Actor'
  const need: Amounts = { ...request.placement, ...request.need }
  return `${what} ${request.name} needs {${describeAmounts(need)}}, and this node has {${describeAmounts(ledger.total)}} in all, so it can never be placed`
}
