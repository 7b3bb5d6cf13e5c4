// SPDX-License-Identifier: Apache-2.0
// The head as a process of its own: the machine as it ships, what it keeps, and its links. What it keeps is there for good
// a while later, and only then is done what follows; when it is killed it is started again from that.

import type { HeadEffect, HeadEvent } from '#lib/core/head/events.js'
import { Head } from '#lib/core/head/head.js'
import type { Persist } from '#lib/core/head/tables.js'
import { nodeOf } from '#lib/ids.js'
import type { Control, NodeId } from '#lib/wire/messages.js'
import { encodeError } from '../errors.js'
import type { SimCluster } from './cluster.js'
import { Life } from './life.js'
import { Links } from './links.js'
import { Packet } from './packet.js'
import { HEAD_NODE } from './relay.js'

type Rows = Map<string, Map<string, unknown>>

export class SimHead {
  machine!: Head
  life!: Life
  /** Messages that it has handled, of whatever run. */
  handled = 0
  readonly #kept: Rows = new Map()
  #links!: Links
  #run = 0
  #turnEnding = false
  #durableAt = 0
  #tickAt = Number.POSITIVE_INFINITY
  #outboxes = new Map<NodeId, Packet['items']>()
  /** What is to be kept and carried out, first to last. */
  #batches: (() => void)[] = []

  constructor(private readonly cluster: SimCluster) {
    this.start()
  }

  start(): void {
    const { cluster } = this
    this.life = new Life(cluster.agenda, cluster.skew())
    this.#tickAt = Number.POSITIVE_INFINITY
    this.#turnEnding = false
    this.#durableAt = 0
    this.#outboxes = new Map()
    this.#batches = []
    this.machine = new Head({
      nodeId: null,
      encodeError: encodeError,
      clusterId: 'c',
      epoch: `run ${++this.#run}`,
      nodeDeadAfterMs: cluster.settings.nodeDeadAfterMs,
    })
    this.machine.restore(structuredClone(this.#kept), this.life.now)
    this.#links = new Links(cluster, HEAD_NODE, this.life, {
      packet: (from, packet) => this.#packet(from, packet),
      up: () => {},
      down: () => {},
      restarted: () => {},
    })
    this.#handle({ is: 'tick' })
  }

  kill(): void {
    this.life.alive = false
    this.cluster.network.detach(HEAD_NODE, this.#links, false)
  }

  #packet(from: NodeId, { items }: Packet): void {
    for (const item of items) if (item.is === 'control') this.#handle({ is: 'fromDaemon', nodeId: from, message: item.message })
    if (this.#turnEnding) return
    this.#turnEnding = true
    this.life.after(0, () => {
      this.#turnEnding = false
      this.#handle({ is: 'turnEnd' })
    })
  }

  #handle(event: HeadEvent): void {
    const out: HeadEffect[] = []
    this.handled++
    this.machine.handle(event, this.life.now, out)
    this.cluster.check(this.machine)
    this.#arm()
    this.#carryOut(out)
  }

  /** Rows are written together up to the next other effect, which waits until they are there for good. */
  #carryOut(out: HeadEffect[]): void {
    const kept = out.filter((effect): effect is Persist => effect.is === 'persist')
    const { cluster, life } = this
    this.#durableAt = Math.max(
      this.#durableAt,
      cluster.agenda.now + (kept.length > 0 ? cluster.random.around(cluster.settings.writeDelay) : 0),
    )
    const batches = this.#batches
    batches.push(() => {
      for (const { table, key, row } of kept) this.#write(table, key, row)
      for (const effect of out) this.#effect(effect)
    })
    // In order: the times of two that are due at once are rounded each by itself.
    life.after(this.#durableAt - cluster.agenda.now, () => batches.shift()?.())
  }
  #write(table: string, key: string, row: unknown): void {
    let rows = this.#kept.get(table)
    if (rows === undefined) this.#kept.set(table, (rows = new Map()))
    if (row === null) rows.delete(key)
    else rows.set(key, structuredClone(row))
  }

  #effect(effect: HeadEffect): void {
    if (effect.is === 'send') this.#send(nodeOf(effect.to), { is: 'deliver', to: effect.to, message: effect.message })
    else if (effect.is === 'toNode') this.#send(effect.nodeId, { is: 'toNode', event: effect.event })
    else if (effect.is === 'toDaemon') this.#send(effect.nodeId, effect.message)
    else if (effect.is === 'forget') this.life.after(0, () => this.#links.forget(effect.nodeId))
  }

  #send(nodeId: NodeId, message: Control): void {
    const outbox = this.#outboxes.get(nodeId)
    if (outbox !== undefined) {
      outbox.push({ is: 'control', message })
      return
    }
    const items: Packet['items'] = [{ is: 'control', message }]
    this.#outboxes.set(nodeId, items)
    this.life.after(0, () => {
      this.#outboxes.delete(nodeId)
      this.#links.send(nodeId, new Packet(items))
    })
  }

  #arm(): void {
    const due = this.machine.deadline()
    if (due === null || due >= this.#tickAt) return
    this.#tickAt = due
    this.life.at(due, () => {
      if (this.#tickAt !== due) return
      this.#tickAt = Number.POSITIVE_INFINITY
      this.#handle({ is: 'tick' })
    })
  }
}
