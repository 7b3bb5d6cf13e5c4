// SPDX-License-Identifier: Apache-2.0
// Objects this node gets from others: each once, however many processes want it. The owner says where one is; its turn comes
// when there is room in the budget; pieces come from several sources; it is sealed, and pinned until those who wait have read it.

import { ObjectFreedError, ObjectLostError, OwnerDiedError } from '../../errors.js'
import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { Control, Located, NodeId, PullWhy, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Machine, Millis } from '../machine.js'
import { Pull } from './pull.js'

export type PullEvent =
  /** `here`: it is in the store. */
  | { is: 'want'; from: WorkerId; id: string; why: PullWhy; here: boolean }
  /** It has been read, or is needed no more. */
  | { is: 'unwant'; from: WorkerId; id: string }
  | { is: 'located'; id: string; located: Located; here: boolean }
  /** Its memory is reserved. */
  | { is: 'made'; id: string }
  /** There is no room for it now; with `error`, ever. */
  | { is: 'noRoom'; id: string; error: Error | null }
  /** A process of this node makes it, or has made it. */
  | { is: 'exists'; id: string; here: boolean }
  | { is: 'sealed'; id: string }
  | { is: 'arrived'; id: string; source: NodeId; piece: number }
  /** `missing`: the source has no such object; else it may have it, but the bytes do not come. `unwritten`: they came, and this node could not write them. */
  | { is: 'failed'; id: string; source: NodeId; piece: number; missing: boolean; unwritten: boolean; why: string }
  /** May be told more than once. */
  | { is: 'died'; workerId: WorkerId }
  /** Where it is could be asked of nobody: its owner is gone, and nobody here has heard of that. */
  | { is: 'unasked'; id: string }
  | { is: 'nodeDied'; nodeId: NodeId }
  | { is: 'tick' }

export type PullEffect =
  | { is: 'send'; to: WorkerId; message: Control }
  /** Answered by `made`, `noRoom` or `exists`. */
  | { is: 'make'; id: string; sizeBytes: number }
  /** Answered by `arrived` or `failed`. */
  | { is: 'fetch'; id: string; source: NodeId; piece: number; offset: number; length: number }
  /** It is whole. Answered by `sealed`. */
  | { is: 'seal'; id: string }
  | { is: 'abort'; id: string }
  /** It is pulled no more. */
  | { is: 'ended'; id: string }
  /** Keeps it in memory for those who wait, until `unpin`. */
  | { is: 'pin'; id: string }
  | { is: 'unpin'; id: string }
  | { is: 'fail'; to: WorkerId; id: string; error: Error | Uint8Array }
  /** Memory is short: processes should collect garbage. */
  | { is: 'collect' }

export class Pulls implements Machine<PullEvent, PullEffect> {
  private readonly pulls = new Map<string, Pull>()
  private orders = 0
  /** Bytes of all that is being made, moved or held. */
  private usedBytes = 0

  constructor(
    private readonly node: NodeId,
    /** Bytes that may be on their way, or waiting to be read, at once; one larger object may be, alone. */
    private readonly budgetBytes: number,
  ) {}

  get(id: string): Pull | undefined {
    return this.pulls.get(id)
  }

  /** Waiting for their turn, and getting bytes. */
  counts(): { queued: number; moving: number } {
    const states = [...this.pulls.values()].map(pull => pull.state)
    const queued = states.filter(state => state === 'asking' || state === 'queued').length
    return { queued, moving: states.filter(state => state === 'making' || state === 'moving' || state === 'sealing').length }
  }

  handle(event: PullEvent, now: Millis, out: PullEffect[]): void {
    switch (event.is) {
      case 'want':
        this.want(event, now, out)
        break
      case 'tick':
        for (const pull of [...this.pulls.values()]) if (pull.at !== null && pull.at <= now) this.due(pull, now, out)
        break
      case 'died':
        this.died(event.workerId, now, out)
        break
      case 'nodeDied':
        for (const pull of [...this.pulls.values()]) this.nodeDied(pull, event.nodeId, now, out)
        break
      default: {
        const pull = this.pulls.get(event.id)
        if (pull !== undefined) this.step(pull, event, now, out)
      }
    }
    this.admit(now, out)
  }

  deadline(): Millis | null {
    let first: Millis | null = null
    for (const { at } of this.pulls.values()) if (at !== null && (first === null || at < first)) first = at
    return first
  }

