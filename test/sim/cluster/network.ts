// SPDX-License-Identifier: Apache-2.0
// Between machines: frames of links are lost, come twice, overtake each other, or do not come through while the two are
// apart. What is in them arrives once and in order only because of the links above.

import type { LinkFrame } from '#lib/core/link/frame.js'
import type { NodeId } from '#lib/wire/messages.js'
import type { Random } from '../random.js'
import type { Agenda } from './agenda.js'
import type { Packet } from './packet.js'
import type { Settings } from './settings.js'

/** An end of links. */
export interface Host {
  /** Those it has links to. */
  readonly peers: NodeId[]
  broken(peer: NodeId): void
  heard(from: NodeId, frame: LinkFrame<Packet>): void
}

export class Network {
  readonly #hosts = new Map<NodeId, Host>()
  /** Machines that reach no others outside their group. */
  readonly #apart = new Map<NodeId, number>()
  /** By pair: when what was sent last arrives, where nothing overtakes. */
  readonly #last = new Map<string, number>()
  frames = 0
  #healed = false

  constructor(
    private readonly agenda: Agenda,
    private readonly random: Random,
    private readonly settings: Settings,
  ) {}

  /** From now on that is who is reached there. */
  attach(nodeId: NodeId, host: Host): void {
    this.#hosts.set(nodeId, host)
  }

  /** That process is no more: its connections end, and the others notice unless the machine itself is gone. */
  detach(nodeId: NodeId, host: Host, machine: boolean): void {
    if (this.#hosts.get(nodeId) !== host) return
    this.#hosts.delete(nodeId)
    if (machine) return
    for (const other of this.#hosts.values())
      if (other.peers.includes(nodeId)) this.agenda.after(this.random.around(this.settings.linkDelay), () => other.broken(nodeId))
  }

  reaches(from: NodeId, to: NodeId): boolean {
    return this.#hosts.has(to) && this.#apart.get(from) === this.#apart.get(to)
  }

  /** Those are cut off from all others, and see each other. */
  cut(nodeIds: NodeId[], group: number): void {
    for (const nodeId of nodeIds) this.#apart.set(nodeId, group)
  }

  join(group: number): void {
    for (const [nodeId, each] of this.#apart) if (each === group) this.#apart.delete(nodeId)
  }

  /** From now on nothing is lost or changed. */
  heal(): void {
    this.#healed = true
    this.#apart.clear()
  }

  send(from: NodeId, to: NodeId, frame: LinkFrame<Packet>): void {
    const { random, settings } = this
    this.frames++
    if (!this.#healed && random.chance(settings.loss)) return
    this.#carry(from, to, frame)
    if (!this.#healed && random.chance(settings.duplication)) this.#carry(from, to, frame)
  }

  #carry(from: NodeId, to: NodeId, frame: LinkFrame<Packet>): void {
    const { agenda, random, settings } = this
    const pair = from + to
    let at = agenda.now + random.around(settings.linkDelay)
    if (this.#healed || !random.chance(settings.reordering)) {
      at = Math.max(at, this.#last.get(pair) ?? 0)
      this.#last.set(pair, at)
    }
    agenda.at(at, () => {
      if (this.#apart.get(from) === this.#apart.get(to)) this.#hosts.get(to)?.heard(from, frame)
    })
  }
}
