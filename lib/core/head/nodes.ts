// SPDX-License-Identifier: Apache-2.0
// The nodes of the cluster: who belongs to it, what each has, and who has fallen silent. Where the head is embedded there
// is one, in the same process, which tells what is free when asked.
//
// Invariants: the dead never come back (whoever was declared dead and speaks again is fenced); a node gets work only
// after it has told what lives there; each hears of every change of a view once, in order.

import { WORKER_ID_DIGITS } from '../../ids.js'
import { limits } from '../../options.js'
import type { Beat, NodeId, NodeView, Register, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import { allLabels } from '../policy/labels.js'
import type { NodeState } from '../policy/node-state.js'
import { isEqual, toAmounts } from '../resources.js'
import type { HeadEffect, HeadOptions } from './events.js'
import { copyOf, type Lost, type NodeEntry, newEntry, recount, rowOfNode } from './node-entry.js'
import { rowsOf, type Tables } from './tables.js'

/** The node in the same process. */
export interface LocalNode {
  readonly nodeId: NodeId
  readonly address: string
  readonly labels: Record<string, string>
  /** What there is and what is free now, as users write it. */
  readonly resources: () => { resources: Record<string, number>; available: Record<string, number> }
}

export class Nodes {
  readonly #options: HeadOptions
  readonly #entries = new Map<NodeId, NodeEntry>()
  #local: LocalNode | null = null
  /** Oldest first. */
  readonly #dead = new Set<NodeId>()
  #version = 0
  #viewsAt: Millis | null = null
  #silenceAt: Millis | null = null

  constructor(options: HeadOptions) {
    this.#options = options
  }

  setLocal(node: LocalNode): void {
    this.#local = node
  }

  restore(tables: Tables, now: Millis): void {
    const seen = new Map(rowsOf<{ seen: number }>(tables, 'seen'))
    for (const [nodeId, view] of rowsOf<NodeView>(tables, 'nodes')) {
      const entry = newEntry({ ...view, available: { ...view.total } }, now)
      entry.seen = seen.get(nodeId)?.seen ?? 0
      entry.version = ++this.#version
      this.#entries.set(nodeId, entry)
      if (view.state === 'dead') this.#dead.add(nodeId)
    }
    this.#watchSilence(now)
  }

  get(nodeId: NodeId): NodeEntry | undefined {
    return this.#entries.get(nodeId)
  }

  isAlive(nodeId: NodeId): boolean {
    const entry = this.#entries.get(nodeId)
    return entry !== undefined && entry.view.state !== 'dead'
  }

  /** Those that take new work. */
  open(): NodeView[] {
    const views: NodeView[] = []
    for (const { view, synced } of this.#entries.values()) if (synced && view.state === 'alive') views.push(view)
    return views
  }

  /** Those that bundles may be placed on: as `open`, or the node in the same process. */
  placeable(): NodeState[] {
    if (this.#local === null) return this.open()
    const { nodeId, labels, resources } = this.#local
    const { resources: total, available } = resources()
    return [{ nodeId, daemonId: this.daemonOf(nodeId), state: 'alive', labels, total: toAmounts(total), available: toAmounts(available) }]
  }

  /** Of a node in the same process only that it is of that node. */
  daemonOf(nodeId: NodeId): WorkerId {
    return this.#entries.get(nodeId)?.view.daemonId ?? nodeId.padEnd(WORKER_ID_DIGITS, '0')
  }

  *living(): Generator<NodeEntry> {
    for (const entry of this.#entries.values()) if (entry.view.state !== 'dead') yield entry
  }

  /** Gives the entry, or null when the node was refused. */
  register(nodeId: NodeId, message: Register, now: Millis, out: HeadEffect[]): NodeEntry | null {
    const known = this.#entries.get(nodeId)
    const refusal = this.#refusal(known, message)
    if (refusal !== null) {
      out.push({ is: 'toDaemon', nodeId, message: { is: 'fenced', why: refusal } })
      if (!this.isAlive(nodeId)) out.push({ is: 'forget', nodeId })
      return null
    }
    const entry = known ?? newEntry(copyOf(message.node), now)
    if (known === undefined) {
      this.#entries.set(nodeId, entry)
      out.push({ is: 'persist', table: 'nodes', key: nodeId, row: copyOf(entry.view) })
    }
    entry.lastHeard = now
    entry.linked = true
    entry.synced = false
    entry.toldVersion = -1
    entry.told = message.node.available
    entry.view.address = message.node.address
    entry.view.dataAddress = message.node.dataAddress
    recount(entry)
    const { clusterId, epoch, nodeDeadAfterMs } = this.#options
    const dead = [...this.#dead]
    out.push({ is: 'toDaemon', nodeId, message: { is: 'registered', clusterId, epoch, seen: entry.seen, nodeDeadAfterMs, dead } })
    this.#watchSilence(now)
    return entry
  }

  synced(entry: NodeEntry, now: Millis, out: HeadEffect[]): void {
    entry.synced = true
    this.changed(entry, now)
    entry.toldVersion = this.#version
    out.push({ is: 'toDaemon', nodeId: entry.view.nodeId, message: { is: 'view', full: true, nodes: this.#changedSince(-1) } })
  }

  beat(entry: NodeEntry, { available, demand }: Beat, now: Millis): void {
    entry.demand = demand
    entry.told = available
    recount(entry)
    if (isEqual(entry.shown, available)) return
    entry.shown = available
    this.changed(entry, now)
  }

  /** What an actor that was placed there will hold, until the node answers. */
  reserve(nodeId: NodeId, actorId: string, amounts: NodeView['available']): void {
    const entry = this.#entries.get(nodeId)
    if (entry === undefined) return
    entry.reserved.set(actorId, amounts)
    recount(entry)
  }

  /** It answered. What it holds now it tells with its next beat; until then the amounts stay taken. */
  answered(nodeId: NodeId, actorId: string, isHeld: boolean): void {
    const entry = this.#entries.get(nodeId)
    const amounts = entry?.reserved.get(actorId)
    if (entry === undefined || amounts === undefined) return
    entry.reserved.delete(actorId)
    if (isHeld) {
      entry.told = { ...entry.told }
      for (const name in amounts) entry.told[name] = (entry.told[name] ?? 0) - (amounts[name] as number)
    }
    recount(entry)
  }

  /** Gives false when there is no such node that lives. */
  drain(nodeId: NodeId, now: Millis, out: HeadEffect[]): boolean {
    const entry = this.#entries.get(nodeId)
    if (entry === undefined || entry.view.state === 'dead') return false
    if (entry.view.state === 'draining') return true
    entry.view.state = 'draining'
    out.push({ is: 'persist', table: 'nodes', key: nodeId, row: copyOf(entry.view) })
    this.changed(entry, now)
    return true
  }

  /** All that is left of it is its row. The caller tells everybody. */
  die({ nodeId, why }: Lost, now: Millis, out: HeadEffect[]): void {
    const entry = this.#entries.get(nodeId) as NodeEntry
    entry.view.state = 'dead'
    entry.view.deathCause = why
    entry.linked = entry.synced = entry.unacknowledged = false
    entry.reserved.clear()
    entry.demand = []
    out.push({ is: 'persist', table: 'nodes', key: nodeId, row: copyOf(entry.view) })
    out.push({ is: 'persist', table: 'seen', key: nodeId, row: null })
    this.changed(entry, now)
    this.#dead.add(nodeId)
    if (this.#dead.size <= limits.deadNodesKept) return
    const oldest = [...this.#dead][0] as NodeId
    this.#dead.delete(oldest)
    this.#entries.delete(oldest)
    out.push({ is: 'persist', table: 'nodes', key: oldest, row: null })
  }

  /** Those that have been silent for too long. */
  silent(now: Millis): Lost[] {
    if (this.#silenceAt === null || now < this.#silenceAt) return []
    const { nodeDeadAfterMs } = this.#options
    const late = now - this.#silenceAt
    const lost: Lost[] = []
    for (const entry of this.living()) {
      // Who was stopped itself has heard nobody, and gives all the time that it missed.
      if (late > this.#every) entry.lastHeard = Math.min(now, entry.lastHeard + late)
      if (now - entry.lastHeard < nodeDeadAfterMs) continue
      lost.push({ nodeId: entry.view.nodeId, why: `nothing was heard of it for ${nodeDeadAfterMs} ms` })
    }
    this.#silenceAt = null
    this.#watchSilence(now)
    return lost
  }

  /** Tells everybody what changed since they were told last, at most so often. */
  tellViews(now: Millis, out: HeadEffect[]): void {
    if (this.#viewsAt === null || now < this.#viewsAt) return
    this.#viewsAt = null
    const since = new Map<number, NodeView[]>()
    for (const entry of this.#entries.values()) {
      if (!entry.synced || entry.toldVersion === this.#version) continue
      let nodes = since.get(entry.toldVersion)
      if (nodes === undefined) since.set(entry.toldVersion, (nodes = this.#changedSince(entry.toldVersion)))
      out.push({ is: 'toDaemon', nodeId: entry.view.nodeId, message: { is: 'view', full: false, nodes } })
      entry.toldVersion = this.#version
    }
  }

  deadline(): Millis | null {
    return this.#viewsAt === null ? this.#silenceAt : Math.min(this.#viewsAt, this.#silenceAt ?? this.#viewsAt)
  }

  /** Those that live, and what they owe answers for. */
  get size(): number {
    let size = 0
    for (const { reserved } of this.living()) size += 1 + reserved.size
    return size
  }

  rows(): unknown[] {
    if (this.#local === null) return [...this.#entries.values()].map(rowOfNode)
    const { nodeId, address, labels, resources } = this.#local
    return [{ nodeId, address, alive: true, ...resources(), labels: allLabels({ nodeId, labels }) }]
  }

  invariants(): void {
    for (const [nodeId, { view, synced, linked }] of this.#entries) {
      assert(!synced || linked, 'a node is synced that is not registered')
      assert((view.state === 'dead') === this.#dead.has(nodeId), 'the list of dead nodes is wrong')
      assert((view.state === 'dead') === (view.deathCause !== null), `a ${view.state} node has ${view.deathCause ?? 'no cause of death'}`)
    }
  }

  changed(entry: NodeEntry, now: Millis): void {
    entry.version = ++this.#version
    this.#viewsAt ??= now + limits.viewEveryMs * Math.max(1, this.#entries.size / limits.viewNodesPerInterval)
  }

  #refusal(known: NodeEntry | undefined, { clusterId, node }: Register): string | null {
    if (clusterId !== null && clusterId !== this.#options.clusterId) return 'its cluster is gone: the head that answers keeps another'
    if (known === undefined) return clusterId === null ? null : 'it was declared dead so long ago that it is forgotten'
    if (known.view.state === 'dead') return `it was declared dead: ${known.view.deathCause}`
    if (known.view.daemonId !== node.daemonId) return 'another node has this id'
    return null
  }

  #changedSince(version: number): NodeView[] {
    const nodes: NodeView[] = []
    for (const entry of this.#entries.values()) {
      if (entry.version > version && (version >= 0 || entry.view.state !== 'dead')) nodes.push(copyOf(entry.view))
    }
    return nodes
  }

  get #every(): Millis {
    return Math.min(limits.silenceCheckMs, this.#options.nodeDeadAfterMs / 4)
  }

  #watchSilence(now: Millis): void {
    if (this.#silenceAt === null && !this.living().next().done) this.#silenceAt = now + this.#every
  }
}
