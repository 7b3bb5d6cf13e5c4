// SPDX-License-Identifier: Apache-2.0
// Sees what happens to the objects of a simulated cluster, and hands it to the checkers.

import type { ContainedRef } from '#lib/core/owner/outcome.js'
import { nodeOf, objectId } from '#lib/ids.js'
import type { NodeId, WorkerId } from '#lib/wire/messages.js'
import { deathProblem } from '../checkers/attempts.js'
import { Borrows } from '../checkers/borrows.js'
import { Copies } from '../checkers/copies.js'
import { KnownCopies } from '../checkers/known-copies.js'
import { Travels } from '../checkers/travels.js'
import type { Watch } from '../frames.js'
import type { SimProcess } from '../process.js'
import type { SimCluster } from './cluster.js'

const FREED = /the object ([0-9a-f]{40}) was freed before/g

export class ObjectWatch implements Watch {
  readonly travels: Travels
  readonly known: KnownCopies
  readonly borrows: Borrows
  readonly #copies: Copies

  constructor(private readonly cluster: SimCluster) {
    const { ends } = cluster
    this.travels = new Travels(ends)
    this.known = new KnownCopies(cluster)
    this.borrows = new Borrows(cluster, ends, process => cluster.byId.get(nodeOf(process))?.orphans)
    this.#copies = new Copies(cluster, ends, this.travels)
  }

  /** What is wrong with somebody seeing that failure, as words; null when nothing is. */
  problem(text: string): string | null {
    const freed = [...text.matchAll(FREED)].map(([, id]) => this.travels.problem(id as string)).find(each => each !== null)
    return this.#copies.problem(text) ?? freed ?? null
  }

  had(process: WorkerId, refs: readonly ContainedRef[], container: string | null): void {
    if (refs.length === 0) return
    const ids = refs.map(({ owner, seq }) => objectId(owner, seq))
    this.travels.had(process, ids)
    if (container !== null) this.travels.inside(container, ids)
  }

  told(id: string, node: NodeId): void {
    this.known.told(id, node, this.cluster.agenda.now)
  }

  lost({ id, deadNodes }: SimProcess, seq: number): void {
    this.#mind(this.known.problem(id, seq, deadNodes))
  }

  remade(): void {
    this.travels.isExcused = true
  }

  vanished(): void {
    this.travels.isExcused = true
  }

  answered(process: SimProcess, owner: WorkerId, seqs: readonly number[], missing: readonly number[], byDaemon: boolean): void {
    if (byDaemon) for (const seq of seqs) if (!missing.includes(seq)) this.borrows.kept(process.id, objectId(owner, seq))
    if (!byDaemon && !this.#isDoomed(process)) for (const seq of missing) this.#mind(this.travels.problem(objectId(owner, seq)))
  }

  failsHere(text: string, retries: number): void {
    this.#mind(deathProblem(text, retries, this.cluster.ends))
  }

  /** Its actor is dead, and whoever called it knows or will; it is about to be ended. */
  #isDoomed({ actor, id }: SimProcess): boolean {
    const known = [...this.cluster.actors()].find(({ spec }) => spec.actorId === actor?.actorId)
    return actor !== null && known?.workerId !== id
  }

  #mind(problem: string | null): void {
    if (problem !== null) this.cluster.faulty(problem)
  }
}
