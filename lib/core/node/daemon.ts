// SPDX-License-Identifier: Apache-2.0
// The node daemon of a one-machine cluster: a node and the head, in one process. What they tell each other takes effect
// at once, in order, within the event that caused it. `node` and `head` know nothing of this arrangement. Nothing is kept
// beyond the process: all that the head knows dies with it.

import type { HeadEffect, HeadEvent } from '../head/events.js'
import type { Head } from '../head/head.js'
import { type Machine, type Millis, soonest } from '../machine.js'
import type { NodeEffect, NodeEvent } from './events.js'
import type { Node } from './node.js'

/** What a node hears, apart from its head. */
type Outside =
  | 'message'
  | 'spawned'
  | 'workerExited'
  | 'peerClosed'
  | 'memory'
  | 'weighed'
  | 'environmentReady'
  | 'environmentFailed'
  | 'view'
  | 'nodeDied'
  | 'tick'
/** What the head has the tables of. */
export const HEAD_QUERIES: ReadonlySet<string> = new Set(['nodes', 'actors', 'groups', 'jobs', 'placement'])

export type DaemonEvent = Extract<NodeEvent, { is: Outside }>
export type DaemonEffect = Exclude<NodeEffect, { is: 'toHead' }>

export class Daemon implements Machine<DaemonEvent, DaemonEffect> {
  readonly node: Node
  readonly head: Head

  constructor(node: Node, head: Head) {
    this.node = node
    this.head = head
  }

  handle(event: DaemonEvent, now: Millis, out: DaemonEffect[]): void {
    const both = event.is === 'tick' || (event.is === 'message' && event.message.is === 'hello')
    const forHead = event.is === 'message' && this.#isForHead(event)
    if (both || !forHead) this.#node(event, now, out)
    // The node refuses some who say hello: those the head need not know.
    if (event.is === 'tick' || (event.is === 'message' && (forHead || both) && this.node.knows(event.from))) this.#head(event, now, out)
  }

  deadline(): Millis | null {
    return soonest([this.node.deadline(), this.head.deadline()])
  }

  invariants(): void {
    this.node.invariants()
    this.head.invariants()
  }

  #isForHead({ from, message }: Extract<DaemonEvent, { is: 'message' }>): boolean {
    if (!this.node.knows(from)) return false
    if (message.is === 'query') return HEAD_QUERIES.has(message.what)
    return message.is.startsWith('actor') || message.is.startsWith('group') || message.is.startsWith('kv')
  }

  #node(event: NodeEvent, now: Millis, out: DaemonEffect[]): void {
    const effects: NodeEffect[] = []
    this.node.handle(event, now, effects)
    for (const effect of effects) {
      if (effect.is === 'toHead') this.#head(effect.event, now, out)
      else out.push(effect)
    }
  }

  #head(event: HeadEvent, now: Millis, out: DaemonEffect[]): void {
    const effects: HeadEffect[] = []
    this.head.handle(event, now, effects)
    for (const effect of effects) {
      if (effect.is === 'toNode') this.#node(effect.event, now, out)
      else if (effect.is === 'send') out.push(effect)
    }
  }
}
