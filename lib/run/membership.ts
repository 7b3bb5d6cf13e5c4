// SPDX-License-Identifier: Apache-2.0
// A node's part in its cluster: what its links bring for its machine, and what that asks of them.

import type { MemberEffect, MemberEvent } from '../core/node/member.js'
import { HEAD_ID, nodeOf } from '../ids.js'
import type { Refusal } from '../io/transport.js'
import type { Control, NodeDied, NodeView, View, WorkerId } from '../wire/messages.js'
import type { Links } from './links.js'
import { HEAD_NODE, type RelayHooks } from './relay.js'

/** How long what was sent last may take to arrive, when the node ends (ms). */
const DRAIN_MS = 500

const HEAD_LINK = { up: 'headUp', down: 'headDown', restarted: 'headRestarted' } as const

export type ClusterEffect = Extract<MemberEffect, { is: 'sendHead' | 'joined' | 'fenced' | 'cluster' }>

export interface MembershipHooks {
  handle(event: MemberEvent): void
  /** A message for the daemon from a process of another node. */
  heard(from: WorkerId, message: Control): void
  /** What the head says of other nodes, or this daemon found out. */
  overheard(message: View | NodeDied): void
  /** Something may be due sooner than before. */
  arm(): void
  joined(clusterId: string): void
  /** The cluster goes on without this node. */
  fenced(why: string): void
  /** The head does not let this node in, or none is there that would. */
  refused(refusal: Refusal): void
}

export class Membership {
  readonly links: Links
  readonly #headAddress: string
  readonly #hooks: MembershipHooks

  /** `head`: host:port. */
  constructor(links: Links, head: string, hooks: MembershipHooks) {
    this.links = links
    this.#headAddress = `tcp://${head}`
    this.#hooks = hooks
  }

  relayHooks(): RelayHooks {
    const { handle, heard, overheard, arm } = this.#hooks
    const told = (event: MemberEvent): void => {
      handle(event)
      arm()
    }
    return {
      onMessage: (from, message) => {
        if (from === HEAD_ID) told({ is: 'fromHead', message })
        else {
          heard(from, message)
          arm()
        }
      },
      onLink: (nodeId, state) => {
        if (nodeId === HEAD_NODE) told({ is: HEAD_LINK[state] })
      },
      onGivenUp: (nodeId, why) => {
        const message = { is: 'nodeDied', nodeId, why } as const
        overheard(message)
        told(message)
      },
      onRefused: refusal => this.#refused(refusal),
    }
  }

  start(): void {
    this.links.relay.openNode({ nodeId: HEAD_NODE, address: this.#headAddress })
  }

  carryOut(effect: ClusterEffect): void {
    switch (effect.is) {
      case 'sendHead':
        return this.links.relay.sendToHead(effect.message)
      case 'joined':
        return this.#hooks.joined(effect.clusterId)
      case 'fenced':
        return this.#hooks.fenced(effect.why)
      case 'cluster':
        this.#hooks.overheard(effect.message)
        if (effect.message.is === 'nodeDied') this.links.relay.nodeDied(effect.message.nodeId, effect.message.why)
        else for (const node of effect.message.nodes) this.#seen(node)
    }
  }

  /** The head hears that the node ends, instead of having to wait for its silence. */
  sayGoodbye(why: string): void {
    this.#hooks.handle({ is: 'leaving', why })
    this.links.relay.flush()
  }

  /** Resolves when what was sent has arrived or takes too long. */
  close(): Promise<void> {
    return this.links.transport.close(DRAIN_MS)
  }

  #seen({ nodeId, state, address, deathCause }: NodeView): void {
    const { relay } = this.links
    if (nodeId === nodeOf(relay.daemonId)) return
    if (state === 'dead') relay.nodeDied(nodeId, deathCause ?? 'it is gone')
    else relay.openNode({ nodeId, address })
  }

  #refused(refusal: Refusal): void {
    if (refusal.address === this.#headAddress || refusal.id === HEAD_NODE) this.#hooks.refused(refusal)
  }
}
