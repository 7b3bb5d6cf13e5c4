// SPDX-License-Identifier: Apache-2.0
// Finds nodes for actors: one with room, else one that could have room, where it queues until it is given back. One that
// no node takes waits here until something changes; one that could fit on no node at all is given up after a while.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { NodeId, NodeView } from '../../wire/messages.js'
import { assert } from '../assert.js'
import { type Millis, soonest } from '../machine.js'
import { groupOf } from '../node/group-work.js'
import { unlessOneJoins, whyNot } from '../policy/explain.js'
import { type Demand, feasibleNodes, pick } from '../policy/pick.js'
import { describeAmounts } from '../resources.js'
import type { Actor } from './actor.js'
import type { HeadEffect, HeadOptions } from './events.js'
import type { Groups } from './groups.js'
import type { Nodes } from './nodes.js'

export class Placing {
  readonly #options: HeadOptions
  readonly #nodes: Nodes
  readonly #groups: Groups
  readonly #waiting = new Set<Actor>()
  #turn = 0

  constructor(options: HeadOptions, nodes: Nodes, groups: Groups) {
    this.#groups = groups
    this.#options = options
    this.#nodes = nodes
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Why no node will ever do; null while one may. */
  hopeless({ spec }: Actor): string | null {
    const group = groupOf(spec)
    return group === null ? null : this.#groups.hopeless(group.groupId)
  }

  /** Gives false when it waits. */
  place(actor: Actor, now: Millis, out: HeadEffect[]): boolean {
    const nodeId = this.#pick(actor)
    if (nodeId === null) {
      this.#waiting.add(actor)
      this.#judge(actor, now, out)
      return false
    }
    this.#waiting.delete(actor)
    actor.nodeId = nodeId
    actor.nowhere.found(true, now)
    this.#nodes.reserve(nodeId, actor.spec.actorId, actor.spec.held)
    this.ask(actor, out)
    return true
  }

  /** Tells its node to place it; once more, where the node may not have got it. */
  ask({ spec, incarnation, nodeId }: Actor, out: HeadEffect[]): void {
    const { actorId, className, name, placement, held, environment, job, where } = spec
    const event = { is: 'place', actorId, incarnation, name: name ?? className, placement, held, environment, job, where } as const
    out.push({ is: 'toNode', nodeId: nodeId as string, event })
  }

  /** It need not be placed any more, or not there. */
  withdraw(actor: Actor, out: HeadEffect[]): void {
    this.#waiting.delete(actor)
    const { nodeId, spec } = actor
    if (nodeId === null || actor.workerId !== null) return
    out.push({ is: 'toNode', nodeId, event: { is: 'unplace', actorId: spec.actorId } })
    this.#nodes.answered(nodeId, spec.actorId, false)
    actor.nodeId = null
  }

  placed(actor: Actor): void {
    this.#nodes.answered(actor.nodeId as string, actor.spec.actorId, true)
    actor.refusedBy.clear()
  }

  refused(actor: Actor, now: Millis, out: HeadEffect[]): boolean {
    const nodeId = actor.nodeId as string
    this.#nodes.answered(nodeId, actor.spec.actorId, false)
    actor.refusedBy.add(nodeId)
    actor.nodeId = null
    return this.place(actor, now, out)
  }

  /** Something changed on the nodes. Gives those that were placed. */
  retry(now: Millis, out: HeadEffect[]): Actor[] {
    const placed: Actor[] = []
    /** What there is no room for now, and whether there is none on any node ever. */
    const full = new Map<string, boolean>()
    for (const actor of [...this.#waiting]) {
      const { held, placement, where } = actor.spec
      const need = `${describeAmounts(held)} ${describeAmounts(placement)} ${JSON.stringify(where)}`
      const nowhere = full.get(need)
      if (nowhere !== undefined) {
        this.#found(actor, !nowhere, now, out)
        continue
      }
      actor.refusedBy.clear()
      if (this.place(actor, now, out)) placed.push(actor)
      else full.set(need, actor.nowhere.holds)
    }
    return placed
  }

  /** Warns of those that have waited for a while for a node that could hold them. Gives those that have waited long enough, with why it is none. */
  expired(now: Millis, out: HeadEffect[]): [Actor, string][] {
    for (const actor of this.#waiting) this.#warn(actor, now, out)
    const due = [...this.#waiting].filter(({ nowhere }) => nowhere.isOver(now))
    return due.map(actor => [actor, this.#describe(actor)])
  }

  deadline(): Millis | null {
    const due: (Millis | null)[] = []
    for (const { nowhere } of this.#waiting) if (nowhere.holds) due.push(nowhere.warnAt(limits.infeasibleWarnAfterMs), nowhere.overAt())
    return soonest(due)
  }

  /** Of an actor that waits for a node: why. */
  reason(actor: Actor): string | null {
    if (!this.#waiting.has(actor)) return null
    return `${this.#describe(actor)}${actor.nowhere.holds ? unlessOneJoins() : ''}`
  }

  restore(actor: Actor): void {
    if (actor.nodeId === null) this.#waiting.add(actor)
  }

  invariants(): void {
    for (const { phase, nodeId, spec } of this.#waiting) {
      assert(phase === 'pending' || phase === 'restarting', `a ${phase} actor waits for a node`)
      assert(nodeId === null, `actor ${spec.actorId} waits for a node and has one`)
    }
  }

  /** The node in the same process judges for itself; of many, the policy chooses. */
  #pick(actor: Actor): NodeId | null {
    if (this.#options.nodeId !== null) return this.#options.nodeId
    const group = groupOf(actor.spec)
    if (group !== null) return this.#groups.locate(group.groupId, group.bundle, actor.spec.held, actor.refusedBy)
    const open = this.#nodes.open().filter(view => !actor.refusedBy.has(view.nodeId))
    const turn = this.#turn++
    const free = pick(demandOf(actor), open, { local: nodeOf(actor.creator), turn })
    if (free !== null) return free.nodeId
    // It queues where it could be: only that node can make room, between the tasks there.
    const able = feasibleNodes(demandOf(actor), open)
    return able[turn % able.length]?.nodeId ?? null
  }

  /** Nodes that are away after a restart of the head count: they may come back. */
  #judge(actor: Actor, now: Millis, out: HeadEffect[]): void {
    if (groupOf(actor.spec) !== null) return
    this.#found(actor, feasibleNodes(demandOf(actor), this.#views()).length > 0, now, out)
  }

  #found(actor: Actor, isPossible: boolean, now: Millis, out: HeadEffect[]): void {
    actor.nowhere.found(isPossible, now)
    this.#warn(actor, now, out)
  }

  #warn(actor: Actor, now: Millis, out: HeadEffect[]): void {
    if (!actor.nowhere.warns(now, limits.infeasibleWarnAfterMs)) return
    out.push({ is: 'send', to: actor.creator, message: { is: 'warning', text: `${this.#describe(actor)}${unlessOneJoins()}` } })
  }

  #describe(actor: Actor): string {
    const group = groupOf(actor.spec)
    if (group !== null)
      return `Actor ${actor.spec.name ?? actor.spec.className} waits for its placement group, which is ${this.#groups.phaseOf(group.groupId)}`
    return `Actor ${actor.spec.name ?? actor.spec.className} ${whyNot(demandOf(actor), this.#views())}`
  }

  *#views(): Generator<NodeView> {
    for (const { view } of this.#nodes.living()) yield view
  }
}

function demandOf({ spec: { held, placement, where } }: Actor): Demand {
  return { need: held, placement, where }
}
