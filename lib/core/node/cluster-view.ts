// SPDX-License-Identifier: Apache-2.0
// The cluster as this node sees it: itself as it is, the others as the head told some 100 ms ago. What was just sent to
// another node is taken off what that one had free, until it has had the time to show there.
//
// Invariant: the node itself is always among the states, first.

import { limits } from '../../options.js'
import type { Amounts, NodeId, View, WorkerId } from '../../wire/messages.js'
import type { Millis } from '../machine.js'
import type { NodeState } from '../policy/node-state.js'
import { subtract } from '../resources.js'

interface Sent {
  readonly nodeId: NodeId
  readonly amounts: Amounts
  readonly until: Millis
  readonly what: string
}

export class ClusterView {
  readonly own: NodeState
  readonly #others = new Map<NodeId, NodeState>()
  /** Died not long ago: messages of their processes may be under way still. */
  readonly #dead = new Set<NodeId>()
  /** Oldest first. */
  #sent: Sent[] = []

  /** `own.available` is looked at each time. */
  constructor(own: NodeState) {
    this.own = own
  }

  /** No other node is there. */
  get alone(): boolean {
    return this.#others.size === 0
  }

  set({ full, nodes }: Pick<View, 'full' | 'nodes'>): void {
    if (full) this.#others.clear()
    for (const node of nodes) {
      if (node.nodeId === this.own.nodeId) continue
      if (node.state === 'dead') this.died(node.nodeId)
      else if (!this.#dead.has(node.nodeId)) this.#others.set(node.nodeId, node)
    }
  }

  died(nodeId: NodeId): void {
    this.#others.delete(nodeId)
    this.#dead.delete(nodeId)
    this.#dead.add(nodeId)
    if (this.#dead.size > limits.deadNodesKept) this.#dead.delete([...this.#dead][0] as NodeId)
  }

  /** Another node, which has not died. */
  isElsewhere(nodeId: NodeId): boolean {
    return nodeId !== this.own.nodeId && !this.#dead.has(nodeId)
  }

  get(nodeId: NodeId): NodeState | undefined {
    return nodeId === this.own.nodeId ? this.own : this.#others.get(nodeId)
  }

  /** Of the other nodes. */
  daemons(): WorkerId[] {
    return [...this.#others.values()].map(({ daemonId }) => daemonId)
  }

  /** That much was sent there. `what`: under which name it may come back. */
  sent(nodeId: NodeId, need: Amounts, count: number, now: Millis, what = ''): void {
    const amounts = Object.fromEntries(Object.entries(need).map(([name, amount]) => [name, amount * count]))
    // Of many nodes the head tells less often.
    const late = limits.viewEveryMs * Math.max(0, (this.#others.size + 1) / limits.viewNodesPerInterval - 1)
    this.#sent.push({ nodeId, amounts, until: now + limits.sentShowsAfterMs + late, what })
  }

  /** Nothing that was sent under that name is anywhere any more. */
  cameBack(what: string): void {
    this.#sent = this.#sent.filter(each => each.what !== what)
  }

  /** Every node, itself first. */
  states(now: Millis): NodeState[] {
    while (this.#sent.length > 0 && (this.#sent[0] as Sent).until <= now) this.#sent.shift()
    const taken = new Map<NodeId, NodeState>()
    for (const { nodeId, amounts } of this.#sent) {
      const known = this.#others.get(nodeId)
      if (known === undefined) continue
      let state = taken.get(nodeId)
      if (state === undefined) taken.set(nodeId, (state = { ...known, available: { ...known.available } }))
      subtract(state.available, amounts)
    }
    const states = [this.own]
    for (const [nodeId, state] of this.#others) states.push(taken.get(nodeId) ?? state)
    return states
  }
}
