// SPDX-License-Identifier: Apache-2.0
// Objects of dead owners in the store of a node: those that somebody still borrows stay, the others are removed. What decides
// is core/node/adoption.ts; here are the store, messages and time.

import { Adoption, type AdoptionEffect, type AdoptionEvent } from '../core/node/adoption.js'
import { OwnerDiedError } from '../errors.js'
import { HEAD_ID, nodeOf, objectId, ownerOf, seqOf } from '../ids.js'
import { limits } from '../options.js'
import type { Control, Located, NodeId, WorkerId } from '../wire/messages.js'

/** When the store is looked through once more for what a dead process owned: it may have lived on for a moment, or others were about to write it (ms). */
const SECOND_SWEEP_MS = 1_000

/** Of the dead that are remembered, how many are forgotten at once. */
const FORGOTTEN_SHARE = 1 / 10

/** The node. */
export interface OrphansHost {
  /** Its daemon. */
  readonly self: WorkerId
  readonly nodeId: NodeId
  contains(id: string): boolean
  /** Objects in the store, with their sizes. */
  sealed(): Iterable<[string, number]>
  remove(id: string): void
  /** It is the copy that counts now. */
  promote(id: string): void
  /** Processes of this node that are alive. */
  living(): Set<WorkerId>
  /** Those that hear of deaths; one that has died meanwhile is among them until its death is told. */
  processes(): WorkerId[]
  /** It is the only node there can be. */
  readonly isAlone: boolean
  /** The other nodes of the cluster that are alive; null: the head has not told of any as yet. */
  others(): NodeId[] | null
  send(to: WorkerId, message: Control): void
  sendToNode(nodeId: NodeId, message: Control): void
  /** The other nodes have said of an object that is sought whether they have it. */
  answered(id: string): void
  now(): number
  /** Calls that after so many milliseconds, unless the node has ended by then. */
  later(ms: number, then: () => void): void
  encodeError(error: Error): Uint8Array
}

export class Orphans {
  private readonly adoption = new Adoption()
  /** Processes and nodes elsewhere that are dead, oldest first. */
  private readonly dead = new Set<WorkerId | NodeId>()
  /** How many of them there are when the oldest are forgotten: many at once, since it is looked through all that is kept. */
  private forgetAt: number = limits.deadOwnersKept
  /** Objects of dead owners that are being brought here: the daemon itself borrows them until that ends. */
  private readonly sought = new Set<string>()
  private armed = false

  constructor(private readonly host: OrphansHost) {}

  /** Gives whether the message was about objects of dead owners, and about nothing else. */
  heard(from: WorkerId, message: Control): boolean {
    const node = nodeOf(from)
    const isHere = node === this.host.nodeId
    switch (message.is) {
      case 'adopt': {
        if (isHere) this.adopt(from, message.ack, message.owner, message.seqs)
        return true
      }
      case 'disown':
        if (isHere) this.handle({ is: 'disown', from, owner: message.owner, seqs: message.seqs })
        return true
      case 'mourned':
        if (isHere) this.handle({ is: 'mourned', from, id: message.id })
        return true
      case 'claim':
        if (!isHere) this.handle({ is: 'claim', from: node, owner: message.owner, seqs: message.seqs, has: this.sizes(message) })
        return true
      case 'claimed':
        if (!isHere) this.handle({ ...message, from: node })
        return true
      case 'unclaim':
        if (!isHere) this.handle({ is: 'unclaim', from: node, owner: message.owner, seqs: message.seqs })
        return true
      case 'workerDied':
        if (nodeOf(message.workerId) === node) this.died(message.workerId)
        return false
      case 'nodeDied':
        // The processes here are told once, whoever found out first.
        if (from === HEAD_ID && !this.dead.has(message.nodeId)) this.died(message.nodeId)
        return false
      default:
        return false
    }
  }

  /** A process, of this or another node, or a whole node is dead or leaves for good, and the processes here are being told, now. */
  died(id: WorkerId | NodeId): void {
    if (nodeOf(id) !== this.host.nodeId) {
      this.dead.add(id)
      if (this.dead.size >= this.forgetAt) this.forget()
      this.reaped()
    }
    this.handle({ is: 'died', id, processes: this.host.processes(), isAlone: this.host.isAlone })
    this.arm()
  }

  /** The oldest, but nobody of whom something is kept: that would be asked for in vain, and stay for ever. */
  private forget(): void {
    const remembered = this.adoption.remembered()
    const most = limits.deadOwnersKept * (1 - FORGOTTEN_SHARE)
    for (const id of this.dead) {
      if (this.dead.size <= most) break
      if (!remembered.has(id)) this.dead.delete(id)
    }
    this.forgetAt = Math.max(limits.deadOwnersKept, this.dead.size + limits.deadOwnersKept * FORGOTTEN_SHARE)
  }

  /** A process has ended, whether or not it was told before that it would. */
  reaped(): void {
    this.host.later(SECOND_SWEEP_MS, () => this.sweep())
  }

