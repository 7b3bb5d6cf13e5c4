// SPDX-License-Identifier: Apache-2.0
// Where the stored values of this owner are. Most lie in its own node's store and nothing is kept of that (`nodes` is null);
// of the others, the nodes with whole copies, and who is getting one from whom: a node that asks is sent to those that are not
// asked by many already, complete or not, so that a broadcast goes from node to node as a tree.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { CopyMissing, NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import type { Effect } from './effects.js'
import { type Entry, STATE } from './entry.js'
import type { References } from './references.js'
import type { Values } from './values.js'

interface Move {
  readonly daemon: WorkerId
  /** The nodes it was sent to. */
  readonly sources: readonly NodeId[]
}

export class Locations {
  private readonly node: NodeId
  /** Of objects on the move: the nodes that are getting them. */
  private readonly moves = new Map<Entry, Map<NodeId, Move>>()
  /** Daemons that asked for values that are not there yet. */
  private readonly askers = new Map<Entry, Set<WorkerId>>()

  constructor(
    private readonly references: References,
    private readonly values: Values,
    /** No copy is left: the entry is made pending again, or failed. */
    private readonly onLost: (entry: Entry, now: Millis, out: Effect[]) => void,
  ) {
    this.node = nodeOf(references.self)
    references.copiesOf = entry => this.forget(entry)
  }

  /** Nodes that have it. */
  of(entry: Entry): NodeId[] {
    if (entry.state !== STATE.stored) return []
    return entry.nodes === null ? [this.node] : [...entry.nodes]
  }

  locate(from: WorkerId, seqs: number[], now: Millis, out: Effect[]): void {
    const node = nodeOf(from)
    for (const seq of seqs) {
      const entry = this.references.owned.get(seq)
      // It would not ask if it had one; but where it is the only one it may have been made there since, and says so (`missing`) if not.
      if (entry !== undefined && !this.isOnly(entry, node)) this.remove(entry, [node], now, out)
      this.answer(from, seq, entry, out)
    }
  }

  added(from: WorkerId, seqs: number[], out: Effect[]): void {
    const node = nodeOf(from)
    for (const seq of seqs) {
      const entry = this.references.owned.get(seq)
      if (entry?.state !== STATE.stored || entry.storedAs !== null) {
        // It was dropped, or is made again, while that copy was on its way.
        out.push({ is: 'free', nodes: [node], seqs: [seq] })
        continue
      }
      this.settleMove(entry, node)
      if (entry.nodes !== null) entry.nodes.add(node)
      else if (node !== this.node) entry.nodes = new Set([this.node, node])
    }
  }

  /** They are there, whoever brought or made them. A pending one may be the value: the answer that says so can be on its way. */
  held(from: WorkerId, seqs: number[], out: Effect[]): void {
    this.added(
      from,
      seqs.filter(seq => this.references.owned.get(seq)?.state !== STATE.pending),
      out,
    )
  }

  stopped(from: WorkerId, seqs: number[]): void {
    for (const seq of seqs) {
      const entry = this.references.owned.get(seq)
      if (entry === undefined) continue
      this.settleMove(entry, nodeOf(from))
      const asked = this.askers.get(entry)
      if (asked?.delete(from) && asked.size === 0) this.askers.delete(entry)
    }
  }

  missing(from: WorkerId, { seq, nodes, losses }: CopyMissing, now: Millis, out: Effect[]): void {
    const entry = this.references.owned.get(seq)
    // Several may say so of a value that has been made again since. Who says so looks for one itself.
    if (entry?.losses === losses) this.remove(entry, [...nodes, nodeOf(from)], now, out)
    this.answer(from, seq, entry, out)
  }

  /** Every copy there is gone. */
  nodeDied(node: NodeId, now: Millis, out: Effect[]): void {
    for (const entry of [...this.moves.keys()]) this.settleMove(entry, node)
    for (const [entry, asked] of [...this.askers]) {
      for (const each of [...asked]) if (nodeOf(each) === node) asked.delete(each)
      if (asked.size === 0) this.askers.delete(entry)
    }
    for (const entry of [...this.references.owned.values()]) if (entry.nodes !== null) this.remove(entry, [node], now, out)
  }

  /** The entry has come to an end: who asked for it is told. */
  settled(entry: Entry, out: Effect[]): void {
    const asked = this.askers.get(entry)
    if (asked === undefined) return
    this.askers.delete(entry)
    for (const from of asked) this.answer(from, entry.seq, entry, out)
  }