  invariants(): void {
    let used = 0
    for (const pull of this.pulls.values()) {
      pull.invariants()
      const { state } = pull
      if (state !== 'asking' && state !== 'queued') used += pull.sizeBytes
      assert(
        pull.waiters.size > 0 || state === 'making' || state === 'sealing' || pull.flying > 0,
        `object ${pull.id} is pulled for nobody`,
      )
      assert(!pull.whole || state !== 'moving', `object ${pull.id} is whole and not sealed`)
      assert(!pull.sources.has(this.node), `object ${pull.id} is pulled from this node itself`)
    }
    assert(used === this.usedBytes, `${this.usedBytes} bytes are said to be on their way, ${used} are`)
    const idle = this.usedBytes === 0 && [...this.pulls.values()].some(({ state, at }) => state === 'queued' && at === null)
    assert(!idle, 'a pull waits for its turn while no other has one')
  }

  private want({ from, id, why, here }: Extract<PullEvent, { is: 'want' }>, now: Millis, out: PullEffect[]): void {
    let pull = this.pulls.get(id)
    if (pull === undefined) {
      if (here) return void out.push({ is: 'send', to: from, message: { is: 'pulled', id } })
      pull = new Pull(id, ++this.orders)
      this.pulls.set(id, pull)
      pull.waiters.set(from, why)
      return this.ask(pull, now, out)
    }
    pull.waiters.set(from, why)
    if (pull.state === 'held') out.push({ is: 'send', to: from, message: { is: 'pulled', id } })
    else if (pull.state === 'moving') this.fill(pull, out)
  }

  private step(pull: Pull, event: Exclude<PullEvent, { is: 'want' | 'tick' | 'died' | 'nodeDied' }>, now: Millis, out: PullEffect[]): void {
    switch (event.is) {
      case 'unwant':
        pull.waiters.delete(event.from)
        return this.unwanted(pull, out)
      case 'located':
        return this.located(pull, event.located, event.here, now, out)
      case 'made':
        if (pull.state !== 'making') return
        pull.state = 'moving'
        pull.at = null
        pull.starvedSince = null
        pull.begin()
        if (pull.waiters.size === 0) return this.unwanted(pull, out)
        return this.moved(pull, now, out)
      case 'noRoom':
        return this.noRoom(pull, event.error, now, out)
      case 'exists':
        if (event.here) return this.found(pull, now, out)
        // Whoever makes it here will have sealed it, or ended, when it is looked at again.
        this.unqueue(pull)
        if (pull.stale) return this.landed(pull, now, out)
        pull.at = now + limits.pullRoomRetryMs
        return this.unwanted(pull, out)
      case 'unasked':
        return pull.orphaned ? this.fail(pull, ownerless(pull), out) : this.ownerDied(pull, now, out)
      case 'sealed':
        return this.sealed(pull, now, out)
      case 'arrived':
        if (!pull.arrived(event.source, event.piece)) return
        pull.rounds = 0
        pull.unwritten = null
        return this.moved(pull, now, out)
      case 'failed':
        pull.failed(event.source, event.piece, event.unwritten ? `it came, and was not written here: ${event.why}` : event.why)
        if (event.unwritten) pull.unwritten = event.why
        if (event.missing) this.missing(pull, event.source, out)
        return this.moved(pull, now, out)
    }
  }

  /** Asks the owner where it is. */
  private ask(pull: Pull, now: Millis, out: PullEffect[]): void {
    pull.known = true
    pull.at = now + limits.locateAgainMs
    out.push({ is: 'send', to: pull.owner, message: { is: 'locate', seqs: [pull.seq] } })
  }

  /** That node, which the owner has named, has no copy. */
  private missing({ owner, seq, losses }: Pull, node: NodeId, out: PullEffect[]): void {
    out.push({ is: 'send', to: owner, message: { is: 'copyMissing', seq, nodes: [node], losses } })
  }

  private located(pull: Pull, { state, nodes, sizeBytes, losses, error }: Located, here: boolean, now: Millis, out: PullEffect[]): void {
    if (pull.state === 'sealing' || pull.state === 'held') return
    if (state === 'pending') return this.startOver(pull, now, out)
    // Who is asked again once nothing is under way.
    if (pull.state === 'making' || (pull.stale && state === 'stored')) return
    if (pull.state !== 'moving' && here) return this.found(pull, now, out)
    const { id } = pull
    switch (state) {
      case 'failed':
        return this.fail(pull, error ?? new ObjectLostError(`the object ${id} is lost`, { objectId: id }), out)
      case 'gone':
        return this.fail(pull, new ObjectFreedError(`the object ${id} was freed before this node had a copy of it`, { objectId: id }), out)
      case 'stored': {
        pull.losses = losses
        const others = nodes.filter(node => node !== this.node)
        if (others.length < nodes.length && pull.state !== 'moving') {
          // The owner thinks that this node has it, which it would know.
          this.missing(pull, this.node, out)
          if (others.length === 0) return this.later(pull, now)
        }
        if (others.length === 0) return this.later(pull, now)
        for (const node of others) {
          pull.failures.delete(node)
          if (!pull.sources.has(node)) pull.sources.set(node, new Set())
        }
        pull.at = null
        if (pull.state === 'moving') return this.moved(pull, now, out)
        pull.sizeBytes = sizeBytes
        pull.state = 'queued'
      }
    }
  }

