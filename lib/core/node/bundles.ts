// SPDX-License-Identifier: Apache-2.0
// Bundles of placement groups on this node: what is set aside for a group, and a ledger of its own for what runs in it.
//
//   bundlePrepare --> prepared --bundleCommit--> committed          any --bundleReturn--> leaving --all of it free--> gone
//
// Invariants: all bundles that one `bundlePrepare` names are taken, or none; only committed ones serve requests; what a
// bundle has is held in the node's ledger until nothing of it is held inside.

import type { Amounts, BundleNeed, BundleSeat } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { NodeEffect } from './events.js'
import type { BundlePrepare } from './group-events.js'
import { Guard } from './guard.js'
import type { Holding, Ledger } from './ledger.js'

/** Resources that requests are served from: those of the node that are in no bundle, or those of one bundle. */
export interface Pool {
  readonly ledger: Ledger
  /** That nobody starves who waits for them. */
  readonly guard: Guard
}

export interface Bundle extends Pool {
  readonly groupId: string
  readonly index: number
  /** Names the attempt to place it that took it. */
  readonly attempt: string
  readonly holding: Holding
  state: 'prepared' | 'committed' | 'leaving'
}

export class Bundles {
  readonly #node: Ledger
  readonly #byGroup = new Map<string, Bundle[]>()
  readonly #leaving = new Set<Bundle>()

  constructor(node: Ledger) {
    this.#node = node
  }

  /** Takes them all, and says so, or none. */
  prepare({ groupId, attempt, bundles }: BundlePrepare, isOpen: boolean, out: NodeEffect[]): void {
    const known = this.of(groupId).some(bundle => bundle.attempt === attempt)
    const taken = known || (isOpen && this.#take(groupId, attempt, bundles))
    out.push({ is: 'toHead', event: { is: taken ? 'bundlePrepared' : 'bundleRefused', groupId, attempt } })
  }

  commit(groupId: string, attempt: string): void {
    for (const bundle of this.of(groupId)) if (bundle.attempt === attempt && bundle.state === 'prepared') bundle.state = 'committed'
  }

  /** They serve nobody any more, and go once nothing runs inside. Null: those of all attempts. Gives their ledgers. */
  return(groupId: string, attempt: string | null): Set<Ledger> {
    const ledgers = new Set<Ledger>()
    for (const bundle of this.of(groupId)) {
      if (attempt !== null && bundle.attempt !== attempt) continue
      bundle.state = 'leaving'
      this.#leaving.add(bundle)
      ledgers.add(bundle.ledger)
    }
    return ledgers
  }

  /** The node has those back that leave and in which nothing runs any more. */
  settle(): void {
    for (const bundle of this.#leaving) {
      if (!bundle.ledger.idle) continue
      this.#leaving.delete(bundle)
      this.#node.give(bundle.holding)
      const rest = this.of(bundle.groupId).filter(each => each !== bundle)
      if (rest.length === 0) this.#byGroup.delete(bundle.groupId)
      else this.#byGroup.set(bundle.groupId, rest)
    }
  }

  /** Those that serve requests for that bundle of the group, or for any (-1), in their order. */
  serving(groupId: string, index: number): Bundle[] {
    return this.of(groupId).filter(bundle => bundle.state === 'committed' && (index < 0 || bundle.index === index))
  }

  of(groupId: string): readonly Bundle[] {
    return this.#byGroup.get(groupId) ?? []
  }

  *all(): Generator<Bundle> {
    for (const bundles of this.#byGroup.values()) yield* bundles
  }

  /** For a head that was restarted. */
  seats(): BundleSeat[] {
    const seats: BundleSeat[] = []
    for (const { groupId, attempt, index, state } of this.all()) {
      if (state !== 'leaving') seats.push({ groupId, attempt, index, committed: state === 'committed' })
    }
    return seats
  }

  /** `holdings`: what is held in each ledger. */
  invariants(holdings: (ledger: Ledger) => Iterable<Holding>): void {
    for (const bundle of this.all()) {
      assert(bundle.holding.ledger === this.#node, 'a bundle was taken from something else than its node')
      assert((bundle.state === 'leaving') === this.#leaving.has(bundle), 'the list of the bundles that leave is wrong')
      assert(bundle.state !== 'leaving' || !bundle.ledger.idle, 'a bundle is kept that is empty and to be returned')
      bundle.ledger.invariants(holdings(bundle.ledger))
    }
  }

  #take(groupId: string, attempt: string, bundles: readonly BundleNeed[]): boolean {
    const taken: Bundle[] = []
    for (const { index, amounts } of bundles) {
      if (!this.#node.fits(amounts)) {
        for (const { holding } of taken) this.#node.give(holding)
        return false
      }
      taken.push(this.#bundle(groupId, attempt, index, amounts))
    }
    this.#byGroup.set(
      groupId,
      [...this.of(groupId), ...taken].sort((a, b) => a.index - b.index),
    )
    return true
  }

  #bundle(groupId: string, attempt: string, index: number, amounts: Amounts): Bundle {
    const holding = this.#node.take(amounts)
    const ledger = this.#node.within(holding)
    return { groupId, index, attempt, holding, ledger, guard: new Guard(ledger), state: 'prepared' }
  }
}
