// SPDX-License-Identifier: Apache-2.0
// What the head says of placement groups: bundles that are set aside here, serve, or go back, with what runs in them.

import type { Bundles } from './bundles.js'
import type { NodeEffect } from './events.js'
import type { BundleReturn, GroupToNode } from './group-events.js'
import type { GroupWork } from './group-work.js'
import type { Leases } from './leases.js'
import type { Workers } from './workers.js'

export class GroupHost {
  readonly #bundles: Bundles
  readonly #groups: GroupWork
  readonly #leases: Leases
  readonly #workers: Workers

  constructor(bundles: Bundles, groups: GroupWork, leases: Leases, workers: Workers) {
    this.#bundles = bundles
    this.#groups = groups
    this.#leases = leases
    this.#workers = workers
  }

  /** `isOpen`: whether the node takes new work. A round of grants is due afterwards. */
  handle(event: GroupToNode, isOpen: boolean, out: NodeEffect[]): void {
    switch (event.is) {
      case 'bundlePrepare':
        return this.#bundles.prepare(event, isOpen, out)
      case 'bundleCommit':
        return this.#bundles.commit(event.groupId, event.attempt)
      case 'bundleReturn':
        return this.#return(event, out)
      case 'groupChanged':
        return this.#groups.changed(event.groupId, event.view)
    }
  }

  #return({ groupId, attempt, why }: BundleReturn, out: NodeEffect[]): void {
    const ledgers = this.#bundles.return(groupId, attempt)
    for (const worker of [...this.#workers.all()]) {
      const lease = worker.workerId === null ? undefined : this.#leases.of(worker.workerId)
      const holding = lease?.holding ?? worker.actor?.holding
      if (holding !== undefined && ledgers.has(holding.ledger)) this.#workers.kill(worker, why, out)
    }
  }
}