  /** The owner is asked again after a pause. */
  private later(pull: Pull, now: Millis): void {
    const [first, longest] = limits.locatePauseMs
    pull.at = now + Math.min(longest, first * 2 ** pull.rounds++)
  }

  /** Starts those whose turn it is: gets before waits before arguments, then as they came. */
  private admit(now: Millis, out: PullEffect[]): void {
    const queued = [...this.pulls.values()].filter(pull => pull.state === 'queued' && (pull.at === null || pull.at <= now))
    if (queued.length === 0) return
    queued.sort((a, b) => a.rank - b.rank || a.order - b.order)
    for (const pull of queued) {
      if (this.usedBytes > 0 && this.usedBytes + pull.sizeBytes > this.budgetBytes) return
      this.usedBytes += pull.sizeBytes
      pull.state = 'making'
      pull.at = null
      out.push({ is: 'make', id: pull.id, sizeBytes: pull.sizeBytes })
    }
  }

  /** Back into the queue. */
  private unqueue(pull: Pull): void {
    assert(pull.state === 'making', `object ${pull.id} is ${pull.state} and was being made`)
    this.usedBytes -= pull.sizeBytes
    pull.state = 'queued'
  }

  /** There is no value: the owner says so again when there is one. What has come of the one before is of no use. */
  private startOver(pull: Pull, now: Millis, out: PullEffect[]): void {
    pull.at = null
    if (pull.state === 'making' || pull.state === 'moving') {
      pull.stale = true
      // Pieces that others wait for will not come; two that wait for each other would do so for ever.
      out.push({ is: 'ended', id: pull.id })
      return this.moved(pull, now, out)
    }
    pull.state = 'asking'
    pull.sources.clear()
  }

  /** Asks anew, once nothing is under way. */
  private landed(pull: Pull, now: Millis, out: PullEffect[]): void {
    if (pull.flying > 0) return
    if (pull.waiters.size === 0) return this.unwanted(pull, out)
    if (pull.state === 'moving') {
      out.push({ is: 'abort', id: pull.id })
      this.usedBytes -= pull.sizeBytes
    }
    pull.state = 'asking'
    pull.stale = false
    pull.unwritten = null
    pull.starvedSince = null
    pull.sources.clear()
    pull.failures.clear()
    this.ask(pull, now, out)
  }

  private noRoom(pull: Pull, error: Error | null, now: Millis, out: PullEffect[]): void {
    if (pull.state !== 'making') return
    this.unqueue(pull)
    if (error !== null) return this.fail(pull, error, out)
    if (pull.stale) return this.landed(pull, now, out)
    pull.starvedSince ??= now
    pull.at = now + limits.pullRoomRetryMs
    out.push({ is: 'collect' })
    this.unwanted(pull, out)
  }

  /** It is in the store by other ways. */
  private found(pull: Pull, now: Millis, out: PullEffect[]): void {
    if (pull.state === 'making') this.usedBytes -= pull.sizeBytes
    else if (pull.state === 'moving') return
    this.usedBytes += pull.sizeBytes
    this.hold(pull, now, out)
  }

  /** A piece has come or will not: the next ones, the end, or other sources. */
  private moved(pull: Pull, now: Millis, out: PullEffect[]): void {
    if (pull.state !== 'moving') return
    if (pull.stale) return this.landed(pull, now, out)
    pull.prune()
    if (pull.waiters.size === 0) return this.unwanted(pull, out)
    if (pull.whole) {
      pull.state = 'sealing'
      pull.at = null
      return void out.push({ is: 'seal', id: pull.id })
    }
    this.fill(pull, out)
    if (pull.sources.size > 0) return
    if (pull.at === null) this.later(pull, now)
  }

  private sealed(pull: Pull, now: Millis, out: PullEffect[]): void {
    if (pull.state !== 'sealing') return
    out.push({ is: 'send', to: pull.owner, message: { is: 'copyAdded', seqs: [pull.seq] } })
    pull.known = false
    this.hold(pull, now, out)
  }

  private fill(pull: Pull, out: PullEffect[]): void {
    for (let next = pull.next(); next !== null; next = pull.next()) {
      const { source, piece } = next
      out.push({ is: 'fetch', id: pull.id, source, piece, ...pull.range(piece) })
    }
  }

