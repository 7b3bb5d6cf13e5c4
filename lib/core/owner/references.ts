// SPDX-License-Identifier: Apache-2.0
// Distributed reference counting. Each object has one owner, which counts its own refs, the holds of its pending tasks and
// containers, and the set of processes that borrow it. A process borrows from the first ref it decodes to the last it drops.
//
// The rule that makes it safe: **a hold that keeps an object alive for somebody else is let go only after the owner has
// heard of that somebody.** Messages between two processes keep their order, so a `borrow` sent to the owner before the
// message that ends the owner's own hold needs no answer. Where holder and owner differ, what ends the hold (a reply, an
// `unborrow`, a `returnsHeld`) waits until the owner has answered with `borrowed`.
//
// When an owner dies, the daemon of each node takes its place for the processes there (core/node/adoption.ts): what was
// borrowed is borrowed of it, by the same rules.
//
// (Ray merges borrower lists up the call chain instead; see Moritz et al. 2018 and Wang et al., "Ownership", NSDI 2021.)

import { ObjectFreedError } from '../../errors.js'
import { nodeOf, objectId } from '../../ids.js'
import { limits } from '../../options.js'
import type { NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Effect } from './effects.js'
import { Entry, STATE } from './entry.js'

/** A `borrow` or `adopt` that was sent. */
interface Asked {
  /** The owner, or the daemon in its place. */
  to: WorkerId
  owner: WorkerId
  seqs: number[]
}

export class References {
  /** Objects of this process, by sequence number. */
  readonly owned = new Map<number, Entry>()
  /** Objects of others, by owner. */
  readonly borrowed = new Map<WorkerId, Map<number, Entry>>()
  private readonly lentTo = new Map<WorkerId, Set<Entry>>()
  /** Holds for refs inside results that the caller has not yet registered, by caller and task. */
  private readonly lent = new Map<WorkerId, Map<number, Entry[]>>()
  private readonly toBorrow = new Map<WorkerId, number[]>()
  private readonly toUnborrow = new Map<WorkerId, Set<number>>()
  private readonly toConfirm = new Map<WorkerId, number[]>()
  /** `borrow` messages not answered yet. */
  private readonly unanswered = new Map<number, Asked>()
  private lastAck = 0
  /**
   * Processes that died last, oldest first: their objects are borrowed of the daemon. One that is forgotten is found to be gone
   * again by the first message to it (its id, with its nonce, names nobody), which tells of its death once more; so the bound costs that
   * message and nothing else.
   */
  private readonly deadOwners = new Map<WorkerId, Error>()
  /** Likewise of whole nodes, where no process lives any more. */
  private readonly deadNodes = new Map<NodeId, Error>()

  /** Where else the value of an entry is that goes. */
  copiesOf: (entry: Entry) => NodeId[] = () => []

  /** Hears of each entry that goes and could have been made again. */
  onDropped: (entry: Entry, out: Effect[]) => void = () => {}

  constructor(
    readonly self: WorkerId,
    private readonly node: WorkerId,
  ) {}

  /** The entry of an object met in a decoded value; registers a borrow at the next flush when it is new here. */
  refer(owner: WorkerId, seq: number, isActor: boolean): Entry {
    if (owner === this.self) {
      const own = this.owned.get(seq)
      if (own === undefined) return this.freed(seq, isActor)
      if (own.resting) this.wake(own)
      return own
    }
    let table = this.borrowed.get(owner)
    if (table === undefined) this.borrowed.set(owner, (table = new Map()))
    let entry = table.get(seq)
    if (entry !== undefined) return entry
    entry = new Entry(owner, seq, isActor)
    table.set(seq, entry)
    const isDead = this.isDead(owner)
    if (isActor && isDead) {
      entry.state = STATE.failed
      entry.error = this.deathOf(owner)
      return entry
    }
    const isBorrowed = this.toUnborrow.get(owner)?.delete(seq) ?? false
    // What a dead owner had is asked for again: the daemon was never asked for what was here already, and tells each entry only once.
    if (!isBorrowed || isDead) push(this.toBorrow, owner, seq)
    return entry
  }

  /** A settled value that only refs of this process know, and that holds nothing, needs no counting: it goes with them. Gives whether it is one. */
  setPrivate(entry: Entry): boolean {
    const known = entry.owner !== null || entry.borrowers !== null || entry.contained !== null || entry.subscribers !== null
    if (known || entry.state !== STATE.inline || entry.dropped) return false
    entry.isPrivate = true
    this.owned.delete(entry.seq)
    return true
  }

