// SPDX-License-Identifier: Apache-2.0
// The node daemon of a cluster whose head is another process: the node, and its link to the head. What they tell each
// other takes effect at once, in order, within the event that caused it.

import type { EaglerayError } from '../../errors.js'
import type { Control, NodeDied, NodeView, View, WorkerId } from '../../wire/messages.js'
import { type Machine, type Millis, soonest } from '../machine.js'
import { type DaemonEffect, type DaemonEvent, HEAD_QUERIES } from './daemon.js'
import type { HeadToNode, NodeEffect } from './events.js'
import { HeadLink, type HeadLinkEffect, type HeadLinkEvent } from './head-link.js'
import type { Node } from './node.js'

type FromLink = 'headUp' | 'headDown' | 'headRestarted' | 'fromHead'
export type MemberEvent =
  | DaemonEvent
  | Extract<HeadLinkEvent, { is: FromLink }>
  /** The node is about to end: its head need not wait for its silence. */
  | { is: 'leaving'; why: string }

export type MemberEffect =
  | DaemonEffect
  | Extract<HeadLinkEffect, { is: 'sendHead' | 'joined' | 'fenced' }>
  | { is: 'cluster'; message: View | NodeDied }

export interface MemberOptions {
  /** Who this node is for others. */
  readonly node: Omit<NodeView, 'available' | 'state' | 'deathCause'>
  readonly encodeError: (error: EaglerayError) => Uint8Array
}

export class Member implements Machine<MemberEvent, MemberEffect> {
  readonly node: Node
  readonly #link: HeadLink

  constructor(node: Node, options: MemberOptions) {
    this.node = node
    this.#link = new HeadLink({ ...options, load: () => node.load(), lives: () => node.lives() })
  }

  /** The head knows it. */
  get isJoined(): boolean {
    return this.#link.isJoined
  }

  handle(event: MemberEvent, now: Millis, out: MemberEffect[]): void {
    switch (event.is) {
      case 'headUp':
      case 'headDown':
      case 'headRestarted':
      case 'fromHead':
        return this.#toLink(event, now, out)
      case 'leaving':
        return this.#toLink({ is: 'toHead', event }, now, out)
      case 'tick':
        this.#toNode(event, now, out)
        return this.#toLink(event, now, out)
      case 'message':
        if (isForHead(event.message)) {
          if (this.node.knows(event.from)) this.#toLink({ is: 'forHead', from: event.from, message: event.message }, now, out)
          return
        }
        this.#toNode(event, now, out)
        // The node refuses some who say hello: those the head need not know, and nobody's token.
        if (event.message.is === 'hello' && event.message.job !== null && this.node.knows(event.from))
          this.#welcome(event.from, event.message, now, out)
        return
      default:
        return this.#toNode(event, now, out)
    }
  }

  #welcome(driver: WorkerId, hello: Extract<Control, { is: 'hello' }>, now: Millis, out: MemberEffect[]): void {
    this.#toLink({ is: 'forHead', from: driver, message: { ...hello, token: '' } }, now, out)
    const { told } = this.#link
    if (told !== null) out.push({ is: 'send', to: driver, message: told })
  }

  deadline(): Millis | null {
    return soonest([this.node.deadline(), this.#link.deadline()])
  }

  invariants(): void {
    this.node.invariants()
    this.#link.invariants()
  }

  #toNode(event: DaemonEvent | HeadToNode | View | NodeDied, now: Millis, out: MemberEffect[]): void {
    const effects: NodeEffect[] = []
    this.node.handle(event, now, effects)
    if (event.is !== 'tick') this.#link.touch()
    for (const effect of effects) {
      if (effect.is === 'toHead') this.#toLink(effect, now, out)
      else out.push(effect)
    }
  }

  #toLink(event: HeadLinkEvent, now: Millis, out: MemberEffect[]): void {
    const effects: HeadLinkEffect[] = []
    this.#link.handle(event, now, effects)
    for (const effect of effects) {
      if (effect.is === 'headToNode') this.#toNode(effect.event, now, out)
      else if (effect.is === 'headAway') for (const to of this.node.drivers()) out.push({ is: 'send', to, message: effect })
      else if (effect.is === 'cluster') {
        this.#toNode(effect.message, now, out)
        out.push(effect)
      } else out.push(effect)
    }
  }
}

/** What the head decides, or has the tables of. */
function isForHead(message: Control): boolean {
  if (message.is === 'query') return HEAD_QUERIES.has(message.what)
  return message.is === 'drainNode' || /^(actor|group|kv)/.test(message.is)
}
