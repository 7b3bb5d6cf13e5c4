// SPDX-License-Identifier: Apache-2.0
// Placement groups: all bundles of a group are there, or nothing is held for it. Two phases. The nodes that the policy
// chose set their bundles aside and say so; when all have, that is kept, and they are told to serve. If one refuses or
// dies, the others give theirs back, and it is tried anew.
//
// Invariants: a node is told to serve only after the group's seats are kept; what a node holds for a group and no seat
// names goes back, whenever the head hears of it; at most one living group of a name and namespace.

import { ownerOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { Amounts, BundleNeed, BundleSeat, GroupPhase, GroupSpec, GroupView, NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import { type Millis, soonest } from '../machine.js'
import type { GroupToNode } from '../node/group-events.js'
import { bundlesPossible, placeBundles } from '../policy/bundles.js'
import { whyNoBundles } from '../policy/explain.js'
import { add, describeAmounts, fits } from '../resources.js'
import type { HeadEffect, HeadOptions } from './events.js'
import { type Attempt, checkGroup, type Group, type GroupRow, newGroup, rowOfGroup, viewOf } from './group.js'
import { type GroupWatcher, GroupWatchers } from './group-watchers.js'
import type { Nodes } from './nodes.js'
import { rowsOf, type Tables } from './tables.js'

export class Groups {
  readonly #options: HeadOptions
  readonly #nodes: Nodes
  readonly #byId = new Map<string, Group>()
  readonly #byName = new Map<string, Group>()
  /** Oldest first. */
  readonly #removed = new Set<string>()
  /** Those to be placed that are not being tried: first those that have lost bundles. */
  readonly #waiting = new Set<Group>()
  readonly #watchers = new GroupWatchers()
  readonly #lives: (workerId: WorkerId) => boolean
  #attempts = 0
  #turn = 0
  #retryAt: Millis | null = null

  /** `lives` tells whether that process may still create groups. */
  constructor(options: HeadOptions, nodes: Nodes, lives: (workerId: WorkerId) => boolean) {
    this.#options = options
    this.#nodes = nodes
    this.#lives = lives
  }

  restore(tables: Tables): void {
    for (const [groupId, row] of rowsOf<GroupRow>(tables, 'groups')) {
      const group: Group = { ...newGroup(row.spec), ...row }
      this.#byId.set(groupId, group)
      if (group.phase === 'removed') this.#removed.add(groupId)
      else if (group.spec.name !== null) this.#byName.set(nameKey(group.spec.namespace, group.spec.name), group)
      if (group.phase === 'pending' || group.phase === 'rescheduling') this.#waiting.add(group)
    }
  }

  create(spec: GroupSpec, now: Millis, out: HeadEffect[]): void {
    const { groupId, name, namespace } = spec
    if (this.#byId.has(groupId)) return
    const group = newGroup(spec)
    this.#byId.set(groupId, group)
    if (name !== null && this.#byName.has(nameKey(namespace, name))) {
      const why = `a placement group named ${JSON.stringify(name)} lives in the namespace ${JSON.stringify(namespace)} already`
      return this.#end(group, why, out)
    }
    if (name !== null) this.#byName.set(nameKey(namespace, name), group)
    this.#save(group, out)
    this.#place(group, now, out)
    this.#tell(group, out)
  }

  /** Gives false when there is no such group that lives. */
  remove(groupId: string, why: string, out: HeadEffect[]): boolean {
    const group = this.#byId.get(groupId)
    if (group === undefined || group.phase === 'removed') return false
    this.#end(group, why, out)
    return true
  }

  /** What the job made and is not detached. Gives their ids. */
  jobEnded(jobId: string, out: HeadEffect[]): string[] {
    const ended = [...this.#byId.values()].filter(({ spec, phase }) => spec.jobId === jobId && !spec.detached && phase !== 'removed')
    for (const group of ended) this.#end(group, 'the job that made it ended', out)
    return ended.map(({ spec }) => spec.groupId)
  }

  named(name: string, namespace: string): GroupView | null {
    const group = this.#byName.get(nameKey(namespace, name))
    return group === undefined ? null : this.#view(group)
  }

  /** A process, or a node for work that waits there, is to hear of that group. Gives true when whoever may create it is to be watched. */
  watch(groupId: string, watcher: GroupWatcher, out: HeadEffect[]): boolean {
    const group = this.#byId.get(groupId)
    // Whose creation may be under way still is waited for.
    const unborn = group === undefined && this.#lives(ownerOf(groupId))
    if (unborn || (group !== undefined && group.phase !== 'removed')) this.#watchers.add(groupId, watcher)
    if (!unborn) this.#watchers.tellOne(groupId, watcher, group === undefined ? null : this.#view(group), out)
    return unborn
  }

  processDied(process: WorkerId, out: HeadEffect[]): void {
    this.#watchers.processGone(process)
    this.#neverMade(process, out)
  }

  /** What that process was to make, and others wait for. */
  #neverMade(process: WorkerId, out: HeadEffect[]): void {
    for (const groupId of this.#watchers.groupsOf(process)) {
      if (this.#byId.has(groupId)) continue
      this.#watchers.tell(groupId, null, out)
      this.#watchers.drop(groupId)
    }
  }

  prepared(nodeId: NodeId, groupId: string, attempt: string, out: HeadEffect[]): void {
    const group = this.#byId.get(groupId)
    const trying = group?.attempt
    if (group === undefined || trying?.id !== attempt || !trying.nodes.has(nodeId)) return this.#stray(nodeId, groupId, attempt, out)
    trying.prepared.add(nodeId)
    if (trying.prepared.size === trying.nodes.size) this.#created(group, trying, out)
  }

  refused(nodeId: NodeId, groupId: string, attempt: string, now: Millis, out: HeadEffect[]): void {
    const group = this.#byId.get(groupId)
    if (group?.attempt?.id !== attempt || !group.attempt.nodes.has(nodeId)) return
    group.refusedBy.add(nodeId)
    this.#giveUp(group, nodeId, out)
    this.#place(group, now, out)
  }

  /** Gives those that lost bundles. */
  nodeDied(nodeId: NodeId, now: Millis, out: HeadEffect[]): void {
    this.#watchers.nodeGone(nodeId)
    for (const process of this.#watchers.ownersOn(nodeId)) this.#neverMade(process, out)
    for (const group of [...this.#byId.values()]) {
      const lost = group.phase !== 'removed' && group.seats.some(seat => seat?.nodeId === nodeId)
      const tried = group.attempt?.nodes.has(nodeId) ?? false
      if (!lost && !tried) continue
      // What an attempt was to place is another set of bundles now.
      if (group.attempt !== null) this.#giveUp(group, nodeId, out)
      if (lost) this.#unseat(group, nodeId, out)
      this.#place(group, now, out)
    }
  }

  /** What that node holds, after it has registered (again). */
  synced(nodeId: NodeId, reported: readonly BundleSeat[], now: Millis, out: HeadEffect[]): void {
    const held = new Set(reported.map(({ groupId, attempt, index }) => `${groupId} ${attempt} ${index}`))
    const attempts = new Map(reported.map(({ groupId, attempt }) => [`${groupId} ${attempt}`, { groupId, attempt }]))
    for (const { groupId, attempt } of attempts.values()) this.prepared(nodeId, groupId, attempt, out)
    for (const group of [...this.#byId.values()]) {
      const { groupId } = group.spec
      const missing = group.seats.some((seat, index) => seat?.nodeId === nodeId && !held.has(`${groupId} ${seat.attempt} ${index}`))
      if (group.phase === 'removed' || !missing) continue
      if (group.attempt !== null) this.#giveUp(group, null, out)
      this.#unseat(group, nodeId, out)
      this.#place(group, now, out)
    }
  }

  /** Something changed on the nodes. */
  retry(now: Millis, out: HeadEffect[]): void {
    this.#retryAt = null
    /** What there is no room for now, by the group for which it was looked. */
    const full = new Map<string, Group>()
    for (const group of [...this.#waiting].sort((a, b) => Number(a.phase === 'pending') - Number(b.phase === 'pending'))) {
      const need = `${group.spec.strategy} ${group.seats.map(seat => seat?.nodeId ?? '')} ${group.spec.bundles.map(describeAmounts)}`
      group.refusedBy.clear()
      const like = full.get(need)
      if (like === undefined) this.#place(group, now, out)
      else this.#cannot(group, like.nowhere.holds, like.why, now, out)
      if (this.#waiting.has(group)) full.set(need, group)
    }
  }

  tick(now: Millis, out: HeadEffect[]): void {
    if (this.#retryAt !== null && now >= this.#retryAt) this.retry(now, out)
    for (const group of this.#waiting) this.#warn(group, now, out)
  }

  deadline(): Millis | null {
    const due = [this.#retryAt]
    for (const { nowhere } of this.#waiting) due.push(nowhere.warnAt(this.#warnAfterMs))
    return soonest(due)
  }

  /** Why it is not there yet, in words; null for one that is, and for one that is not known. */
  placement(groupId: string): string | null {
    const group = this.#byId.get(groupId)
    return group === undefined || group.phase === 'created' || group.phase === 'removed' ? null : describeWaiting(group)
  }

  /** The node for an actor in that bundle, or in any (-1); null when none is there now. */
  locate(groupId: string, index: number, need: Amounts, refusedBy: ReadonlySet<NodeId>): NodeId | null {
    const group = this.#byId.get(groupId)
    if (group === undefined) return null
    const seats = ableBundles(group, index, need).flatMap(i => group.seats[i] ?? [])
    const open = seats.filter(({ nodeId }) => !refusedBy.has(nodeId))
    return open[this.#turn++ % open.length]?.nodeId ?? null
  }

  /** Why nothing will ever run in it; null while something may. */
  hopeless(groupId: string): string | null {
    const group = this.#byId.get(groupId)
    if (group === undefined) return this.#lives(ownerOf(groupId)) ? null : `there is no placement group ${groupId}`
    return group.phase === 'removed' ? `the placement group ${groupId} was removed: ${group.why}` : null
  }

  phaseOf(groupId: string): GroupPhase | 'not there yet' {
    return this.#byId.get(groupId)?.phase ?? 'not there yet'
  }

  /** Entries of all tables, but for those that were removed and are remembered. */
  get size(): number {
    return this.#byId.size - this.#removed.size + this.#byName.size + this.#waiting.size + this.#watchers.size
  }

  rows(): unknown[] {
    return [...this.#byId.values()].map(rowOfGroup)
  }

  invariants(): void {
    for (const group of this.#byId.values()) {
      checkGroup(group)
      const { phase, attempt, spec } = group
      assert((phase === 'removed') === this.#removed.has(spec.groupId), 'the list of removed groups is wrong')
      const isIncomplete = phase === 'pending' || phase === 'rescheduling'
      assert(isIncomplete === (this.#waiting.has(group) !== (attempt !== null)), `a ${phase} group neither waits nor is tried, or both`)
    }
    for (const { phase } of this.#byName.values()) assert(phase !== 'removed', 'a removed group holds a name')
  }

  #place(group: Group, now: Millis, out: HeadEffect[]): void {
    const unplaced = new Map(group.spec.bundles.flatMap((amounts, index) => (group.seats[index] === null ? [[index, amounts]] : [])))
    const taken = new Set(group.seats.flatMap(seat => (seat === null ? [] : [seat.nodeId])))
    const views = this.#nodes.placeable()
    const open = views.filter(({ nodeId }) => !group.refusedBy.has(nodeId))
    const placed = placeBundles(unplaced, group.spec.strategy, open, taken)
    if (placed === null) {
      const { strategy } = group.spec
      const isPossible = bundlesPossible(unplaced, strategy, views, taken)
      const why = isPossible ? 'there is no room for all of its bundles now' : whyNoBundles(unplaced, strategy, views, taken.size)
      this.#waiting.add(group)
      this.#cannot(group, !isPossible, why, now, out)
      // The node in the same process does not tell what becomes free.
      if (this.#options.nodeId !== null) this.#retryAt ??= now + limits.groupRetryMs
      return
    }
    this.#waiting.delete(group)
    group.why = null
    group.nowhere.found(true, now)
    const nodes = new Map<NodeId, number[]>()
    for (const [index, { nodeId }] of placed) nodes.set(nodeId, [...(nodes.get(nodeId) ?? []), index])
    const attempt: Attempt = { id: `${this.#options.epoch}.${++this.#attempts}`, nodes, prepared: new Set() }
    group.attempt = attempt
    for (const [nodeId, indexes] of nodes) this.#prepare(group, attempt, nodeId, indexes, out)
  }

  #cannot(group: Group, nowhere: boolean, why: string | null, now: Millis, out: HeadEffect[]): void {
    group.why = why
    group.nowhere.found(!nowhere, now)
    this.#warn(group, now, out)
  }

  /** Where nodes may join, after a while. */
  #warn(group: Group, now: Millis, out: HeadEffect[]): void {
    if (!group.nowhere.warns(now, this.#warnAfterMs)) return
    const text = `${describeWaiting(group)}. It waits until ${this.#options.nodeId === null ? 'nodes join that can' : 'it is removed'}`
    out.push({ is: 'send', to: ownerOf(group.spec.groupId), message: { is: 'warning', text } })
  }

  get #warnAfterMs(): number {
    return this.#options.nodeId === null ? limits.infeasibleWarnAfterMs : 0
  }

  #prepare({ spec }: Group, { id }: Attempt, nodeId: NodeId, indexes: readonly number[], out: HeadEffect[]): void {
    const bundles: BundleNeed[] = indexes.map(index => ({ index, amounts: spec.bundles[index] as Amounts }))
    const sum: Amounts = {}
    for (const { amounts } of bundles) add(sum, amounts)
    this.#nodes.reserve(nodeId, id, sum)
    this.#toNode(nodeId, { is: 'bundlePrepare', groupId: spec.groupId, attempt: id, bundles }, out)
  }

  #created(group: Group, { id, nodes }: Attempt, out: HeadEffect[]): void {
    group.attempt = null
    group.phase = 'created'
    group.refusedBy.clear()
    for (const [nodeId, indexes] of nodes) {
      for (const index of indexes) group.seats[index] = { nodeId, attempt: id }
      this.#nodes.answered(nodeId, id, true)
    }
    this.#save(group, out)
    for (const nodeId of nodes.keys()) this.#toNode(nodeId, { is: 'bundleCommit', groupId: group.spec.groupId, attempt: id }, out)
    this.#tell(group, out)
  }

  /** Whoever was asked gives back what it set aside, but for the node that has nothing of it. */
  #giveUp(group: Group, but: NodeId | null, out: HeadEffect[]): void {
    const { id, nodes } = group.attempt as Attempt
    group.attempt = null
    for (const nodeId of nodes.keys()) {
      this.#nodes.answered(nodeId, id, false)
      if (nodeId !== but) this.#return(nodeId, group.spec.groupId, id, 'its placement group is placed elsewhere', out)
    }
    this.#waiting.add(group)
  }

  #unseat(group: Group, nodeId: NodeId, out: HeadEffect[]): void {
    for (const [index, seat] of group.seats.entries()) if (seat?.nodeId === nodeId) group.seats[index] = null
    group.phase = 'rescheduling'
    this.#waiting.add(group)
    this.#save(group, out)
    this.#tell(group, out)
  }

  /** Bundles that a node says it has: they serve if a seat names them, and otherwise go back. */
  #stray(nodeId: NodeId, groupId: string, attempt: string, out: HeadEffect[]): void {
    const seats = this.#byId.get(groupId)?.seats ?? []
    if (seats.some(seat => seat?.nodeId === nodeId && seat.attempt === attempt)) {
      this.#toNode(nodeId, { is: 'bundleCommit', groupId, attempt }, out)
    } else this.#return(nodeId, groupId, attempt, 'its placement group does not need these bundles', out)
  }

  #end(group: Group, why: string, out: HeadEffect[]): void {
    const { groupId, name, namespace } = group.spec
    const nodes = new Set([...group.seats.flatMap(seat => (seat === null ? [] : [seat.nodeId])), ...(group.attempt?.nodes.keys() ?? [])])
    for (const nodeId of group.attempt?.nodes.keys() ?? []) this.#nodes.answered(nodeId, (group.attempt as Attempt).id, false)
    group.attempt = null
    group.phase = 'removed'
    group.why = why
    group.seats.fill(null)
    this.#waiting.delete(group)
    if (name !== null && this.#byName.get(nameKey(namespace, name)) === group) this.#byName.delete(nameKey(namespace, name))
    this.#save(group, out)
    for (const nodeId of nodes) this.#return(nodeId, groupId, null, `its placement group was removed: ${why}`, out)
    this.#tell(group, out)
    this.#watchers.drop(groupId)
    this.#removed.add(groupId)
    if (this.#removed.size > limits.removedGroupsKept) this.#forget([...this.#removed][0] as string, out)
  }

  #forget(groupId: string, out: HeadEffect[]): void {
    this.#removed.delete(groupId)
    this.#byId.delete(groupId)
    out.push({ is: 'persist', table: 'groups', key: groupId, row: null })
  }

  #return(nodeId: NodeId, groupId: string, attempt: string | null, why: string, out: HeadEffect[]): void {
    this.#toNode(nodeId, { is: 'bundleReturn', groupId, attempt, why }, out)
  }

  #toNode(nodeId: NodeId, event: GroupToNode, out: HeadEffect[]): void {
    out.push({ is: 'toNode', nodeId, event })
  }

  #save({ spec, phase, seats, why }: Group, out: HeadEffect[]): void {
    const row: GroupRow = { spec, phase, seats: [...seats], why: phase === 'removed' ? why : null }
    out.push({ is: 'persist', table: 'groups', key: spec.groupId, row })
  }

  #tell(group: Group, out: HeadEffect[]): void {
    this.#watchers.tell(group.spec.groupId, this.#view(group), out)
  }

  #view(group: Group): GroupView {
    return viewOf(group, nodeId => this.#nodes.daemonOf(nodeId))
  }
}

function ableBundles({ spec }: Group, index: number, need: Amounts): number[] {
  return spec.bundles.flatMap((bundle, i) => ((index < 0 || i === index) && fits(need, bundle) ? [i] : []))
}

function describeWaiting({ spec, phase, why }: Group): string {
  return `Placement group ${spec.name ?? spec.groupId} (${spec.strategy}) is ${phase}: ${why ?? 'its bundles are being set aside'}`
}

function nameKey(namespace: string, name: string): string {
  return `${namespace}\0${name}`
}
