// SPDX-License-Identifier: Apache-2.0
// Objects whose owner is dead, on one node. Those that lie sealed in a store and that somebody still borrows are kept: for the
// processes of this node its daemon takes the place of the owner, by the rules of borrowing. What they borrow and this node
// has no copy of is claimed from the other nodes, which keep theirs until the claim ends.
//
// Nothing of a dead owner is removed before every process of this node has heard of its death and said what it borrows; and
// in a cluster, not for some time after that, in which other nodes may claim it, be they known here or not yet.

import { nodeOf, objectId, ownerOf, seqOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { Control, NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Machine, Millis } from '../machine.js'

export type AdoptionEvent =
  /** `processes`: those of this node, which all hear of it. `id`: a process, of whatever node, or a node. `isAlone`: there can be no other nodes. */
  | { is: 'died'; id: WorkerId | NodeId; processes: WorkerId[]; isAlone: boolean }
  /** `has`: those that lie in the store of this node. `others`: null before any was heard of, of which `met` tells. */
  | { is: 'adopt'; from: WorkerId; ack: number; owner: WorkerId; seqs: number[]; has: number[]; others: NodeId[] | null }
  | { is: 'met'; others: NodeId[] }
  | { is: 'disown'; from: WorkerId; owner: WorkerId; seqs: number[] }
  | { is: 'mourned'; from: WorkerId; id: WorkerId | NodeId }
  | { is: 'claim'; from: NodeId; owner: WorkerId; seqs: number[]; has: [number, number][] }
  | { is: 'claimed'; from: NodeId; owner: WorkerId; seqs: number[]; kept: [number, number][] }
  | { is: 'unclaim'; from: NodeId; owner: WorkerId; seqs: number[] }
  /** A copy has come to this node. */
  | { is: 'here'; id: string }
  | { is: 'tick' }

export type AdoptionEffect =
  /** Of what `to` has asked for, it is known now which are in no store. */
  | { is: 'adopted'; to: WorkerId; ack: number; ids: string[]; missing: string[] }
  | { is: 'sendToNode'; to: NodeId; message: Control }
  /** It is now the copy that counts. */
  | { is: 'keep'; id: string }
  /** Something may be needed no more: remove what `keeps` says no to. */
  | { is: 'sweep' }

/** An object of a dead owner that somebody borrows. */
interface Adopted {
  holders: Set<WorkerId>
  /** Other nodes whose processes borrow it and that have no copy. */
  claimants: Set<NodeId>
  isHere: boolean
  /** Other nodes that keep a copy for this one, with its size. */
  elsewhere: Map<NodeId, number>
  /** Nodes that have not answered yet whether they have one. */
  asked: Set<NodeId>
  /** It is to be asked for as soon as it is known which nodes there are. */
  toAsk: boolean
}

/** An `adopt` that waits for other nodes. */
interface Question {
  from: WorkerId
  ack: number
  ids: string[]
}

export class Adoption implements Machine<AdoptionEvent, AdoptionEffect> {
  private readonly objects = new Map<string, Adopted>()
  /** Processes of this node that have not said yet what they borrow of a dead process or node. */
  private readonly mourners = new Map<WorkerId | NodeId, Set<WorkerId>>()
  /** Until when other nodes may claim what was there. */
  private readonly graces = new Map<WorkerId | NodeId, Millis>()
  private questions: Question[] = []

  /** The dead, processes and nodes, of whom something is kept, or may be yet. */
  remembered(): Set<WorkerId | NodeId> {
    const ids = new Set<WorkerId | NodeId>([...this.mourners.keys(), ...this.graces.keys()])
    for (const id of this.objects.keys()) ids.add(ownerOf(id)).add(nodeOf(id))
    return ids
  }

  /** Whether an object of a dead owner has to stay. */
  keeps(id: string): boolean {
    const object = this.objects.get(id)
    if (object !== undefined && object.holders.size + object.claimants.size > 0) return true
    const owner = ownerOf(id)
    return [owner, nodeOf(owner)].some(each => this.mourners.has(each) || this.graces.has(each))
  }

  /** Other nodes that keep a copy for this one, with its size. */
  where(id: string): [NodeId, number][] {
    return [...(this.objects.get(id)?.elsewhere ?? [])]
  }

  /** Whether it may yet turn out that some node has it. */
  isOpen(id: string): boolean {
    const owner = ownerOf(id)
    const isNews = [owner, nodeOf(owner)].some(each => this.mourners.has(each) || this.graces.has(each))
    const object = this.objects.get(id)
    return isNews || (object !== undefined && (object.toAsk || object.asked.size > 0))
  }

  handle(event: AdoptionEvent, now: Millis, out: AdoptionEffect[]): void {
    switch (event.is) {
      case 'died':
        this.died(event, now, out)
        break
      case 'adopt':
        this.adopt(event, out)
        break
      case 'met':
        this.met(event.others, out)
        break
      case 'disown':
        for (const seq of event.seqs) this.letGo(objectId(event.owner, seq), object => object.holders.delete(event.from), out)
        break
      case 'mourned':
        this.mourned(event.from, event.id, out)
        break
      case 'claim':
        this.claimedHere(event, out)
        break
      case 'claimed':
        this.answered(event, out)
        break
      case 'unclaim':
        for (const seq of event.seqs) this.letGo(objectId(event.owner, seq), object => object.claimants.delete(event.from), out)
        break
      case 'here':
        this.cameHere(event.id, out)
        break
      case 'tick':
        for (const [id, until] of this.graces) if (until <= now) this.graces.delete(id)
        out.push({ is: 'sweep' })
        break
    }
    this.reply(out)
  }

  deadline(): Millis | null {
    let first: Millis | null = null
    for (const until of this.graces.values()) if (first === null || until < first) first = until
    return first
  }

  invariants(): void {
    for (const [id, object] of this.objects) {
      assert(object.holders.size + object.claimants.size > 0, `the object ${id} is kept for nobody`)
      const isClaimed = object.toAsk || object.elsewhere.size + object.asked.size > 0
      assert(object.holders.size > 0 || !isClaimed, `the object ${id} is claimed for nobody`)
    }
    for (const mourners of this.mourners.values()) assert(mourners.size > 0, 'a death is mourned by nobody')
    for (const { ids } of this.questions)
      assert(
        ids.some(id => this.isAsked(id)),
        'a question with an answer is kept',
      )
  }

  get size(): number {
    return this.objects.size + this.mourners.size + this.graces.size + this.questions.length
  }

  private died({ id, processes, isAlone }: Extract<AdoptionEvent, { is: 'died' }>, now: Millis, out: AdoptionEffect[]): void {
    for (const dead of [...this.mourners.keys()]) this.mourned(id, dead, out)
    this.questions = this.questions.filter(({ from }) => from !== id)
    for (const [object, { holders, claimants, asked, elsewhere }] of [...this.objects]) {
      asked.delete(id)
      elsewhere.delete(id)
      if (holders.has(id) || claimants.has(id)) this.letGo(object, each => each.holders.delete(id) || each.claimants.delete(id), out)
    }
    const mourners = processes.filter(each => each !== id)
    if (mourners.length > 0) this.mourners.set(id, new Set(mourners))
    if (!isAlone) this.graces.set(id, now + limits.adoptionGraceMs)
    out.push({ is: 'sweep' })
  }

  private mourned(from: WorkerId, id: WorkerId | NodeId, out: AdoptionEffect[]): void {
    const mourners = this.mourners.get(id)
    if (!mourners?.delete(from) || mourners.size > 0) return
    this.mourners.delete(id)
    out.push({ is: 'sweep' })
  }

  private adopt({ from, ack, owner, seqs, has, others }: Extract<AdoptionEvent, { is: 'adopt' }>, out: AdoptionEffect[]): void {
    const here = new Set(has)
    const toClaim: number[] = []
    for (const seq of seqs) {
      const id = objectId(owner, seq)
      const object = this.object(id)
      if (here.has(seq) && !object.isHere) {
        object.isHere = true
        out.push({ is: 'keep', id })
      }
      const isKnown = object.holders.size > 0
      object.holders.add(from)
      if (object.isHere || isKnown) continue
      if (others === null) object.toAsk = true
      else toClaim.push(seq)
    }
    this.claim(owner, toClaim, others ?? [], out)
    this.questions.push({ from, ack, ids: seqs.map(seq => objectId(owner, seq)) })
  }

  private claim(owner: WorkerId, seqs: number[], others: NodeId[], out: AdoptionEffect[]): void {
    if (seqs.length === 0) return
    for (const to of others) {
      for (const seq of seqs) this.objects.get(objectId(owner, seq))?.asked.add(to)
      out.push({ is: 'sendToNode', to, message: { is: 'claim', owner, seqs } })
    }
  }

  private met(others: NodeId[], out: AdoptionEffect[]): void {
    for (const [id, object] of this.objects) {
      if (!object.toAsk) continue
      object.toAsk = false
      if (!object.isHere) this.claim(ownerOf(id), [seqOf(id)], others, out)
    }
  }

  private claimedHere({ from, owner, seqs, has }: Extract<AdoptionEvent, { is: 'claim' }>, out: AdoptionEffect[]): void {
    for (const [seq] of has) {
      const id = objectId(owner, seq)
      const object = this.object(id)
      object.claimants.add(from)
      if (!object.isHere) out.push({ is: 'keep', id })
      object.isHere = true
    }
    out.push({ is: 'sendToNode', to: from, message: { is: 'claimed', owner, seqs, kept: has } })
  }

  private answered({ from, owner, seqs, kept }: Extract<AdoptionEvent, { is: 'claimed' }>, out: AdoptionEffect[]): void {
    for (const seq of seqs) this.objects.get(objectId(owner, seq))?.asked.delete(from)
    const needless: number[] = []
    for (const [seq, sizeBytes] of kept) {
      const object = this.objects.get(objectId(owner, seq))
      if (object === undefined || object.holders.size === 0 || object.isHere) needless.push(seq)
      else object.elsewhere.set(from, sizeBytes)
    }
    if (needless.length > 0) out.push({ is: 'sendToNode', to: from, message: { is: 'unclaim', owner, seqs: needless } })
  }

  /** Answers those who asked, as soon as it is known of each object whether it is anywhere. */
  private reply(out: AdoptionEffect[]): void {
    const open: Question[] = []
    for (const question of this.questions) {
      if (question.ids.some(id => this.isAsked(id))) {
        open.push(question)
        continue
      }
      const { from, ack, ids } = question
      const missing = ids.filter(id => !this.isAnywhere(id))
      out.push({ is: 'adopted', to: from, ack, ids, missing })
      for (const id of missing) this.letGo(id, object => object.holders.delete(from), out)
    }
    this.questions = open
  }

  private isAnywhere(id: string): boolean {
    const object = this.objects.get(id)
    return object !== undefined && (object.isHere || object.elsewhere.size > 0)
  }

  private isAsked(id: string): boolean {
    const object = this.objects.get(id)
    return object !== undefined && !this.isAnywhere(id) && (object.toAsk || object.asked.size > 0)
  }

  /** The copies that others keep for this node are needed no more. */
  private cameHere(id: string, out: AdoptionEffect[]): void {
    const object = this.objects.get(id)
    if (object === undefined || object.isHere) return
    object.isHere = true
    out.push({ is: 'keep', id })
    this.unclaim(id, object, out)
  }

  private unclaim(id: string, object: Adopted, out: AdoptionEffect[]): void {
    const [owner, seqs] = [ownerOf(id), [seqOf(id)]]
    for (const to of object.elsewhere.keys()) out.push({ is: 'sendToNode', to, message: { is: 'unclaim', owner, seqs } })
    object.elsewhere.clear()
    object.asked.clear()
    object.toAsk = false
  }

  private object(id: string): Adopted {
    let object = this.objects.get(id)
    if (object === undefined) {
      object = { holders: new Set(), claimants: new Set(), isHere: false, elsewhere: new Map(), asked: new Set(), toAsk: false }
      this.objects.set(id, object)
    }
    return object
  }

  private letGo(id: string, remove: (object: Adopted) => boolean, out: AdoptionEffect[]): void {
    const object = this.objects.get(id)
    if (object === undefined || !remove(object)) return
    if (object.holders.size === 0) this.unclaim(id, object, out)
    if (object.holders.size + object.claimants.size > 0) return
    this.objects.delete(id)
    out.push({ is: 'sweep' })
  }
}
