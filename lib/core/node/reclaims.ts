// SPDX-License-Identifier: Apache-2.0
// Leases that others wait for. Their owners are asked for as many as lack, and no more: whoever holds most first, and only who
// holds more than who waits. An owner that does not says so (`yields`), and the next one is asked at once. What does not come
// within a quantum, because tasks last, is asked of others too; what is not needed any more is told, so that it stays.
//
// Invariant: `#asked` is what owners were last told is lacking, less what they gave back since; none of it is 0.

import { limits } from '../../options.js'
import type { SchedulingClass, WorkerId, Yields } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import type { NodeEffect } from './events.js'
import type { Lease, Leases } from './leases.js'
import { type Holder, Plan, type Waiting } from './reclaim-plan.js'

export class Reclaims {
  readonly #leases: Leases
  readonly #asked = new Map<WorkerId, Map<string, number>>()
  /** Of `#asked`, what was asked for in this quantum: it may yet come. */
  readonly #coming = new Map<WorkerId, Map<string, number>>()
  /** What they said comes back, and has not; and when they said so last. */
  readonly #promised = new Map<WorkerId, Map<string, number>>()
  readonly #promisedAt = new Map<WorkerId, Millis>()
  /** Who has said in this quantum that it keeps those of a class. */
  readonly #kept = new Map<WorkerId, Set<string>>()
  /** How many leases owners said they have. */
  readonly #known = new Map<WorkerId, { held: number; until: Millis }>()
  #roundEnds: Millis | null = null

  constructor(leases: Leases) {
    this.#leases = leases
  }

  get #counts(): Map<WorkerId, Map<string, number>>[] {
    return [this.#asked, this.#coming, this.#promised]
  }

  /** When it is to be looked again; null while nothing waits. */
  get deadline(): Millis | null {
    return this.#roundEnds
  }

  /** An owner says how many leases it has. */
  holds(owner: WorkerId, held: number, now: Millis): void {
    this.#known.set(owner, { held, until: now + limits.heldKnownMs })
  }

  /** It is to be asked whatever it said of how many it has. */
  forget(owner: WorkerId): void {
    this.#known.delete(owner)
    this.#kept.delete(owner)
  }