  /** Its value goes. Gives the nodes, other than this one, that have a copy. */
  private forget(entry: Entry): NodeId[] {
    this.moves.delete(entry)
    if (entry.dropped) this.askers.delete(entry)
    const { nodes } = entry
    entry.nodes = null
    return nodes === null ? [] : [...nodes].filter(node => node !== this.node)
  }

  invariants(): void {
    for (const [entry, moving] of this.moves) {
      assert(!entry.dropped && moving.size > 0, `object ${entry.seq} is said to move`)
      for (const node of moving.keys()) {
        assert(!entry.nodes?.has(node), `object ${entry.seq} moves to where it is`)
        assert(!this.above(moving, node).has(node), `node ${node} gets object ${entry.seq} from itself`)
      }
    }
    for (const entry of this.references.owned.values())
      assert(entry.state !== STATE.stored || entry.nodes === null || entry.nodes.size > 0, `object ${entry.seq} is stored nowhere`)
  }

  private answer(from: WorkerId, seq: number, entry: Entry | undefined, out: Effect[]): void {
    if (entry !== undefined && !entry.settled) {
      this.values.need(entry)
      const asked = this.askers.get(entry) ?? new Set()
      this.askers.set(entry, asked.add(from))
    }
    out.push({ is: 'located', to: from, seq, entry: entry ?? null, nodes: this.sourcesFor(entry, from) })
  }

  private isOnly(entry: Entry, node: NodeId): boolean {
    if (entry.state !== STATE.stored || entry.storedAs !== null) return false
    const all = this.of(entry)
    return all.length === 1 && all[0] === node
  }

  /** These have no copy, whole or in part. */
  private remove(entry: Entry, nodes: NodeId[], now: Millis, out: Effect[]): void {
    if (entry.state !== STATE.stored || entry.storedAs !== null) return
    for (const node of nodes) {
      this.settleMove(entry, node)
      if (entry.nodes === null && node === this.node) entry.nodes = new Set()
      entry.nodes?.delete(node)
    }
    if (entry.nodes === null || entry.nodes.size > 0) return
    const moving = [...(this.moves.get(entry)?.values() ?? [])]
    this.moves.delete(entry)
    entry.nodes = null
    this.onLost(entry, now, out)
    // What is half way somewhere can come to no end: the value may have other bytes when it is made again.
    for (const { daemon } of moving) this.answer(daemon, entry.seq, entry, out)
  }

  /** That node is getting it no more, or has got it. */
  private settleMove(entry: Entry, node: NodeId): void {
    const moving = this.moves.get(entry)
    if (moving?.delete(node) && moving.size === 0) this.moves.delete(entry)
  }

  /** Whole copies that serve few others, else copies under way that do, else whoever serves fewest. */
  private sourcesFor(entry: Entry | undefined, daemon: WorkerId): NodeId[] {
    const asker = nodeOf(daemon)
    if (entry?.state !== STATE.stored || entry.storedAs !== null) return []
    // It was made there while that node waited for it.
    if (this.of(entry).includes(asker)) return [asker]
    const moving = this.moves.get(entry) ?? new Map<NodeId, Move>()
    const load = new Map<NodeId, number>()
    for (const { sources } of moving.values()) for (const source of sources) load.set(source, (load.get(source) ?? 0) + 1)
    const byLoad = (a: NodeId, b: NodeId): number => (load.get(a) ?? 0) - (load.get(b) ?? 0)
    const isFree = (node: NodeId): boolean => (load.get(node) ?? 0) < limits.pullsPerCopyMax
    const whole = this.of(entry).sort(byLoad)
    // Never one that gets it from the asker, at however many removes.
    const partial = [...moving.keys()].filter(node => node !== asker && !this.above(moving, node).has(asker)).sort(byLoad)
    const chosen = [
      whole.filter(isFree).slice(0, limits.sourcesMax),
      partial.filter(isFree).slice(0, 1),
      [...whole, ...partial].sort(byLoad).slice(0, 1),
    ]
    const sources = chosen.find(list => list.length > 0) ?? []
    moving.set(asker, { daemon, sources })
    this.moves.set(entry, moving)
    return sources
  }

  /** All nodes that `node` gets it from, and those they get it from. */
  private above(moving: Map<NodeId, Move>, node: NodeId): Set<NodeId> {
    const seen = new Set<NodeId>()
    const queue = [...(moving.get(node)?.sources ?? [])]
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      if (seen.has(next)) continue
      seen.add(next)
      queue.push(...(moving.get(next)?.sources ?? []))
    }
    return seen
  }
}
