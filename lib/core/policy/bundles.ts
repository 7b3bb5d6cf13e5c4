// SPDX-License-Identifier: Apache-2.0
// Which nodes the bundles of a placement group go to: all of them or none. Hardest first: a bundle that fits few nodes
// must not find them taken by one that fits many.
//
// Invariant: a node never gets more than it had available; STRICT_PACK uses one node, STRICT_SPREAD no node twice.

import type { Amounts, GroupStrategy, NodeId } from '../../wire/messages.js'
import { add, fits, subtract } from '../resources.js'
import type { NodeState } from './node-state.js'
import { PACK_UNTIL, usedShare } from './usage.js'

/** What must be placed, by index of the bundle. */
export type Unplaced = ReadonlyMap<number, Amounts>

interface Room {
  readonly view: NodeState
  readonly available: Amounts
  /** It has a bundle of the group. */
  used: boolean
}

/** The node of each; null when they do not all fit now. `taken`: nodes that have bundles of the group already. */
export function placeBundles(
  bundles: Unplaced,
  strategy: GroupStrategy,
  views: Iterable<NodeState>,
  taken: ReadonlySet<NodeId> = new Set(),
): Map<number, NodeState> | null {
  const rooms: Room[] = []
  for (const view of views) {
    if (view.state === 'alive') rooms.push({ view, available: { ...view.available }, used: taken.has(view.nodeId) })
  }
  if (strategy === 'STRICT_PACK') return onOne(bundles, rooms, taken)
  if (strategy === 'STRICT_SPREAD') return apart(bundles, rooms)
  return greedy(bundles, rooms, strategy === 'PACK')
}

/** Whether they would all fit if nothing ran. */
export function bundlesPossible(
  bundles: Unplaced,
  strategy: GroupStrategy,
  views: Iterable<NodeState>,
  taken: ReadonlySet<NodeId> = new Set(),
): boolean {
  return placeBundles(bundles, strategy, [...views].map(idle), taken) !== null
}

function idle(view: NodeState): NodeState {
  return { ...view, available: view.total }
}

function onOne(bundles: Unplaced, rooms: readonly Room[], taken: ReadonlySet<NodeId>): Map<number, NodeState> | null {
  const sum: Amounts = {}
  for (const need of bundles.values()) add(sum, need)
  const able = rooms.filter(room => (taken.size === 0 || room.used) && fits(sum, room.available))
  const best = least(able, room => fullness(room, sum))
  if (best === null) return null
  return new Map([...bundles.keys()].map(index => [index, best.view]))
}

/** A matching of bundles with nodes, found by augmenting paths: what one bundle took, it gives up if it can go elsewhere. */
function apart(bundles: Unplaced, rooms: readonly Room[]): Map<number, NodeState> | null {
  const free = rooms.filter(room => !room.used)
  const holder = new Map<Room, number>()
  const match = (index: number, tried: Set<Room>): boolean => {
    const need = bundles.get(index) as Amounts
    for (const room of free) {
      if (tried.has(room) || !fits(need, room.available)) continue
      tried.add(room)
      const held = holder.get(room)
      if (held !== undefined && !match(held, tried)) continue
      holder.set(room, index)
      return true
    }
    return false
  }
  free.sort((a, b) => fullness(a, {}) - fullness(b, {}))
  for (const index of hardestFirst(bundles, free)) if (!match(index, new Set())) return null
  return new Map([...holder].map(([{ view }, index]) => [index, view]))
}

/** PACK: on nodes that have some already, the tightest first. SPREAD: on nodes that have none, the least used first. */
function greedy(bundles: Unplaced, rooms: readonly Room[], pack: boolean): Map<number, NodeState> | null {
  const placed = new Map<number, NodeState>()
  for (const index of hardestFirst(bundles, rooms)) {
    const need = bundles.get(index) as Amounts
    const able = rooms.filter(room => fits(need, room.available))
    const preferred = able.filter(room => room.used === pack)
    const best = least(preferred.length > 0 ? preferred : able, room => (pack && room.used ? -1 : 1) * fullness(room, need))
    if (best === null) return null
    subtract(best.available, need)
    best.used = true
    placed.set(index, best.view)
  }
  return placed
}

/** Those that fit the fewest nodes first, and of those the largest. */
function hardestFirst(bundles: Unplaced, rooms: readonly Room[]): number[] {
  const rank = new Map<number, readonly [fitting: number, size: number]>()
  for (const [index, need] of bundles) {
    const fitting = rooms.filter(({ available }) => fits(need, available)).length
    rank.set(index, [fitting, Object.values(need).reduce((sum, amount) => sum + amount, 0)])
  }
  const of = (index: number) => rank.get(index) as readonly [number, number]
  return [...bundles.keys()].sort((a, b) => of(a)[0] - of(b)[0] || of(b)[1] - of(a)[1] || a - b)
}

function fullness({ view, available }: Room, need: Amounts): number {
  const used = usedShare(view.total, available, need)
  return used < PACK_UNTIL ? 0 : used
}

function least(rooms: readonly Room[], score: (room: Room) => number): Room | null {
  let best: Room | null = null
  let lowest = Number.POSITIVE_INFINITY
  for (const room of rooms) {
    const each = score(room)
    if (each < lowest) [best, lowest] = [room, each]
  }
  return best
}
