// SPDX-License-Identifier: Apache-2.0
// Which node serves a request, by what the cluster looked like a moment ago. Pure: equal arguments give equal answers.
//
// DEFAULT packs: the local node first, while its fullest resource is below half; then any node below half; then the least
// used. Among those that are nearly as good one is taken at random, or all that ask at once would ask the same node.
//
// Invariant: a node never gets more than it had available, and never what it does not have in all.

import type { Amounts, NodeId, Where } from '../../wire/messages.js'
import { fits, subtract } from '../resources.js'
import { selector } from './labels.js'
import type { NodeState } from './node-state.js'
import { mix } from './random.js'
import { PACK_UNTIL, usedShare } from './usage.js'

export interface Demand {
  /** Taken on the node. */
  readonly need: Amounts
  /** Must be there in all on the node, though not all of it is taken (the default actor: 1 CPU, of which it takes none). */
  readonly placement: Amounts
  /** Null: anywhere, by DEFAULT. */
  readonly where: Where | null
}

export interface Context {
  /** The node that asks, preferred by DEFAULT; null for the head. */
  readonly local: NodeId | null
  /** To be raised by one each time: rotates SPREAD, and is the seed of what is random. */
  readonly turn: number
}

export interface Choice {
  /** How many of those asked for each node serves now. */
  readonly counts: Map<NodeState, number>
  /** How many no node can serve now. */
  readonly left: number
  /** Nodes that could serve it were they idle, the one it must wait for alone where there is no other choice. Empty: nowhere, ever. */
  readonly feasible: readonly NodeState[]
}

/** Share of all nodes that DEFAULT picks from. */
const TOP_SHARE = 0.2

/** Nodes that could serve it were they idle: those that its strategy, its labels and their totals leave. */
export function feasibleNodes({ need, placement, where }: Demand, views: Iterable<NodeState>): NodeState[] {
  const selects = selector(where?.labels ?? {})
  const able: NodeState[] = []
  for (const view of views) {
    if (view.state === 'alive' && fits(need, view.total) && fits(placement, view.total) && selects(view)) able.push(view)
  }
  if (where?.strategy.is !== 'node') return able
  const { nodeId, soft } = where.strategy
  const wanted = able.filter(view => view.nodeId === nodeId)
  return wanted.length > 0 || !soft ? wanted : able
}

/** Distributes `count` equal requests over the nodes. */
export function pickMany(demand: Demand, count: number, views: Iterable<NodeState>, context: Context): Choice {
  const feasible = feasibleNodes(demand, views)
  const counts = new Map<NodeState, number>()
  const pool = demand.where?.strategy.is === 'spread' ? new Rotation(feasible, demand, context) : new Packing(feasible, demand, context)
  let left = count
  for (; left > 0; left--) {
    const view = pool.next()
    if (view === null) break
    counts.set(view, (counts.get(view) ?? 0) + 1)
  }
  return { counts, left, feasible }
}

/** The node for one request; null when none can serve it now. */
export function pick(demand: Demand, views: Iterable<NodeState>, context: Context): NodeState | null {
  for (const view of pickMany(demand, 1, views, context).counts.keys()) return view
  return null
}

interface Candidate {
  readonly view: NodeState
  readonly available: Amounts
  score: number
}

/** Round robin over those that can serve it now. */
class Rotation {
  readonly #candidates: Candidate[]
  readonly #need: Amounts
  #at: number

  constructor(feasible: readonly NodeState[], { need }: Demand, { turn }: Context) {
    this.#need = need
    this.#candidates = candidates(feasible, need)
    this.#candidates.sort((a, b) => (a.view.nodeId < b.view.nodeId ? -1 : 1))
    this.#at = this.#candidates.length === 0 ? 0 : turn % this.#candidates.length
  }

  next(): NodeState | null {
    const taken = this.#candidates[this.#at]
    if (taken === undefined) return null
    subtract(taken.available, this.#need)
    if (fits(this.#need, taken.available)) this.#at++
    else this.#candidates.splice(this.#at, 1)
    if (this.#at >= this.#candidates.length) this.#at = 0
    return taken.view
  }
}

/** The least used first, the local one before its equals. */
class Packing {
  readonly #need: Amounts
  readonly #local: NodeId | null
  readonly #sorted: Candidate[]
  readonly #top: number
  #turn: number

  constructor(feasible: readonly NodeState[], { need }: Demand, { local, turn }: Context) {
    this.#need = need
    this.#local = local
    this.#turn = turn
    this.#top = Math.max(1, Math.floor(feasible.length * TOP_SHARE))
    // Equals in another order each time: who asks from elsewhere at the same time begins with others.
    const all = candidates(feasible, need)
    const at = all.length === 0 ? 0 : mix(turn) % all.length
    this.#sorted = [...all.slice(at), ...all.slice(0, at)]
    for (const each of this.#sorted) each.score = this.#scoreOf(each)
    this.#sorted.sort((a, b) => a.score - b.score)
  }

  next(): NodeState | null {
    const best = this.#sorted[0]
    if (best === undefined) return null
    let at = this.#local === null ? -1 : this.#sorted.findIndex(each => each.view.nodeId === this.#local)
    const taken = this.#sorted[at]
    if (taken === undefined || taken.score > best.score) at = this.#among(Math.min(this.#top, this.#sorted.length))
    return this.#take(at)
  }

  #among(count: number): number {
    return count === 1 ? 0 : mix(this.#turn++) % count
  }

  #take(at: number): NodeState {
    const [taken] = this.#sorted.splice(at, 1) as [Candidate]
    subtract(taken.available, this.#need)
    if (!fits(this.#need, taken.available)) return taken.view
    taken.score = this.#scoreOf(taken)
    let to = at
    while (to < this.#sorted.length && (this.#sorted[to] as Candidate).score < taken.score) to++
    this.#sorted.splice(to, 0, taken)
    return taken.view
  }

  #scoreOf({ view, available }: Candidate): number {
    const used = usedShare(view.total, available, this.#need)
    return used < PACK_UNTIL ? 0 : used
  }
}

function candidates(feasible: readonly NodeState[], need: Amounts): Candidate[] {
  const able: Candidate[] = []
  for (const view of feasible) if (fits(need, view.available)) able.push({ view, available: { ...view.available }, score: 0 })
  return able
}
