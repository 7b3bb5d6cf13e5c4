// SPDX-License-Identifier: Apache-2.0
// Stored values that are not in this node's store: asked of the node daemon, which brings them here, once for all who wait in this
// process. And what this process, as an owner, tells daemons of where its own are.

import { encodeError, rebuildTaskError } from '../codec/error-value.js'
import type { Effect } from '../core/owner/effects.js'
import { type Entry, STATE } from '../core/owner/entry.js'
import { objectId } from '../ids.js'
import type { Control, Located, NodeId, PullWhy } from '../wire/messages.js'
import type { Runtime } from './runtime.js'

/** Called once: it is here, and stays until the call returns; or why it is not. */
type Then = (error: Error | null) => void

interface Wanted {
  why: PullWhy
  calls: Set<Then>
}

const RANK: Record<PullWhy, number> = { get: 0, wait: 1, argument: 2 }

export class Fetches {
  private readonly wanted = new Map<string, Wanted>()

  constructor(private readonly runtime: Runtime) {}

  /** Whether anything is waited for. */
  get any(): boolean {
    return this.wanted.size > 0
  }

  /** Has it brought here. Gives what takes the wish back. */
  want(id: string, why: PullWhy, then: Then): () => void {
    let wanted = this.wanted.get(id)
    if (wanted === undefined || RANK[why] < RANK[wanted.why]) {
      this.wanted.set(id, (wanted = { why, calls: wanted?.calls ?? new Set() }))
      this.tell({ is: 'pull', id, why })
    }
    wanted.calls.add(then)
    return () => this.unwant(id, then)
  }

  /** Has an argument brought here that will be read soon. */
  ahead(id: string): void {
    if (!this.runtime.store.contains(id)) this.want(id, 'argument', () => {})
  }

  /** Whether a value can be read without another node. */
  isHere(entry: Entry): boolean {
    if (entry.state !== STATE.stored || (entry.owner === null && entry.nodes === null && entry.storedAs === null)) return true
    return this.runtime.store.contains(entry.storedAs ?? this.runtime.idOf(entry))
  }

  pulled(id: string): void {
    for (const then of this.take(id)) then(null)
    this.tell({ is: 'pullEnd', id })
  }

  failed(id: string, error: Uint8Array): void {
    const all = this.take(id)
    if (all.size === 0) return
    const rebuilt = rebuildTaskError(error)
    for (const then of all) then(rebuilt)
  }

  /** The session is over. */
  fail(error: Error): void {
    for (const id of [...this.wanted.keys()]) for (const then of this.take(id)) then(error)
  }

  located({ to, seq, entry, nodes }: Extract<Effect, { is: 'located' }>): void {
    const { sizeBytes, losses } = entry ?? { sizeBytes: 0, losses: 0 }
    const located: Located = { is: 'located', seq, state: 'gone', nodes, sizeBytes, losses, error: null }
    if (entry?.state === STATE.pending) located.state = 'pending'
    else if (entry?.state === STATE.failed) {
      located.state = 'failed'
      located.error = entry.error instanceof Uint8Array ? entry.error : encodeError(entry.error as Error)
      entry.seen = true
    } else if (nodes.length > 0) located.state = 'stored'
    this.runtime.send(to, located)
  }

  /** Copies of values of this process go, on those nodes; on all that there are where none is named. */
  free({ nodes, seqs }: Extract<Effect, { is: 'free' }>): void {
    this.tell({ is: 'freeCopies', nodes, ids: seqs.map(seq => objectId(this.runtime.self, seq)) })
  }

  /** A stored value of this process is needed no more. */
  dropped(entry: Entry, elsewhere: NodeId[]): void {
    const { runtime } = this
    if (entry.sizeBytes === 0 || entry.envelope !== null || entry.storedAs !== null) return
    runtime.store.delete(runtime.idOf(entry))
    if (entry.scattered) this.free({ is: 'free', nodes: [], seqs: [entry.seq] })
    // Their node may know of none of those, or not of all, as yet.
    if (elsewhere.length > 0) this.free({ is: 'free', nodes: elsewhere, seqs: [entry.seq] })
  }

  private take(id: string): Set<Then> {
    const wanted = this.wanted.get(id)
    this.wanted.delete(id)
    return wanted?.calls ?? new Set()
  }

  private unwant(id: string, then: Then): void {
    const wanted = this.wanted.get(id)
    if (!wanted?.calls.delete(then) || wanted.calls.size > 0) return
    this.wanted.delete(id)
    this.tell({ is: 'pullEnd', id })
  }

  private tell(message: Control): void {
    this.runtime.send(this.runtime.node, message)
    this.runtime.mesh.scheduleFlush()
  }
}
