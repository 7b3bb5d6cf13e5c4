// SPDX-License-Identifier: Apache-2.0
// What requests are served from: the node's resources, or those of the bundles of a placement group, each a pool with a
// ledger and a guard of its own. During a round of grants a pool also knows what is left once those are served that wait
// for a worker to start: nobody behind them may take it from them.

import type { Amounts } from '../../wire/messages.js'
import type { Millis } from '../machine.js'
import { fits, subtract } from '../resources.js'
import type { Bundles, Pool } from './bundles.js'
import { groupOf } from './group-work.js'
import { Guard } from './guard.js'
import type { Ledger } from './ledger.js'
import type { Request } from './requests.js'

export class Pools {
  readonly #main: readonly [Pool]
  readonly #bundles: Bundles
  readonly #left = new Map<Pool, Amounts>()
  /** When the picture changes by time alone; infinity when it does not. */
  changesAt: Millis = Number.POSITIVE_INFINITY

  constructor(ledger: Ledger, bundles: Bundles) {
    this.#main = [{ ledger, guard: new Guard(ledger) }]
    this.#bundles = bundles
  }

  /** Those that can ever serve the request, in the order in which they are tried. */
  of(request: Request): readonly Pool[] {
    const group = groupOf(request)
    if (group === null) return this.#main
    return this.#bundles.serving(group.groupId, group.bundle).filter(({ ledger }) => ledger.possible(request.need))
  }

  /** What is to go back to the node does, if nothing runs in it. */
  settle(): void {
    this.#bundles.settle()
  }

  /** A round of grants begins, with these requests ready. */
  begin(ready: () => Iterable<Request>, now: Millis): void {
    this.#left.clear()
    const [main] = this.#main
    main.guard.look(without(ready()), now)
    this.changesAt = main.guard.changesAt
    // Bundles that nothing waits for are many, perhaps, and need no look.
    const groups = new Set<string>()
    for (const request of ready()) {
      const group = groupOf(request)
      if (group !== null) groups.add(group.groupId)
    }
    for (const groupId of groups) {
      for (const bundle of this.#bundles.of(groupId)) {
        bundle.guard.look(inBundle(ready(), bundle), now)
        this.changesAt = Math.min(this.changesAt, bundle.guard.changesAt)
      }
    }
  }

  /** The pool that can serve one more of it; null when none can. */
  withRoom(request: Request): Pool | null {
    const { need } = request
    for (const pool of this.of(request)) {
      // What is left is known by amounts; that one device has room for a fraction only the ledger knows.
      if (fits(need, this.#leftIn(pool)) && pool.ledger.fits(need) && !pool.guard.holdsBack(request)) return pool
    }
    return null
  }

  reserve(pool: Pool, need: Amounts): void {
    subtract(this.#leftIn(pool), need)
  }

  /** Names of the resources that it waits for, by the ledger that lacks them. Empty when one of its pools has all. */
  lacking(request: Request): Map<Ledger, string[]> {
    const lacking = new Map<Ledger, string[]>()
    for (const { ledger } of this.of(request)) {
      const names = ledger.lacking(request.need)
      if (names.length === 0) return new Map()
      lacking.set(ledger, names)
    }
    return lacking
  }

  #leftIn(pool: Pool): Amounts {
    let left = this.#left.get(pool)
    if (left === undefined) this.#left.set(pool, (left = { ...pool.ledger.available }))
    return left
  }
}

function* without(requests: Iterable<Request>): Generator<Request> {
  for (const request of requests) if (groupOf(request) === null) yield request
}

function* inBundle(requests: Iterable<Request>, { groupId, index }: { groupId: string; index: number }): Generator<Request> {
  for (const request of requests) {
    const group = groupOf(request)
    if (group !== null && group.groupId === groupId && (group.bundle < 0 || group.bundle === index)) yield request
  }
}
