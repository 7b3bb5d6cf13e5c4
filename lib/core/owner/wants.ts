// SPDX-License-Identifier: Apache-2.0
// How many more workers of one class this owner has asked for, and which node was asked. All are asked of its own node,
// which may name another one for some of them; a node that refuses sends them back.
//
// Invariant: `total` is what the own node and the others together were last asked for, less what they granted.

import { nodeOf } from '../../ids.js'
import type { NodeId, SchedulingClass, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import { differs } from '../fair.js'
import type { Effect } from './effects.js'

export class Wants {
  /** Of the own node. */
  #own = 0
  #away: Map<WorkerId, number> | null = null
  #total = 0
  /** What others granted since it was last looked how many are wanted. */
  readonly #served = new Map<WorkerId, number>()
  /** How many leases the owner had when it asked last. */
  #held = 0

  constructor(
    private readonly scheduling: SchedulingClass,
    private readonly node: WorkerId,
  ) {}

  get total(): number {
    return this.#total
  }

  /** Asks for so many in all, having so many leases; 0 withdraws all. */
  set(count: number, held: number, taskName: string, out: Effect[]): void {
    this.#held = held
    const elsewhere = this.#total - this.#own
    this.#served.clear()
    if (count === 0) {
      for (const daemon of this.#away?.keys() ?? []) this.#ask(daemon, 0, taskName, out)
      this.#away = null
      if (this.#own > 0) this.#ask(this.node, 0, taskName, out)
      this.#own = this.#total = 0
    } else if (count > elsewhere) {
      this.#own = count - elsewhere
      this.#total = count
      this.#ask(this.node, this.#own, taskName, out)
    }
  }

  /** Says how many leases it has, where that has changed much: those who have fewer are served first. */
  holds(held: number, taskName: string, out: Effect[]): void {
    if (!differs(held, this.#held)) return
    this.#held = held
    if (this.#own > 0) this.#ask(this.node, this.#own, taskName, out)
    for (const [daemon, count] of this.#away ?? []) this.#ask(daemon, count, taskName, out)
  }

  granted(daemon: WorkerId): void {
    if (daemon === this.node) {
      if (this.#own > 0) this.#total--
      this.#own = Math.max(0, this.#own - 1)
    } else if (this.#takeOff(daemon, 1) === 1) this.#served.set(daemon, (this.#served.get(daemon) ?? 0) + 1)
    if (this.#total === 0) this.#served.clear()
  }

  /**
   * Asks those who granted some and keep others waiting for as many again, up to so many in all: where others wait too one is served as
   * often as one waits there, and who waited at some nodes only would have no part of what is held at the rest.
   */
  again(want: number, taskName: string, out: Effect[]): void {
    for (const [daemon, granted] of this.#served) {
      const there = this.#away?.get(daemon) ?? 0
      const more = Math.min(granted, want - this.#total)
      if (there === 0 || more <= 0) continue
      this.#away?.set(daemon, there + more)
      this.#total += more
      this.#ask(daemon, there + more, taskName, out)
    }
    this.#served.clear()
  }

  /** The own node names others for some of them. */
  spilled(to: readonly WorkerId[], counts: readonly number[], taskName: string, out: Effect[]): void {
    for (const [i, daemon] of to.entries()) {
      const count = Math.min(counts[i] ?? 0, this.#own)
      if (count <= 0 || daemon === this.node) continue
      this.#own -= count
      this.#away ??= new Map()
      const there = (this.#away.get(daemon) ?? 0) + count
      this.#away.set(daemon, there)
      this.#ask(daemon, there, taskName, out)
    }
  }

  /** Another node does not serve them: they are asked of the own node again. */
  refused(daemon: WorkerId, count: number, taskName: string, out: Effect[]): void {
    const back = this.#takeOff(daemon, count)
    if (back === 0) return
    this.#own += back
    this.#total += back
    this.#ask(this.node, this.#own, taskName, out)
  }

  nodeDied(nodeId: NodeId, taskName: string, out: Effect[]): void {
    for (const [daemon, count] of this.#away ?? []) if (nodeOf(daemon) === nodeId) this.refused(daemon, count, taskName, out)
  }

  /** Nothing is asked of anybody any more, and the own node knows. */
  forget(out: Effect[]): void {
    this.#own = 0
    this.set(0, 0, '', out)
  }

  invariants(): void {
    let elsewhere = 0
    for (const count of this.#away?.values() ?? []) {
      assert(count > 0, 'a node is remembered that was asked for nothing')
      elsewhere += count
    }
    assert(
      this.#own >= 0 && this.#own + elsewhere === this.#total,
      `${this.#own} and ${elsewhere} workers wanted, and ${this.#total} in all`,
    )
  }

  /** How many there were to take off. */
  #takeOff(daemon: WorkerId, count: number): number {
    const there = this.#away?.get(daemon) ?? 0
    const off = Math.min(there, count)
    if (there > off) this.#away?.set(daemon, there - off)
    else this.#away?.delete(daemon)
    this.#total -= off
    return off
  }

  #ask(to: WorkerId, count: number, taskName: string, out: Effect[]): void {
    out.push({ is: 'send', to, message: { is: 'want', class: this.scheduling, count, held: this.#held, taskName } })
  }
}
