// SPDX-License-Identifier: Apache-2.0
// Work that is to run in a placement group: it waits until the group is there, goes to the nodes that have the bundles,
// and fails when the group is removed. Where the bundles are the head tells, of the groups that something here waits for.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { Amounts, GroupView, Strategy, WorkerId } from '../../wire/messages.js'
import { fits } from '../resources.js'
import type { NodeEffect } from './events.js'
import type { Request, Requests } from './requests.js'

type InGroup = Extract<Strategy, { is: 'group' }>

export class GroupWork {
  readonly #nodeId: string
  readonly #requests: Requests
  /** Undefined: the head was asked. Null: there is no such group any more. Asked about longest ago first. */
  readonly #views = new Map<string, GroupView | null | undefined>()

  constructor(nodeId: string, requests: Requests) {
    this.#nodeId = nodeId
    this.#requests = requests
  }

  changed(groupId: string, view: GroupView | null): void {
    this.#views.set(groupId, view)
    for (const request of this.#requests.all()) if (groupOf(request)?.groupId === groupId) request.added = request.count
  }

  /** The head may have been restarted: it is asked again about all that is waited for. */
  askAgain(out: NodeEffect[]): void {
    this.#views.clear()
    for (const request of this.#requests.all()) {
      const group = groupOf(request)
      if (group !== null && !this.#views.has(group.groupId)) this.#ask(group.groupId, out)
    }
  }

  /** Gives how many of the workers that an owner of this node wants are to be asked of each other node; null when none of them. */
  pass(request: Request, turn: number, out: NodeEffect[]): Map<WorkerId, number> | null {
    const group = groupOf(request) as InGroup
    const view = this.#view(group.groupId, out)
    if (view === undefined || request.added === 0) return null
    if (view === null || view.phase === 'removed') {
      this.#fail(request, true, `the placement group ${group.groupId} was removed${view?.why ? `: ${view.why}` : ''}`, out)
      return null
    }
    const rooms = roomsOf(view, group.bundle, request.need)
    if (rooms === null) {
      this.#fail(request, false, `no bundle of the placement group ${group.groupId} is large enough`, out)
      return null
    }
    if (rooms.size === 0) return null
    request.added = 0
    return this.#distribute(request.count, rooms, turn)
  }

  /** What work in that group waits for, in words. */
  describe(request: Request): string {
    const view = this.#views.get(groupOf(request)?.groupId ?? '')
    if (view === undefined || view === null) return 'news of its placement group'
    if (view.phase === 'created') return `room in ${view.spec.name ?? 'its placement group'}`
    return `its placement group, which is ${view.phase}${view.why === null ? '' : `: ${view.why}`}`
  }

  #view(groupId: string, out: NodeEffect[]): GroupView | null | undefined {
    if (!this.#views.has(groupId)) this.#ask(groupId, out)
    return this.#views.get(groupId)
  }

  #ask(groupId: string, out: NodeEffect[]): void {
    this.#views.set(groupId, undefined)
    if (this.#views.size > limits.groupViewsKept) this.#views.delete([...this.#views.keys()][0] as string)
    out.push({ is: 'toHead', event: { is: 'watchGroup', groupId } })
  }

  /** Each as many as it has room for, this node first; what is left in turn. */
  #distribute(count: number, rooms: ReadonlyMap<WorkerId, number>, turn: number): Map<WorkerId, number> {
    const own = (daemon: WorkerId): boolean => nodeOf(daemon) === this.#nodeId
    const order = [...rooms].sort(([a], [b]) => Number(own(b)) - Number(own(a)))
    const counts = new Map<WorkerId, number>()
    let left = count
    for (const [daemon, room] of order) {
      const here = Math.min(left, room)
      counts.set(daemon, here)
      left -= here
    }
    for (; left > 0; left--) {
      const [daemon] = order[(turn + left) % order.length] as [WorkerId, number]
      counts.set(daemon, (counts.get(daemon) as number) + 1)
    }
    for (const [daemon, each] of counts) if (each === 0 || own(daemon)) counts.delete(daemon)
    return counts
  }

  #fail(request: Request, groupRemoved: boolean, message: string, out: NodeEffect[]): void {
    if (request.actor !== null) return
    this.#requests.remove(request.owner, request.key)
    out.push({ is: 'send', to: request.owner, message: { is: 'unplaceable', classKey: request.key, message, groupRemoved } })
  }
}

export function groupOf({ where }: Pick<Request, 'where'>): InGroup | null {
  return where?.strategy.is === 'group' ? where.strategy : null
}

/** How often the need fits what the bundles on each node have in all. Null: no bundle can ever hold it. */
function roomsOf({ spec, daemons }: GroupView, index: number, need: Amounts): Map<WorkerId, number> | null {
  const rooms = new Map<WorkerId, number>()
  let possible = false
  for (const [i, bundle] of spec.bundles.entries()) {
    if ((index >= 0 && i !== index) || !fits(need, bundle)) continue
    possible = true
    const daemon = daemons[i] ?? null
    if (daemon !== null) rooms.set(daemon, (rooms.get(daemon) ?? 0) + times(need, bundle))
  }
  return possible ? rooms : null
}

function times(need: Amounts, bundle: Amounts): number {
  let most: number = limits.wantMax
  for (const name in need) most = Math.min(most, Math.floor((bundle[name] ?? 0) / (need[name] as number)))
  return most
}