  /**
   * As `locate`, of one that is about to be brought here. A task does not borrow its arguments, since whoever gave them to it holds them; where that
   * is a process of another node, nobody here has claimed them from the nodes that have them.
   */
  seek(id: string): Located | null {
    if (!this.sought.has(id) && this.isDead(ownerOf(id))) {
      this.sought.add(id)
      this.adopt(this.host.self, 0, ownerOf(id), [seqOf(id)])
    }
    return this.locate(id)
  }

  /** It was brought here, or is not needed any more. */
  unseek(id: string): void {
    if (this.sought.delete(id)) this.handle({ is: 'disown', from: this.host.self, owner: ownerOf(id), seqs: [seqOf(id)] })
  }

  /** Where an object of a dead owner can be got from, in place of what the owner would say; null while its owner lives. */
  locate(id: string): Located | null {
    const owner = ownerOf(id)
    const isDead = this.isDead(owner)
    if (!isDead && !this.isEnding(owner)) return null
    const copies = this.adoption.where(id)
    const located = {
      is: 'located',
      seq: seqOf(id),
      nodes: copies.map(([node]) => node),
      sizeBytes: copies[0]?.[1] ?? 0,
      losses: 0,
    } as const
    if (copies.length > 0 || !isDead || this.adoption.isOpen(id)) return { ...located, state: 'stored', error: null }
    const text = `the object ${id} is lost: the process that owned it died, and no node has a copy`
    return { ...located, state: 'failed', error: this.host.encodeError(new OwnerDiedError(text, { objectId: id })) }
  }

  /** Where the owner of an object is, for people: of one that is not among the living of this node. Null: on another one, where it tells of the object itself. */
  describeOwner(id: string): string | null {
    const owner = ownerOf(id)
    const node = nodeOf(owner)
    if (this.isDead(owner) || this.isEnding(owner)) return 'its owner is gone'
    if (this.host.others()?.includes(node)) return null
    return `its owner is on node ${node}, which this one has not heard of`
  }

  /** A copy has come to this node. */
  arrived(id: string): void {
    if (!this.isDead(ownerOf(id))) return
    this.handle({ is: 'here', id })
    // It was on its way when its owner died, and whoever wanted it may be gone too.
    if (!this.adoption.keeps(id)) this.host.remove(id)
  }

  /** The head has told of the other nodes. */
  met(): void {
    this.handle({ is: 'met', others: this.host.others() ?? [] })
  }

  private adopt(from: WorkerId, ack: number, owner: WorkerId, seqs: number[]): void {
    const has = seqs.filter(seq => this.host.contains(objectId(owner, seq)))
    this.handle({ is: 'adopt', from, ack, owner, seqs, has, others: this.host.others() })
  }

  private handle(event: AdoptionEvent): void {
    const out: AdoptionEffect[] = []
    this.adoption.handle(event, this.host.now(), out)
    for (const effect of out) {
      if (effect.is === 'adopted') this.answer(effect)
      else if (effect.is === 'sendToNode') this.host.sendToNode(effect.to, effect.message)
      else if (effect.is === 'keep') this.host.promote(effect.id)
    }
    if (out.some(effect => effect.is === 'sweep')) this.sweep()
  }

  private answer({ to, ack, ids, missing }: Extract<AdoptionEffect, { is: 'adopted' }>): void {
    if (to !== this.host.self) this.host.send(to, { is: 'adopted', ack, missing: missing.map(seqOf) })
    else for (const id of ids) if (this.sought.has(id)) this.host.answered(id)
  }

  /** Timers may be early, so that it is looked at again until nothing is due any more. */
  private arm(): void {
    const deadline = this.adoption.deadline()
    if (deadline === null || this.armed) return
    this.armed = true
    this.host.later(Math.max(1, Math.ceil(deadline - this.host.now())), () => {
      this.armed = false
      this.handle({ is: 'tick' })
      this.arm()
    })
  }

  private sweep(): void {
    const known = this.known()
    const unneeded = [...this.host.sealed()].filter(([id]) => this.isDead(ownerOf(id), known) && !this.adoption.keeps(id))
    for (const [id] of unneeded) this.host.remove(id)
  }

  /** Processes of this node that are alive, or of whose death nobody has heard: they are still to say what they borrow of such a one. */
  private known(): Set<WorkerId> {
    return new Set([...this.host.living(), ...this.host.processes()])
  }

  /** Its process has ended, and nobody has heard of that. */
  private isEnding(owner: WorkerId): boolean {
    return nodeOf(owner) === this.host.nodeId && !this.host.living().has(owner)
  }

  /** Of this or another node, and its death has been told. One that said goodbye may live on here for its views, and answers nobody. */
  private isDead(owner: WorkerId, known = new Set(this.host.processes())): boolean {
    const node = nodeOf(owner)
    return node === this.host.nodeId ? !known.has(owner) : this.dead.has(owner) || this.dead.has(node)
  }

  private sizes({ owner, seqs }: { owner: WorkerId; seqs: number[] }): [number, number][] {
    const asked = new Map(seqs.map(seq => [objectId(owner, seq), seq]))
    return [...this.host.sealed()].flatMap(([id, sizeBytes]): [number, number][] => {
      const seq = asked.get(id)
      return seq === undefined ? [] : [[seq, sizeBytes]]
    })
  }
}