  private hold(pull: Pull, now: Millis, out: PullEffect[]): void {
    pull.state = 'held'
    pull.sources.clear()
    pull.at = now + limits.pullHoldMs
    out.push({ is: 'pin', id: pull.id })
    for (const to of pull.waiters.keys()) out.push({ is: 'send', to, message: { is: 'pulled', id: pull.id } })
    this.unwanted(pull, out)
  }

  /** Ends it when nobody waits any more; pieces under way land first: late, they would be written into a new copy of that id. */
  private unwanted(pull: Pull, out: PullEffect[]): void {
    if (pull.waiters.size > 0 || pull.state === 'making' || pull.state === 'sealing') return
    if (pull.state === 'moving') {
      if (pull.flying > 0) return
      out.push({ is: 'abort', id: pull.id })
    }
    this.end(pull, out)
  }

  private fail(pull: Pull, error: Error | Uint8Array, out: PullEffect[]): void {
    for (const to of pull.waiters.keys()) out.push({ is: 'fail', to, id: pull.id, error })
    pull.waiters.clear()
    this.unwanted(pull, out)
  }

  private end(pull: Pull, out: PullEffect[]): void {
    if (pull.state === 'held') out.push({ is: 'unpin', id: pull.id })
    if (pull.state === 'held' || pull.state === 'moving') this.usedBytes -= pull.sizeBytes
    if (pull.known) out.push({ is: 'send', to: pull.owner, message: { is: 'copyStopped', seqs: [pull.seq] } })
    this.pulls.delete(pull.id)
    out.push({ is: 'ended', id: pull.id })
  }

  private due(pull: Pull, now: Millis, out: PullEffect[]): void {
    pull.at = null
    if (pull.state === 'held') {
      // Who has not read it by now is stuck in a loop of its own; it will ask again.
      pull.waiters.clear()
      return this.unwanted(pull, out)
    }
    if (pull.state === 'queued' && pull.starvedSince !== null && now - pull.starvedSince >= limits.pullRoomWaitMs)
      return this.fail(pull, noRoomFor(pull), out)
    if (pull.rounds >= limits.locateRoundsMax) return this.fail(pull, pull.unwritten === null ? unreachable(pull) : unwritable(pull), out)
    if (pull.state === 'asking' || pull.state === 'moving') this.ask(pull, now, out)
  }

  private died(workerId: WorkerId, now: Millis, out: PullEffect[]): void {
    for (const pull of [...this.pulls.values()]) {
      if (pull.owner === workerId) this.ownerDied(pull, now, out)
      else if (pull.waiters.delete(workerId)) this.unwanted(pull, out)
    }
  }

  /** Copies that are there already can still be got; where they are is asked once more, and known to the daemon itself if at all, which says so. */
  private ownerDied(pull: Pull, now: Millis, out: PullEffect[]): void {
    pull.known = false
    if (pull.state === 'held' || pull.sources.size > 0) return
    pull.orphaned = true
    this.ask(pull, now, out)
    pull.known = false
  }

  /** What is under way from it fails by itself; it is not asked for more. */
  private nodeDied(pull: Pull, node: NodeId, now: Millis, out: PullEffect[]): void {
    if (pull.sources.has(node)) pull.failures.set(node, 'the node died')
    if (nodeOf(pull.owner) === node) this.ownerDied(pull, now, out)
    else this.moved(pull, now, out)
  }
}

function ownerless({ id, owner }: Pull): Error {
  return new OwnerDiedError(`the object ${id} is lost: the process ${owner} that owned it had ended before it was asked for`, {
    objectId: id,
  })
}

function unreachable({ id, failures }: Pull): Error {
  const tried = [...failures].map(([node, why]) => `node ${node}: ${why}`).join('; ')
  return new ObjectLostError(
    `the object ${id} could not be brought here: its owner knows of copies, but none could be read (${tried}). Are the nodes' data ports reachable?`,
    { objectId: id },
  )
}

function unwritable({ id, unwritten }: Pull): Error {
  return new ObjectLostError(
    `the object ${id} could not be brought here: it came, and this node could not write it into its store (${unwritten}). Is there room where its store lies, and where it puts objects on disk?`,
    { objectId: id },
  )
}

function noRoomFor({ id, sizeBytes }: Pull): Error {
  return new ObjectLostError(
    `the object ${id} of ${sizeBytes} bytes could not be brought here: this node's store had no room for it for ${limits.pullRoomWaitMs} ms, because all of it is viewed. ` +
      'Drop values that are needed no more, or give the node more objectStoreBytes',
    { objectId: id },
  )
}
