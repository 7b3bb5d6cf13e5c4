// SPDX-License-Identifier: Apache-2.0
// One node as the head knows it.
//
//   alive --registered in this run of the head, then synced--> takes work     alive --silence, drained--> dead (final)
//
// Invariants: what is reserved was placed there and not answered yet; available is what the node told last, less that.

import type { Amounts, Demand, NodeId, NodeView, Synced } from '../../wire/messages.js'
import type { Millis } from '../machine.js'
import { allLabels } from '../policy/labels.js'
import { fromAmounts, subtract } from '../resources.js'

export interface NodeEntry {
  /** As told to others; `available` is replaced, the object stays. */
  readonly view: NodeView
  lastHeard: Millis
  /** Registered in this run of the head, so that messages find it. */
  linked: boolean
  /** It has told what lives there: it may be given work. */
  synced: boolean
  /** The last numbered message whose effects are kept. */
  seen: number
  /** It is owed an acknowledgement of them. */
  unacknowledged: boolean
  /** What it told of last. */
  told: Amounts
  /** What of it the others have been told of, or will be. */
  shown: Amounts
  demand: Demand[]
  /** By actor: placed there, and not answered yet. */
  readonly reserved: Map<string, Amounts>
  /** When its view last changed, in counts of changes. */
  version: number
  /** The version of the nodes that it was told last. */
  toldVersion: number
}

/** As it is kept. */
export interface NodeRow {
  view: NodeView
}

export function newEntry(view: NodeView, now: Millis): NodeEntry {
  return {
    view,
    lastHeard: now,
    linked: false,
    synced: false,
    seen: 0,
    unacknowledged: false,
    told: view.available,
    shown: view.available,
    demand: [],
    reserved: new Map(),
    version: 0,
    toldVersion: -1,
  }
}

export function recount(entry: NodeEntry): void {
  const available = { ...entry.told }
  for (const amounts of entry.reserved.values()) subtract(available, amounts)
  entry.view.available = available
}

export function copyOf(view: NodeView): NodeView {
  return { ...view, available: { ...view.available } }
}

/** A row of the state API. */
export function rowOfNode({ view, told, demand }: NodeEntry): Record<string, unknown> {
  const { nodeId, hostname, address, dataAddress, state, total, deathCause } = view
  const resources = fromAmounts(total)
  const waiting = demand.map(each => ({ resources: fromAmounts(each.resources), count: each.count }))
  return {
    ...{
      nodeId,
      address: addressOf(address),
      alive: state !== 'dead',
      resources,
      available: state === 'dead' ? {} : fromAmounts(told),
      labels: allLabels(view),
    },
    ...{ state, hostname, dataAddress, demand: waiting, deathCause },
  }
}

/** The host of "tcp://host:port". */
function addressOf(address: string): string {
  return /^tcp:\/\/\[?(.*?)\]?:\d+$/.exec(address)?.[1] ?? address
}

export type Lost = { nodeId: NodeId; why: string }
export type Snapshot = Omit<Synced, 'is'>
