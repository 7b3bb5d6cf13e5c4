// SPDX-License-Identifier: Apache-2.0
// Work that finds another node. What an owner of this node wants stays here while the node is less than half full, and
// goes where there is room after that: its owner is told whom to ask. What an owner of another node wants waits here a
// moment; then, if there is room elsewhere, it is refused, and its own node decides again.
//
// So nothing is sent round in circles: only the owner's node sends work away, a node that has none of it refuses only
// after a while, and what was sent to a node counts as taken there until that node has told of it.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { Amounts, WorkerId } from '../../wire/messages.js'
import { differs } from '../fair.js'
import type { Millis } from '../machine.js'
import type { NodeState } from '../policy/node-state.js'
import { feasibleNodes, pickMany } from '../policy/pick.js'
import { mix, seedOf } from '../policy/random.js'
import { fits, subtract } from '../resources.js'
import type { Bundles } from './bundles.js'
import type { ClusterView } from './cluster-view.js'
import type { NodeEffect } from './events.js'
import { type GroupWork, groupOf } from './group-work.js'
import { demandOf } from './impossible.js'
import type { Ledger } from './ledger.js'
import type { Request, Requests } from './requests.js'

export interface SpilloverParts {
  readonly cluster: ClusterView
  readonly requests: Requests
  readonly ledger: Ledger
  readonly bundles: Bundles
  readonly groups: GroupWork
}

export class Spillover {
  readonly #cluster: ClusterView
  readonly #requests: Requests
  readonly #ledger: Ledger
  readonly #bundles: Bundles
  readonly #groups: GroupWork
  /** Another one on each node: or all would choose the same nodes in the same order. */
  #turn: number
  /** Of SPREAD, raised by one with each that has found its node: the next goes to the next. */
  #spreadTurn: number
  #deadline: Millis = Number.POSITIVE_INFINITY

  constructor({ cluster, requests, ledger, bundles, groups }: SpilloverParts) {
    this.#cluster = cluster
    this.#turn = this.#spreadTurn = seedOf(cluster.own.nodeId)
    this.#requests = requests
    this.#ledger = ledger
    this.#bundles = bundles
    this.#groups = groups
  }

