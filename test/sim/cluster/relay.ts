// SPDX-License-Identifier: Apache-2.0
// A simulated daemon between its rings and its links, as lib/run/relay.ts is: passes on what processes of different nodes
// send each other, and tells both sides of deaths after everything the dead had sent.

import { HEAD_ID, nodeOf } from '#lib/ids.js'
import type { Control, Death, NodeId, WorkerId } from '#lib/wire/messages.js'
import type { Frame } from '../frames.js'
import type { SimCluster } from './cluster.js'
import type { Life } from './life.js'
import { Links } from './links.js'
import { processIdOf } from './names.js'
import { Packet, type Route } from './packet.js'

export const HEAD_NODE = nodeOf(HEAD_ID)

export interface RelayHost {
  readonly nodeId: NodeId
  readonly life: Life
  /** Whether that process of this node lives. */
  lives(process: WorkerId): boolean
  /** Puts it on the ring of a process of this node. */
  toProcess(from: WorkerId, to: WorkerId, frame: Frame): void
  /** For the daemon itself, from a daemon, the head, or a process elsewhere. */
  toDaemon(from: WorkerId, message: Control): void
  toAll(message: Control): void
  linked(peer: NodeId, up: boolean): void
  restarted(peer: NodeId): void
}

export class SimRelay {
  readonly links: Links
  readonly #outboxes = new Map<NodeId, Packet['items']>()
  /** Nodes that each process of this node has exchanged something with. */
  readonly #talkedTo = new Map<WorkerId, Set<NodeId>>()
  readonly #dead = new Map<NodeId, string>()

  constructor(
    private readonly cluster: SimCluster,
    private readonly host: RelayHost,
  ) {
    this.links = new Links(cluster, host.nodeId, host.life, {
      packet: (from, packet) => this.#packet(from, packet),
      up: peer => host.linked(peer, true),
      down: peer => host.linked(peer, false),
      restarted: peer => host.restarted(peer),
    })
  }

  toNode(nodeId: NodeId, message: Control): void {
    if (!this.#dead.has(nodeId)) this.#push(nodeId, { is: 'control', message })
  }

  forward(route: Route): void {
    const nodeId = nodeOf(route.to)
    const why = this.#dead.get(nodeId)
    if (why !== undefined) {
      if (this.host.lives(route.from))
        this.host.toProcess(this.#daemonId, route.from, { is: 'control', message: { is: 'nodeDied', nodeId, why } })
      return
    }
    this.#met(route.from, nodeId)
    this.#push(nodeId, route)
  }

  processDied(workerId: WorkerId, death: Death): void {
    for (const nodeId of this.#talkedTo.get(workerId) ?? []) this.toNode(nodeId, { is: 'workerDied', workerId, death })
    this.#talkedTo.delete(workerId)
  }

  nodeDied(nodeId: NodeId, why: string): void {
    if (this.#dead.has(nodeId)) return
    this.#dead.set(nodeId, why)
    this.cluster.declaredDead(nodeId, why)
    this.links.forget(nodeId)
    this.#outboxes.delete(nodeId)
    for (const nodes of this.#talkedTo.values()) nodes.delete(nodeId)
    this.host.toAll({ is: 'nodeDied', nodeId, why })
  }

  get #daemonId(): WorkerId {
    return processIdOf(this.host.nodeId, 0)
  }

  #packet(from: NodeId, { items }: Packet): void {
    for (const item of items) {
      if (this.#dead.has(from)) return
      if (item.is === 'route') this.#arrived(from, item)
      else this.#control(from, item.message)
    }
  }

  #arrived(nodeId: NodeId, { from, to, frame }: Route): void {
    if (to === this.#daemonId) {
      if (frame.is === 'control') this.host.toDaemon(from, frame.message)
    } else if (this.host.lives(to)) {
      this.#met(to, nodeId)
      this.host.toProcess(from, to, frame)
    } else {
      const death: Death = { exitCode: null, signal: null, stderrTail: '', reason: 'it had ended before', outOfMemory: false }
      this.toNode(nodeId, { is: 'workerDied', workerId: to, death })
    }
  }

  #control(from: NodeId, message: Control): void {
    if (message.is === 'workerDied' && nodeOf(message.workerId) === from) this.host.toAll(message)
    if (message.is === 'nodeDied' && from === HEAD_NODE) this.nodeDied(message.nodeId, message.why)
    this.host.toDaemon(from === HEAD_NODE ? HEAD_ID : processIdOf(from, 0), message)
  }

  #met(process: WorkerId, nodeId: NodeId): void {
    const nodes = this.#talkedTo.get(process)
    if (nodes === undefined) this.#talkedTo.set(process, new Set([nodeId]))
    else nodes.add(nodeId)
  }

  /** What is written in one turn leaves in one packet. */
  #push(nodeId: NodeId, item: Packet['items'][number]): void {
    const outbox = this.#outboxes.get(nodeId)
    if (outbox !== undefined) {
      outbox.push(item)
      return
    }
    const items = [item]
    this.#outboxes.set(nodeId, items)
    this.host.life.after(0, () => {
      if (this.#outboxes.get(nodeId) !== items) return
      this.#outboxes.delete(nodeId)
      this.links.send(nodeId, new Packet(items))
    })
  }
}
