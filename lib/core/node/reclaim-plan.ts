// SPDX-License-Identifier: Apache-2.0
// Which owners to ask for how many of their leases, so that what waits can be served: who holds most first, and only who holds
// more than who waits; no more than lacks beyond what is to come anyway.

import type { Amounts, SchedulingClass, WorkerId } from '../../wire/messages.js'
import { holdsMore } from '../fair.js'
import { add, subtract } from '../resources.js'
import type { Lease, Leases } from './leases.js'
import type { Ledger } from './ledger.js'
import type { Request } from './requests.js'

/** What cannot be served now. */
export interface Waiting {
  readonly request: Request
  /** How many leases of it. */
  readonly count: number
  /** By what could serve it: the resources of which there is too little. */
  readonly lacking: ReadonlyMap<Ledger, readonly string[]>
  /** Whoever holds what it needs gives it, however little that is: it has nothing, or others wait for it in turn. */
  readonly must: boolean
}

/** Leases of one owner and one class, of one ledger. */
export interface Holder {
  readonly owner: WorkerId
  readonly class: SchedulingClass
  readonly ledger: Ledger
  leases: number
  /** How many of these it was asked for in this quantum: they may yet come. */
  coming: number
  /** It has said in this quantum that it gives none. */
  kept: boolean
  /** How many it was asked for before, and did not give. */
  unanswered: number
  /** What it is asked for in this pass, and for whom. */
  more: number
  /** Of these, as many in any case; for who waits for the others, the least that one of them has. */
  must: number
  held: number
}

/** One lease that somebody waits for. */
interface Wish {
  /** Null: a task that waits for its CPU. */
  readonly owner: WorkerId | null
  readonly key: string
  readonly need: Amounts
  readonly lacking: readonly string[]
  readonly must: boolean
  readonly held: number
}

/** Whom to ask for how many, in one pass. */
export class Plan {
  readonly #left = new Map<Ledger, Amounts>()
  /** Those that can be asked for more. */
  #open: Holder[]

  constructor(
    readonly holders: readonly Holder[],
    private readonly leases: Leases,
    private readonly known: ReadonlyMap<WorkerId, { held: number }>,
  ) {
    this.#open = holders.filter(({ leases, coming }) => leases > coming)
    for (const {
      ledger,
      coming,
      class: { resources },
    } of holders)
      for (let n = coming; n > 0; n--) add(this.#leftIn(ledger), resources)
  }

  /** The CPU that a task needs to go on. */
  resume({ class: { resources }, holding }: Lease): void {
    this.#gather({ owner: null, key: '', need: { CPU: resources.CPU ?? 0 }, lacking: [], must: true, held: 0 }, holding.ledger)
  }

  serve({ request, count, lacking, must }: Waiting): void {
    const { owner, key, need, held } = request
    request.hopeless = true
    for (let n = 0; n < count; n++) {
      // One is never denied; more are a matter of who has most.
      const wish = { owner, key, need, held, must: must && n === 0 }
      let served = false
      for (const [ledger, names] of lacking) served ||= this.#gather({ ...wish, lacking: names }, ledger)
      if (!served) return
      request.hopeless = false
    }
  }

  /** Asks for what one of it lacks beyond what comes anyway, and takes that off what is left; false when there is nobody to ask. */
  #gather(wish: Wish, ledger: Ledger): boolean {
    const left = this.#leftIn(ledger)
    const picked: [holder: Holder, held: number][] = []
    for (;;) {
      const short = Object.keys(wish.need).filter(name => (wish.need[name] as number) > (left[name] ?? 0))
      // Amounts may do where no single device has enough: one lease at a time, then, and see.
      const byDevice = short.length === 0 && !ledger.fits(wish.need) && !this.#anyComing(ledger)
      if (short.length === 0 && !byDevice) break
      const holder = this.#open.length === 0 ? null : this.#best(wish, ledger, byDevice ? wish.lacking : short)
      if (holder === null) {
        for (const [each, held] of picked.reverse()) this.#putBack(each, held, wish, left)
        return false
      }
      picked.push([holder, holder.held])
      holder.more++
      if (wish.must) holder.must++
      else holder.held = Math.min(holder.held, wish.owner === holder.owner ? 0 : wish.held)
      add(left, holder.class.resources)
      if (holder.leases === holder.coming + holder.more) this.#open = this.#open.filter(each => each !== holder)
    }
    subtract(left, wish.need)
    return true
  }

  /** What was to be asked for a wish that comes to nothing: a part of what it needs would lie idle. */
  #putBack(holder: Holder, held: number, { must }: Wish, left: Amounts): void {
    if (holder.leases === holder.coming + holder.more) this.#open = [...this.#open, holder]
    holder.more--
    if (must) holder.must--
    holder.held = held
    subtract(left, holder.class.resources)
  }

  #anyComing(ledger: Ledger): boolean {
    return this.holders.some(holder => holder.ledger === ledger && holder.more + holder.coming > 0)
  }

  /** Whom to ask next: not who was asked before without avail, if there are others; then who has most, in all and here. */
  #best(wish: Wish, ledger: Ledger, names: readonly string[]): Holder | null {
    let best: Holder | null = null
    let bestRank: readonly number[] = []
    for (const holder of this.#open) {
      if (holder.ledger !== ledger || !names.some(name => (holder.class.resources[name] ?? 0) > 0) || !this.#mayAsk(wish, holder)) continue
      const { owner, unanswered, leases, more } = holder
      const rank = [-unanswered, this.known.get(owner)?.held ?? Number.MAX_SAFE_INTEGER, leases - more]
      if (best === null || isHigher(rank, bestRank)) [best, bestRank] = [holder, rank]
    }
    return best
  }

  #mayAsk({ owner, key, held, must }: Wish, holder: Holder): boolean {
    if (owner === holder.owner)
      return !holder.kept && key !== holder.class.key && (must || holdsMore(holder.leases, this.#leasesHere(owner, key)))
    const known = this.known.get(holder.owner)
    if (holder.kept && !must) return false
    return must || known === undefined || holdsMore(known.held, held)
  }

  #leasesHere(owner: WorkerId, key: string): number {
    let count = 0
    for (const lease of this.leases.ownedBy(owner)) if (lease.class.key === key) count++
    return count
  }

  #leftIn(ledger: Ledger): Amounts {
    let amounts = this.#left.get(ledger)
    if (amounts === undefined) this.#left.set(ledger, (amounts = { ...ledger.available }))
    return amounts
  }
}

function isHigher(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return (a[i] as number) > (b[i] as number)
  return false
}