  /** It is counted again, because others are about to hear of it. */
  share(entry: Entry): void {
    if (!entry.isPrivate) return
    entry.isPrivate = false
    if (!entry.dropped) this.owned.set(entry.seq, entry)
  }

  /** One hold more of an entry that may be resting. */
  hold(entry: Entry): void {
    entry.holds++
    if (entry.resting) this.wake(entry)
  }

  /** One hold less; drops the entry when that was the last reason to keep it. */
  unhold(entry: Entry, out: Effect[]): void {
    assert(entry.holds > 0, `hold count of object ${entry.seq} below zero`)
    entry.holds--
    this.maybeDrop(entry, out)
  }

  unholdAll(entries: Entry[], out: Effect[]): void {
    for (const entry of entries) this.unhold(entry, out)
  }

  /** One local ref less. */
  unref(entry: Entry, out: Effect[]): void {
    assert(entry.local > 0, `ref count of object ${entry.seq} below zero`)
    entry.local--
    this.maybeDrop(entry, out)
  }

  maybeDrop(entry: Entry, out: Effect[]): void {
    if (!entry.unreferenced || entry.dropped) return
    if (entry.owner === null) {
      if (entry.state === STATE.pending && !entry.isActor) return
      if (entry.isActor && entry.task !== null) return
      if (entry.lineage > 0) return this.rest(entry, out)
      this.owned.delete(entry.seq)
    } else {
      const table = this.borrowed.get(entry.owner)
      table?.delete(entry.seq)
      if (table?.size === 0) this.borrowed.delete(entry.owner)
      if (!entry.isActor || !this.isDead(entry.owner)) {
        let set = this.toUnborrow.get(entry.owner)
        if (set === undefined) this.toUnborrow.set(entry.owner, (set = new Set()))
        set.add(entry.seq)
      }
    }
    entry.dropped = true
    if (entry.state !== STATE.released) out.push({ is: 'drop', entry, nodes: this.copiesOf(entry) })
    if (entry.contained !== null) {
      const contained = entry.contained
      entry.contained = null
      if (entry.resting) this.unlink(contained, out)
      else this.unholdAll(contained, out)
    }
    if (entry.made !== null) this.onDropped(entry, out)
  }

  /** Only lineage has a use for it: a value in the store goes, one that is inline holds what is inside by lineage alone. */
  private rest(entry: Entry, out: Effect[]): void {
    if (entry.resting) return
    entry.resting = true
    if (entry.state === STATE.stored && entry.storedAs === null) {
      entry.state = STATE.released
      out.push({ is: 'drop', entry, nodes: this.copiesOf(entry) })
    }
    const { contained } = entry
    if (contained === null) return
    if (entry.state === STATE.released) entry.contained = null
    else for (const inner of contained) if (inner.owner === null && !inner.isActor) inner.lineage++
    this.unholdAll(contained, out)
  }

  /** Somebody has a use for it again. */
  private wake(entry: Entry): void {
    entry.resting = false
    if (entry.contained === null) return
    entry.contained = entry.contained.map(inner => {
      if (inner.owner === null && !inner.isActor) inner.lineage--
      const again = inner.owner !== null && inner.dropped ? this.refer(inner.owner, inner.seq, inner.isActor) : inner
      this.hold(again)
      return again
    })
  }

  private unlink(contained: Entry[], out: Effect[]): void {
    for (const inner of contained) {
      if (inner.owner !== null || inner.isActor) continue
      inner.lineage--
      this.maybeDrop(inner, out)
    }
  }

  /** A peer borrows objects of ours. Gives those that are gone. */
  lend(to: WorkerId, seqs: number[]): number[] {
    // Of one whose end was told, such as a driver that has said that its job is over, nothing will say so when it holds them no more.
    if (this.isDead(to)) return seqs
    const missing: number[] = []
    let set = this.lentTo.get(to)
    if (set === undefined) this.lentTo.set(to, (set = new Set()))
    for (const seq of seqs) {
      const entry = this.owned.get(seq)
      if (entry === undefined) {
        missing.push(seq)
        continue
      }
      if (entry.resting) this.wake(entry)
      entry.borrowers ??= new Set()
      entry.borrowers.add(to)
      set.add(entry)
    }
    return missing
  }