  /** Sends away what is better served elsewhere, and refuses what has waited here for others long enough. To be called before each round of grants. */
  pass(now: Millis, out: NodeEffect[]): void {
    this.#deadline = Number.POSITIVE_INFINITY
    for (const request of [...this.#requests.all()]) if (groupOf(request) !== null) this.#inGroup(request, now, out)
    if (this.#cluster.alone) return
    const left = { ...this.#ledger.available }
    for (const request of [...this.#requests.all()]) {
      if (request.class === null || groupOf(request) !== null) continue
      if (this.isForeign(request.owner)) this.#guest(request, left, now, out)
      else this.#own(request, left, now, out)
    }
  }

  /** Whether it is a process of another node. */
  isForeign(owner: WorkerId): boolean {
    return nodeOf(owner) !== this.#cluster.own.nodeId
  }

  deadline(): Millis | null {
    return this.#deadline === Number.POSITIVE_INFINITY ? null : this.#deadline
  }

  /** Takes what stays here off `left`. */
  #own(request: Request, left: Amounts, now: Millis, out: NodeEffect[]): void {
    const { need, added } = request
    const { own } = this.#cluster
    const open = own.state === 'alive' && !request.notHere && this.#ledger.devices.fits(need.GPU ?? 0)
    // What was asked for anew is looked at as a whole, the rest only as far as this node cannot serve it now.
    const staying = added > 0 || !open ? 0 : take(need, request.count, left)
    const rest = request.count - staying
    request.added = 0
    if (rest === 0) return
    const isSpread = request.where?.strategy.is === 'spread'
    // Its owner has no worker for it: what was sent before is done.
    if (isSpread && request.held === 0 && added === request.count) this.#cluster.cameBack(sentFor(request))
    const here: NodeState = { ...own, available: open ? { ...left } : {} }
    const [, ...others] = this.#cluster.states(now)
    const spill = new Spill(request)
    const near = spill.add(others, request.class?.near ?? null, rest)
    const turn = isSpread ? this.#spreadTurn : this.#turn++
    const choice = pickMany(demandOf(request), rest - near, [here, ...spill.after(others)], { local: own.nodeId, turn })
    for (const [node, count] of choice.counts) if (node !== here) spill.to(node, count)
    if (isSpread) this.#spreadTurn += rest - near - choice.left
    take(need, choice.counts.get(here) ?? 0, left)
    const waitsHere = !request.notHere && own.state === 'alive' && choice.feasible.includes(here)
    const elsewhere = choice.feasible.filter(node => node !== here)
    if (choice.left > 0 && !waitsHere) spill.round(elsewhere, choice.left, this.#turn)
    else if (choice.left > 0 && isSpread) spill.round(elsewhere, partOfOthers(Math.min(added, choice.left), elsewhere.length), this.#turn++)
    else if (choice.left > 0) this.#spread(request, choice.left - take(need, choice.left, { ...own.total }), elsewhere, spill, now)
    this.#send(request, spill, now, out)
  }

  /**
   * More than this node can ever serve at once waits where it may be served as well. What comes back goes again, to others, at longer and
   * longer intervals while that gains nothing.
   */
  #spread(request: Request, excess: number, elsewhere: readonly NodeState[], spill: Spill, now: Millis): void {
    if (excess === 0 || elsewhere.length === 0) return
    const { guestRestMs, spreadMs } = limits
    request.spread ??= { held: request.held, at: now, every: spreadMs[0] }
    const { held, at, every } = request.spread
    const gained = differs(request.held, held)
    const due = at + (gained ? Math.min(every, guestRestMs) : every)
    if (now < due) {
      this.#deadline = Math.min(this.#deadline, due)
      return
    }
    const next = gained || every < guestRestMs ? guestRestMs : Math.min(2 * every, spreadMs[1])
    request.spread = { held: request.held, at: now, every: next }
    spill.round(elsewhere, excess, this.#turn)
  }

  #inGroup(request: Request, now: Millis, out: NodeEffect[]): void {
    if (request.actor !== null) return
    if (!this.isForeign(request.owner)) {
      const counts = this.#groups.pass(request, this.#turn++, out)
      if (counts !== null) this.#tell(request, counts, out)
      return
    }
    const { groupId, bundle } = groupOf(request) as NonNullable<ReturnType<typeof groupOf>>
    if (this.#bundles.of(groupId).some(each => each.state !== 'leaving' && (bundle < 0 || each.index === bundle))) return
    // Not at once: its own node may be about to hear where the bundles are now.
    const at = request.waitingSince + limits.guestWaitMs
    if (now < at) this.#deadline = Math.min(this.#deadline, at)
    else this.#refuse(request, request.count, out)
  }

  #send(request: Request, { counts }: Spill, now: Millis, out: NodeEffect[]): void {
    for (const [node, count] of counts) this.#cluster.sent(node.nodeId, request.need, count, now, sentFor(request))
    this.#tell(request, new Map([...counts].map(([node, count]) => [node.daemonId, count])), out)
  }

  #tell(request: Request, counts: ReadonlyMap<WorkerId, number>, out: NodeEffect[]): void {
    if (counts.size === 0) return
    for (const count of counts.values()) request.count -= count
    if (request.count === 0) this.#requests.remove(request.owner, request.key)
    const [to, each] = [[...counts.keys()], [...counts.values()]]
    out.push({ is: 'send', to: request.owner, message: { is: 'spill', classKey: request.key, to, counts: each } })
  }

  #refuse(request: Request, count: number, out: NodeEffect[]): void {
    request.count -= count
    if (request.count === 0) this.#requests.remove(request.owner, request.key)
    out.push({ is: 'send', to: request.owner, message: { is: 'wantRefused', classKey: request.key, count } })
  }

  #guest(request: Request, left: Amounts, now: Millis, out: NodeEffect[]): void {
    const closed = this.#cluster.own.state !== 'alive' || request.notHere
    const staying = closed ? 0 : take(request.need, request.count, left)
    const count = request.count - staying
    if (count === 0) return
    const since = Math.max(request.waitingSince, request.settledSince)
    const at = closed ? now : since + limits.guestWaitMs
    if (closed) return this.#refuse(request, count, out)
    if (now < at) {
      this.#deadline = Math.min(this.#deadline, at)
      return
    }
    // What has waited here in vain is tried elsewhere, where somebody may hold more; but for one, so that what gets free here is used at once.
    const restless = since + limits.guestRestMs
    const refused = request.hopeless && count > 1 && now >= restless ? count - 1 : this.#roomElsewhere(request, count, now)
    if (refused > 0) this.#refuse(request, refused, out)
    if (refused < count) this.#deadline = Math.min(this.#deadline, now + limits.guestWaitMs)
  }

  /** For how many of it, of that count, other nodes have room, which counts as taken then. */
  #roomElsewhere(request: Request, count: number, now: Millis): number {
    let room = 0
    for (const node of feasibleNodes(demandOf(request), this.#cluster.states(now))) {
      if (node === this.#cluster.own) continue
      const times = take(request.need, count - room, { ...node.available })
      if (times > 0) this.#cluster.sent(node.nodeId, request.need, times, now)
      room += times
      if (room === count) break
    }
    return room
  }
}

/** Takes the need off `left` up to `count` times; gives how often. */
function take(need: Amounts, count: number, left: Amounts): number {
  let times = 0
  for (; times < count && fits(need, left); times++) subtract(left, need)
  return times
}

/** Of so many that wait, each node has an equal part: how many are not this node's. */
function partOfOthers(count: number, others: number): number {
  return Math.floor((count * others) / (others + 1))
}

function sentFor({ owner, key }: Request): string {
  return `${owner} ${key}`
}

/** How many of the workers that a request wants are to be asked of each other node. */
class Spill {
  readonly counts = new Map<NodeState, number>()

  constructor(private readonly request: Request) {}

  to(node: NodeState, count: number): void {
    this.counts.set(node, (this.counts.get(node) ?? 0) + count)
  }

  /** To that node as many as it has room for; gives how many. */
  add(others: readonly NodeState[], nodeId: string | null, count: number): number {
    const node = nodeId === null ? undefined : others.find(each => each.nodeId === nodeId)
    if (node === undefined || feasibleNodes(demandOf(this.request), [node]).length === 0) return 0
    const times = take(this.request.need, count, { ...node.available })
    if (times > 0) this.to(node, times)
    return times
  }

  /** The others, less what goes to them. */
  after(others: readonly NodeState[]): NodeState[] {
    return others.map(node => {
      const count = this.counts.get(node) ?? 0
      if (count === 0) return node
      const available = { ...node.available }
      take(this.request.need, count, available)
      return { ...node, available }
    })
  }

  /** One to each in turn: they wait there. */
  round(nodes: readonly NodeState[], count: number, turn: number): void {
    if (nodes.length === 0) return
    const from = mix(turn)
    for (let i = 0; i < count; i++) this.to(nodes[(from + i) % nodes.length] as NodeState, 1)
  }
}
