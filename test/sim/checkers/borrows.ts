// SPDX-License-Identifier: Apache-2.0
// Checker: what a process borrows, and has been answered, is lent to it: by the owner, or once that is dead by the daemon of the
// process, and then some store has it. Whoever else was killed.

import type { Entry } from '#lib/core/owner/entry.js'
import { objectId } from '#lib/ids.js'
import type { Orphans } from '#lib/run/orphans.js'
import type { WorkerId } from '#lib/wire/messages.js'
import type { SimProcess } from '../process.js'
import type { Ends } from './ends.js'
import type { Observed } from './observed.js'

/** While its daemon has not said so, nothing is demanded. */
export class Borrows {
  /** What daemons have said that they keep, by process. */
  readonly #kept = new Map<WorkerId, Set<string>>()
  /** Copies of it have gone that no daemon has removed. */
  readonly #robbed = new Set<string>()

  constructor(
    private readonly world: Observed,
    private readonly ends: Ends,
    private readonly orphansOf: (process: WorkerId) => Orphans | undefined,
  ) {}

  kept(process: WorkerId, id: string): void {
    const kept = this.#kept.get(process)
    if (kept === undefined) this.#kept.set(process, new Set([id]))
    else kept.add(id)
  }

  /** A copy is gone, and no daemon has removed it. */
  robbed(id: string): void {
    this.#robbed.add(id)
  }

  check(): void {
    for (const process of this.world.living()) {
      if (this.world.isEnding(process) || this.ends.isOver(process.id)) continue
      const { references } = process.owner
      for (const owner of references.borrowed.keys()) {
        if (references.isDead(owner)) this.#ofTheDead(process, owner)
        else if (!this.ends.isOver(owner)) this.#ofTheLiving(process, owner)
      }
    }
  }

  #ofTheLiving(borrower: SimProcess, owner: WorkerId): void {
    const lender = this.world.process(owner)
    for (const seq of answered(borrower, owner)) {
      if (borrower.refused.has(objectId(owner, seq))) continue
      const entry = lender?.owner.references.owned.get(seq)
      if (entry?.borrowers?.has(borrower.id)) continue
      const what = lender === undefined ? 'which has left' : entry === undefined ? 'which has freed it' : 'which does not know that'
      throw new Error(`borrows: ${borrower.id} borrows ${seq} of ${owner}, ${what}`)
    }
  }

  #ofTheDead(process: SimProcess, owner: WorkerId): void {
    const borrower = process.id
    const kept = this.#kept.get(borrower) ?? new Set()
    const keeper = this.orphansOf(borrower)?.['adoption']['objects']
    for (const seq of answered(process, owner)) {
      const id = objectId(owner, seq)
      if (!kept.has(id) || this.#robbed.has(id)) continue
      if (!keeper?.get(id)?.holders.has(borrower))
        throw new Error(`borrows: ${borrower} borrows ${id} of its daemon, which does not know that`)
      if ([...this.world.nodes()].some(node => node.stored.has(id))) continue
      throw new Error(`borrows: the daemon of ${borrower} has said that it keeps ${id}, and no store has it`)
    }
  }
}

/** What that process borrows of that owner, and has asked nobody for since the last answer. */
function answered({ owner: { references } }: SimProcess, owner: WorkerId): number[] {
  const asked = new Set(references['toBorrow'].get(owner))
  for (const each of references['unanswered'].values()) if (each.owner === owner) for (const seq of each.seqs) asked.add(seq)
  const table = references.borrowed.get(owner) ?? new Map<number, Entry>()
  return [...table].filter(([seq, { isActor }]) => !isActor && !asked.has(seq)).map(([seq]) => seq)
}