  returned(from: WorkerId, seqs: number[], out: Effect[]): void {
    const set = this.lentTo.get(from)
    for (const seq of seqs) {
      const entry = this.owned.get(seq)
      if (entry === undefined || set === undefined || !set.delete(entry)) continue
      entry.borrowers?.delete(from)
      this.maybeDrop(entry, out)
    }
  }

  /** Holds the refs inside a result until the caller has registered them. */
  holdForCaller(caller: WorkerId, task: number, entries: Entry[]): void {
    // One that died while the task ran will never say so.
    if (this.isDead(caller)) return
    for (const entry of entries) entry.holds++
    let byTask = this.lent.get(caller)
    if (byTask === undefined) this.lent.set(caller, (byTask = new Map()))
    byTask.set(task, [...(byTask.get(task) ?? []), ...entries])
  }

  callerHolds(caller: WorkerId, tasks: number[], out: Effect[]): void {
    const byTask = this.lent.get(caller)
    for (const task of tasks) {
      const entries = byTask?.get(task)
      if (entries === undefined) continue
      byTask?.delete(task)
      this.unholdAll(entries, out)
    }
  }

  /** Tells the executor, as soon as it is safe, that the refs in its result are registered. */
  confirm(executor: WorkerId, task: number): void {
    push(this.toConfirm, executor, task)
  }

  /** Whether a borrow registered with somebody other than `except` is unanswered or unsent. */
  unsettledBorrows(except: WorkerId | null): boolean {
    for (const owner of this.toBorrow.keys()) if (owner !== except) return true
    for (const { to } of this.unanswered.values()) if (to !== except) return true
    return false
  }

  /** Whether an answer to that process would be too early: its holds end with it, and not every owner has heard of this process. */
  mustWait(caller: WorkerId): boolean {
    return this.toBorrow.size > 0 || this.unsettledBorrows(caller)
  }

  /** Whether callers have yet to register refs inside results that this process gave them. */
  get promises(): boolean {
    for (const byTask of this.lent.values()) if (byTask.size > 0) return true
    return false
  }

  get hasBorrowsToSend(): boolean {
    return this.toBorrow.size > 0
  }

  /** Sends what has gathered: borrows at once, and what ends holds where the rule allows it. */
  flush(out: Effect[]): void {
    for (const [owner, seqs] of this.toBorrow) {
      const ack = ++this.lastAck
      const isDead = this.isDead(owner)
      const to = isDead ? this.node : owner
      this.unanswered.set(ack, { to, owner, seqs })
      out.push({ is: 'send', to, message: isDead ? { is: 'adopt', ack, owner, seqs } : { is: 'borrow', ack, seqs } })
    }
    this.toBorrow.clear()
    for (const [owner, set] of this.toUnborrow) {
      if (set.size > 0 && this.unsettledBorrows(owner)) continue
      this.toUnborrow.delete(owner)
      if (set.size === 0) continue
      const seqs = [...set]
      if (this.isDead(owner)) out.push({ is: 'send', to: this.node, message: { is: 'disown', owner, seqs } })
      else out.push({ is: 'send', to: owner, message: { is: 'unborrow', seqs } })
    }
    for (const [executor, tasks] of this.toConfirm) {
      if (this.unsettledBorrows(executor)) continue
      this.toConfirm.delete(executor)
      out.push({ is: 'send', to: executor, message: { is: 'returnsHeld', tasks } })
    }
  }

  /** The owner, or the daemon in its place, has answered. Gives the entries that are gone, and those that a daemon keeps. */
  answered(from: WorkerId, ack: number, missing: number[], out: Effect[]): { gone: Entry[]; kept: Entry[] } {
    const asked = this.unanswered.get(ack)
    if (asked?.to !== from) return { gone: [], kept: [] }
    this.unanswered.delete(ack)
    if (this.unanswered.size === 0) out.push({ is: 'acked' })
    const table = this.borrowed.get(asked.owner)
    const entriesOf = (seqs: number[]): Entry[] => seqs.map(seq => table?.get(seq)).filter(entry => entry !== undefined)
    const isMissing = new Set(missing)
    const kept = asked.to === asked.owner ? [] : entriesOf(asked.seqs.filter(seq => !isMissing.has(seq)))
    return { gone: entriesOf(missing), kept }
  }

