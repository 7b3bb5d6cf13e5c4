// SPDX-License-Identifier: Apache-2.0
// The links of one machine as they ship, over the network as it is.

import type { LinkFrame } from '#lib/core/link/frame.js'
import { Link, type LinkEffect, type LinkEvent } from '#lib/core/link/link.js'
import type { NodeId } from '#lib/wire/messages.js'
import type { SimCluster } from './cluster.js'
import type { Life } from './life.js'
import type { Host } from './network.js'
import type { Packet } from './packet.js'

export interface LinksListener {
  packet(from: NodeId, packet: Packet): void
  up(peer: NodeId): void
  down(peer: NodeId): void
  /** The peer is another process than before. */
  restarted(peer: NodeId): void
}

interface End {
  readonly link: Link<Packet>
  tickAt: number
}

export class Links implements Host {
  readonly #ends = new Map<NodeId, End>()

  constructor(
    private readonly cluster: SimCluster,
    private readonly nodeId: NodeId,
    private readonly life: Life,
    private readonly listener: LinksListener,
  ) {
    cluster.network.attach(nodeId, this)
  }

  /** Makes a link to that machine; no effect when there is one. */
  open(peer: NodeId): void {
    if (!this.#ends.has(peer)) this.#dial(peer, this.#admit(peer))
  }

  send(peer: NodeId, packet: Packet): void {
    this.open(peer)
    this.#act(peer, this.#ends.get(peer) as End, { is: 'send', packet })
  }

  /** The peer is dead. */
  forget(peer: NodeId): void {
    this.#ends.delete(peer)
  }

  /** The connection breaks, or its other end is no more: it is tried again until there is one. */
  broken(peer: NodeId): void {
    const end = this.#ends.get(peer)
    if (end === undefined) return
    this.#act(peer, end, { is: 'path', up: false, why: 'the connection broke' })
    this.#dial(peer, end)
  }

  heard(from: NodeId, frame: LinkFrame<Packet>): void {
    // A process that is stopped reads it later.
    this.life.after(0, () => {
      const end = this.#ends.get(from) ?? (frame.kind === 'hello' ? this.#admit(from) : null)
      if (end !== null) this.#act(from, end, { is: 'heard', frame })
      else if (frame.kind !== 'stranger') this.#disown(from, frame.from)
    })
  }

  /** To a link that was given up here, and whose other end does not know. */
  #disown(peer: NodeId, epoch: number): void {
    const frame = { kind: 'stranger', from: 0, to: epoch, received: 0, number: 0, packet: null } as const
    this.cluster.network.send(this.nodeId, peer, frame)
  }

  get peers(): NodeId[] {
    return [...this.#ends.keys()]
  }

  #dial(peer: NodeId, end: End): void {
    const { network, random } = this.cluster
    this.life.after(random.around(30), () => {
      if (this.#ends.get(peer) !== end) return
      if (network.reaches(this.nodeId, peer)) this.#act(peer, end, { is: 'path', up: true, why: '' })
      else this.#dial(peer, end)
    })
  }

  #admit(peer: NodeId): End {
    const end = { link: new Link<Packet>(this.cluster.nextEpoch()), tickAt: Number.POSITIVE_INFINITY }
    this.#ends.set(peer, end)
    return end
  }

  #act(peer: NodeId, end: End, event: LinkEvent<Packet>): void {
    if (this.#ends.get(peer) !== end) return
    const out: LinkEffect<Packet>[] = []
    end.link.handle(event, this.life.now, out)
    end.link.invariants()
    for (const effect of out) {
      if (effect.is === 'transmit') this.cluster.network.send(this.nodeId, peer, effect.frame)
      else if (effect.is === 'deliver') this.listener.packet(peer, effect.packet)
      else if (effect.is === 'up') this.listener.up(peer)
      else if (effect.is === 'down') this.listener.down(peer)
      else if (effect.is === 'restarted') this.listener.restarted(peer)
    }
    this.#arm(peer, end)
  }

  #arm(peer: NodeId, end: End): void {
    const due = end.link.deadline()
    if (due === null || due >= end.tickAt) return
    end.tickAt = due
    this.life.at(due, () => {
      if (end.tickAt !== due) return
      end.tickAt = Number.POSITIVE_INFINITY
      const now = end.link.deadline()
      if (now !== null && now <= this.life.now) this.#act(peer, end, { is: 'tick' })
      else this.#arm(peer, end)
    })
  }
}
