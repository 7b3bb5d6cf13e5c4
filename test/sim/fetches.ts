// SPDX-License-Identifier: Apache-2.0
// Stored values that are not in the store of the process's node, as lib/run/fetches.ts has them brought there; and what the
// process, as an owner, tells daemons of where its own are.

import type { Effect } from '#lib/core/owner/effects.js'
import { type Entry, STATE } from '#lib/core/owner/entry.js'
import { objectId } from '#lib/ids.js'
import type { Control, Located, NodeId, PullWhy } from '#lib/wire/messages.js'
import { decodeError, encodeError } from './errors.js'
import type { SimProcess } from './process.js'

type Then = (error: Error | null) => void

interface Wanted {
  why: PullWhy
  calls: Then[]
}

const RANK: Record<PullWhy, number> = { get: 0, wait: 1, argument: 2 }

export class SimFetches {
  readonly #wanted = new Map<string, Wanted>()

  constructor(private readonly process: SimProcess) {}

  want(id: string, why: PullWhy, then: Then): void {
    let wanted = this.#wanted.get(id)
    if (wanted === undefined || RANK[why] < RANK[wanted.why]) {
      this.#wanted.set(id, (wanted = { why, calls: wanted?.calls ?? [] }))
      this.#tell({ is: 'pull', id, why })
    }
    wanted.calls.push(then)
  }

  /** An argument that will be read soon. */
  ahead(id: string): void {
    if (!this.process.world.store.has(id)) this.want(id, 'argument', () => {})
  }

  pulled(id: string): void {
    for (const then of this.#take(id)) then(null)
    this.#tell({ is: 'pullEnd', id })
  }

  failed(id: string, error: Uint8Array): void {
    for (const then of this.#take(id)) then(decodeError(error))
  }

  located({ to, seq, entry, nodes }: Extract<Effect, { is: 'located' }>): void {
    const { sizeBytes, losses } = entry ?? { sizeBytes: 0, losses: 0 }
    const located: Located = { is: 'located', seq, state: 'gone', nodes, sizeBytes, losses, error: null }
    if (entry?.state === STATE.pending) located.state = 'pending'
    else if (entry?.state === STATE.failed) {
      located.state = 'failed'
      located.error = entry.error instanceof Uint8Array ? entry.error : encodeError(entry.error as Error)
    } else if (nodes.length > 0) located.state = 'stored'
    this.process.control(to, located)
  }

  free({ nodes, seqs }: Extract<Effect, { is: 'free' }>): void {
    this.#tell({ is: 'freeCopies', nodes, ids: seqs.map(seq => objectId(this.process.id, seq)) })
  }

  /** A value of this process is needed no more. */
  dropped(entry: Entry, elsewhere: NodeId[]): void {
    if (entry.sizeBytes === 0) return
    this.process.world.store.delete(objectId(this.process.id, entry.seq))
    if (entry.scattered) this.free({ is: 'free', nodes: [], seqs: [entry.seq] })
    // Their node may know of none of those, or not of all, as yet.
    if (elsewhere.length > 0) this.free({ is: 'free', nodes: elsewhere, seqs: [entry.seq] })
  }

  #take(id: string): Then[] {
    const wanted = this.#wanted.get(id)
    this.#wanted.delete(id)
    return wanted?.calls ?? []
  }

  #tell(message: Control): void {
    this.process.control(this.process.world.node, message)
  }
}