  /**
   * Everything a dead process lent, borrowed or was promised. What this one borrows of it may lie in a store: it is borrowed of the daemon
   * now.
   */
  died(worker: WorkerId, why: Error, out: Effect[]): void {
    // Several may tell of it. What its daemon was told of what it had, or is about to be, stays so.
    const known = this.deadOwners.has(worker)
    this.deadOwners.set(worker, why)
    if (this.deadOwners.size > limits.deadOwnersKept) this.deadOwners.delete(this.deadOwners.keys().next().value as WorkerId)
    if (!known) {
      this.toBorrow.delete(worker)
      this.toUnborrow.delete(worker)
    }
    this.toConfirm.delete(worker)
    for (const [ack, { to, owner }] of this.unanswered) if (to === worker || (owner === worker && !known)) this.unanswered.delete(ack)
    if (this.unanswered.size === 0) out.push({ is: 'acked' })
    const set = this.lentTo.get(worker)
    this.lentTo.delete(worker)
    for (const entry of set ?? []) {
      entry.borrowers?.delete(worker)
      this.maybeDrop(entry, out)
    }
    const promised = this.lent.get(worker)
    this.lent.delete(worker)
    for (const entries of promised?.values() ?? []) this.unholdAll(entries, out)
    if (known) return
    for (const entry of this.borrowed.get(worker)?.values() ?? []) {
      // One that is here already, or is the value of another object, needs no store to have it.
      const isStored = entry.state === STATE.stored && entry.storedAs === null
      if (!entry.isActor && (isStored || !entry.settled)) push(this.toBorrow, worker, entry.seq)
    }
  }

  /** A node is gone. Gives the processes there that this one has to do with; `died` says the rest of each. */
  nodeDied(nodeId: NodeId, why: Error): WorkerId[] {
    this.deadNodes.set(nodeId, why)
    if (this.deadNodes.size > limits.deadNodesKept) this.deadNodes.delete(this.deadNodes.keys().next().value as NodeId)
    const known = [this.borrowed, this.lentTo, this.lent, this.toBorrow, this.toUnborrow, this.toConfirm].flatMap(table => [
      ...table.keys(),
    ])
    const asked = [...this.unanswered.values()].map(each => each.owner)
    return [...new Set([...known, ...asked])].filter(worker => nodeOf(worker) === nodeId)
  }

  /** Whether the end of that process, or of its node, has been told, and is remembered. */
  isDead(worker: WorkerId): boolean {
    return this.deathOf(worker) !== null
  }

  /** Why that process is dead; null when nothing is known of that. */
  deathOf(worker: WorkerId): Error | null {
    const death = this.deadOwners.get(worker)
    if (death !== undefined) return death
    return this.deadNodes.size === 0 ? null : (this.deadNodes.get(nodeOf(worker)) ?? null)
  }

  get quiet(): boolean {
    return this.toBorrow.size + this.toUnborrow.size + this.toConfirm.size === 0
  }

  invariants(): void {
    for (const entry of this.owned.values()) {
      assert(entry.local >= 0 && entry.holds >= 0, `object ${entry.seq} has a negative count`)
      assert(!entry.dropped, `object ${entry.seq} is in the table after it was dropped`)
      assert(!entry.resting || (entry.unreferenced && entry.lineage > 0), `object ${entry.seq} rests though it is wanted, or by nobody`)
      assert(
        !entry.settled || entry.isActor || entry.resting || !entry.unreferenced,
        `object ${entry.seq} is settled and unreferenced, but still there`,
      )
      for (const borrower of entry.borrowers ?? [])
        assert(this.lentTo.get(borrower)?.has(entry), `borrower of object ${entry.seq} is not on the lending list`)
    }
    for (const table of this.borrowed.values())
      for (const entry of table.values()) assert(!entry.unreferenced || entry.dropped, `borrowed object ${entry.seq} is unreferenced`)
  }

  /** A ref of ours came back after its object was freed: only a broken promise of a peer can do that. */
  private freed(seq: number, isActor: boolean): Entry {
    const entry = new Entry(null, seq, isActor)
    entry.state = STATE.failed
    const id = objectId(this.self, seq)
    const text = `the object ${id} was freed before this ref to it arrived: its last counted ref was dropped`
    entry.error = new ObjectFreedError(text, { objectId: id })
    this.owned.set(seq, entry)
    return entry
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}