  /**
   * What leases are about to come back, and how many of each class. Not what was said so long ago that a worker which was started for it
   * has been sent away: what runs there lasts.
   */
  *promised(now: Millis): Generator<[SchedulingClass, number]> {
    for (const [owner, mine] of this.#promised) {
      if (now - (this.#promisedAt.get(owner) ?? 0) >= limits.workerIdleMs) continue
      // Once a class: by its first lease.
      const classes = new Set(mine.keys())
      for (const { class: scheduling } of this.#leases.ownedBy(owner))
        if (classes.delete(scheduling.key)) yield [scheduling, mine.get(scheduling.key) as number]
    }
  }

  /** It gives so many back of that class; none, where it has no more than who waits. */
  yields(owner: WorkerId, { classKey, count, held }: Yields, now: Millis, out: NodeEffect[]): void {
    this.holds(owner, held, now)
    const asked = this.#asked.get(owner)?.get(classKey) ?? 0
    // Some came that were under way when it read what it answers, or nobody waits any more.
    if (count > asked) this.#tell(owner, classKey, asked, out)
    if (asked === 0) return
    if (count > 0) {
      entriesOf(this.#promised, owner).set(classKey, Math.min(count, asked))
      return void this.#promisedAt.set(owner, now)
    }
    for (const counts of this.#counts) drop(counts, owner, classKey, Number.POSITIVE_INFINITY)
    const kept = this.#kept.get(owner)
    if (kept === undefined) this.#kept.set(owner, new Set([classKey]))
    else kept.add(classKey)
  }

  ended({ owner, class: { key } }: Lease): void {
    for (const counts of this.#counts) drop(counts, owner, key, 1)
  }

  ownerGone(owner: WorkerId): void {
    for (const each of [...this.#counts, this.#kept, this.#known, this.#promisedAt]) each.delete(owner)
  }

  pass(waiting: readonly Waiting[], now: Millis, out: NodeEffect[]): void {
    if (waiting.length === 0 && this.#leases.resuming.size === 0) return this.#settle(out)
    if (this.#roundEnds === null || now >= this.#roundEnds) {
      this.#roundEnds = now + limits.leaseQuantumMs
      this.#coming.clear()
      this.#kept.clear()
      this.#withdraw(waiting, out)
      for (const [owner, { until }] of this.#known) if (until <= now) this.#known.delete(owner)
    }
    const plan = new Plan(this.#holders(), this.#leases, this.#known)
    for (const lease of this.#leases.resuming) plan.resume(lease)
    // Who has least first: what it is asked for is what it gets.
    for (const each of [...waiting].sort((a, b) => a.request.held - b.request.held)) plan.serve(each)
    for (const holder of plan.holders) if (holder.more > 0) this.#ask(holder, out)
  }

  invariants(): void {
    for (const [owner, mine] of this.#asked) {
      for (const [key, count] of mine) {
        assert(count > 0, `${owner} is asked for ${count} leases`)
        assert(count >= (this.#coming.get(owner)?.get(key) ?? 0), 'more is to come than was asked for')
        assert(count >= (this.#promised.get(owner)?.get(key) ?? 0), 'more was promised than was asked for')
      }
    }
  }

  /** Nothing lacks: who was asked keeps what it has. */
  #settle(out: NodeEffect[]): void {
    for (const [owner, mine] of this.#asked) for (const classKey of mine.keys()) this.#tell(owner, classKey, 0, out)
    for (const table of [...this.#counts, this.#kept, this.#known, this.#promisedAt]) table.clear()
    this.#roundEnds = null
  }

  /** Who was asked for leases of which nothing lacks any more keeps them, while others wait for something else. */
  #withdraw(waiting: readonly Waiting[], out: NodeEffect[]): void {
    for (const [owner, mine] of [...this.#asked]) {
      const leases = this.#leases.ownedBy(owner)
      for (const classKey of [...mine.keys()]) {
        if (leases.some(lease => lease.class.key === classKey && this.#isLacking(lease, waiting))) continue
        this.#tell(owner, classKey, 0, out)
        for (const counts of this.#counts) drop(counts, owner, classKey, Number.POSITIVE_INFINITY)
      }
    }
  }

  /** Whether somebody waits for some of what the lease holds. */
  #isLacking({ class: { resources }, holding: { ledger } }: Lease, waiting: readonly Waiting[]): boolean {
    const holds = (name: string): boolean => (resources[name] ?? 0) > 0
    if (waiting.some(({ lacking }) => lacking.get(ledger)?.some(holds))) return true
    return holds('CPU') && [...this.#leases.resuming].some(resuming => resuming.holding.ledger === ledger)
  }

  /** How many lack now, if fewer do than it was asked for. */
  #tell(owner: WorkerId, classKey: string, count: number, out: NodeEffect[]): void {
    out.push({ is: 'send', to: owner, message: { is: 'reclaim', classKey, count, held: 0, must: 0 } })
  }

  #holders(): Holder[] {
    const holders: Holder[] = []
    for (const [owner, leases] of this.#leases.owners()) {
      const from = holders.length
      for (const lease of leases) if (lease.phase === 'running') holderOf(lease, holders, from).leases++
      for (let i = from; i < holders.length; i++) {
        const holder = holders[i] as Holder
        const { key } = holder.class
        holder.coming = Math.min(holder.leases, this.#coming.get(owner)?.get(key) ?? 0)
        holder.kept = this.#kept.get(owner)?.has(key) ?? false
        holder.unanswered = (this.#asked.get(owner)?.get(key) ?? 0) - holder.coming
      }
    }
    return holders
  }

  #ask({ owner, class: { key: classKey }, more, held, must }: Holder, out: NodeEffect[]): void {
    const coming = (this.#coming.get(owner)?.get(classKey) ?? 0) + more
    const count = Math.max(coming, this.#asked.get(owner)?.get(classKey) ?? 0)
    entriesOf(this.#coming, owner).set(classKey, coming)
    entriesOf(this.#asked, owner).set(classKey, count)
    out.push({ is: 'send', to: owner, message: { is: 'reclaim', classKey, count, held, must } })
  }
}

function entriesOf(counts: Map<WorkerId, Map<string, number>>, owner: WorkerId): Map<string, number> {
  let mine = counts.get(owner)
  if (mine === undefined) counts.set(owner, (mine = new Map()))
  return mine
}

function drop(counts: Map<WorkerId, Map<string, number>>, owner: WorkerId, key: string, count: number): void {
  const mine = counts.get(owner)
  const known = mine?.get(key)
  if (mine === undefined || known === undefined) return
  if (known > count) mine.set(key, known - count)
  else mine.delete(key)
  if (mine.size === 0) counts.delete(owner)
}

function holderOf({ owner, class: scheduling, holding: { ledger } }: Lease, holders: Holder[], from: number): Holder {
  for (let i = from; i < holders.length; i++) {
    const each = holders[i] as Holder
    if (each.class.key === scheduling.key && each.ledger === ledger) return each
  }
  const held = Number.MAX_SAFE_INTEGER
  const holder = { owner, class: scheduling, ledger, leases: 0, coming: 0, kept: false, unanswered: 0, more: 0, must: 0, held }
  holders.push(holder)
  return holder
}
