// SPDX-License-Identifier: Apache-2.0
// Who is to hear of which placement group: processes, and nodes for the work that waits there. Kept in memory only.

import { nodeOf, ownerOf } from '../../ids.js'
import type { GroupView, NodeId, WorkerId } from '../../wire/messages.js'
import type { HeadEffect } from './events.js'
import { Watchers } from './watchers.js'

export type GroupWatcher = { process: WorkerId } | { nodeId: NodeId }

export class GroupWatchers {
  readonly #processes = new Watchers()
  readonly #nodes = new Map<string, Set<NodeId>>()
  /** Watched, by the process that made it or may do so. */
  readonly #byOwner = new Map<WorkerId, Set<string>>()

  add(groupId: string, watcher: GroupWatcher): void {
    const owner = ownerOf(groupId)
    this.#byOwner.set(owner, (this.#byOwner.get(owner) ?? new Set()).add(groupId))
    if ('process' in watcher) this.#processes.add(groupId, watcher.process)
    else this.#nodes.set(groupId, (this.#nodes.get(groupId) ?? new Set()).add(watcher.nodeId))
  }

  get size(): number {
    return this.#processes.size + this.#nodes.size + this.#byOwner.size
  }

  /** Processes there that made watched ones, or were to make them. */
  ownersOn(nodeId: NodeId): WorkerId[] {
    return [...this.#byOwner.keys()].filter(owner => nodeOf(owner) === nodeId)
  }

  /** Watched ones that this process made, or was to make. */
  groupsOf(owner: WorkerId): string[] {
    return [...(this.#byOwner.get(owner) ?? [])]
  }

  tell(groupId: string, view: GroupView | null, out: HeadEffect[]): void {
    for (const process of this.#processes.of(groupId)) this.tellOne(groupId, { process }, view, out)
    for (const nodeId of this.#nodes.get(groupId) ?? []) this.tellOne(groupId, { nodeId }, view, out)
  }

  tellOne(groupId: string, watcher: GroupWatcher, view: GroupView | null, out: HeadEffect[]): void {
    if ('process' in watcher) out.push({ is: 'send', to: watcher.process, message: { is: 'groupState', groupId, view } })
    else out.push({ is: 'toNode', nodeId: watcher.nodeId, event: { is: 'groupChanged', groupId, view } })
  }

  /** Nothing of it changes any more. */
  drop(groupId: string): void {
    this.#processes.drop(groupId)
    this.#nodes.delete(groupId)
    const owner = ownerOf(groupId)
    const made = this.#byOwner.get(owner)
    made?.delete(groupId)
    if (made?.size === 0) this.#byOwner.delete(owner)
  }

  processGone(process: WorkerId): void {
    this.#processes.processGone(process)
  }

  nodeGone(nodeId: NodeId): void {
    this.#processes.nodeGone(nodeId)
    for (const [groupId, nodes] of this.#nodes) if (nodes.delete(nodeId) && nodes.size === 0) this.#nodes.delete(groupId)
  }
}
