// SPDX-License-Identifier: Apache-2.0
// What runs bodies in a simulated process, as lib/run/executor.ts and lib/run/lease.ts do it: one task at a time; a wait
// gives the CPU back; the answer leaves once every borrow with others than the caller is known to its owner.

import type { Outcome } from '#lib/core/owner/outcome.js'
import type { TaskReply } from '#lib/core/owner/tasks.js'
import { ObjectStoreFullError } from '#lib/errors.js'
import { objectId } from '#lib/ids.js'
import { limits } from '#lib/options.js'
import type { LeaseStart, WorkerId } from '#lib/wire/messages.js'
import { encodeError } from './errors.js'
import { CLAIM, type Encoded, type TaskFrame } from './frames.js'
import { sizeOf } from './object-store.js'
import type { Ref, SimProcess } from './process.js'
import { type Body, body, type Value } from './program.js'
import { whenRoom } from './room.js'

interface Running {
  from: WorkerId
  frame: TaskFrame
  /** Null while its arguments are not all here. */
  steps: Body<Ref> | null
  /** Gives the body its next value; null while it waits. */
  next: (() => void) | null
  cancelled: boolean
}

export class SimExecutor {
  readonly queue: { from: WorkerId; frame: TaskFrame }[] = []
  running: Running | null = null
  retiring = false
  /** The last lease that each owner has told of. */
  readonly #leases = new Map<WorkerId, number>()
  #onResumed: (() => void) | null = null

  constructor(readonly process: SimProcess) {}

  leaseStarted(owner: WorkerId, message: LeaseStart): void {
    this.#leases.set(owner, message.leaseId)
  }

  resumed(): void {
    const go = this.#onResumed
    this.#onResumed = null
    go?.()
  }

  arrived(from: WorkerId, frame: TaskFrame): void {
    this.queue.push({ from, frame })
    if (this.process.world.isAlone || (this.running === null && this.queue.length === 1)) return
    // While it waits for its turn.
    for (const argument of frame.args) if ('stored' in argument) this.process.fetches.ahead(argument.stored)
  }

  /** A body that runs takes no notice; its children are cancelled, and its answer says that it was. */
  cancel(from: WorkerId, task: number): void {
    const { running } = this
    if (running === null || running.from !== from || running.frame.task !== task) return
    running.cancelled = true
    this.process.act({ is: 'cancelChildren', parent: running })
  }

  /** An owner on another node wants tasks back: what is in the queue has not begun. */
  giveBack(from: WorkerId, claims: number[]): void {
    for (const each of [...this.queue]) {
      if (each.from !== from || !claims.includes(each.frame.claim)) continue
      this.queue.splice(this.queue.indexOf(each), 1)
      this.#reply(from, each.frame, 'revoked', [], [])
    }
  }

  callersDied(isDead: (caller: WorkerId) => boolean): void {
    for (let i = this.queue.length - 1; i >= 0; i--) if (isDead(this.queue[i]?.from as WorkerId)) this.queue.splice(i, 1)
  }

  get runnable(): boolean {
    return this.running === null ? this.queue.length > 0 : this.running.next !== null
  }

  get idle(): boolean {
    return this.running === null && this.queue.length === 0
  }

  /** One step: begins the next task, or goes on with the one that runs. */
  step(): void {
    const { running } = this
    if (running === null) return this.#begin(this.queue.shift() as { from: WorkerId; frame: TaskFrame })
    const next = running.next as () => void
    running.next = null
    next()
  }

  #begin({ from, frame }: { from: WorkerId; frame: TaskFrame }): void {
    if (!frame.asked && !this.#claim(from, frame.claim)) return this.#reply(from, frame, 'revoked', [], [])
    this.running = { from, frame, steps: null, next: null, cancelled: false }
    this.#load(this.running)
  }

  /** Those that came with the task are decoded at once; the others are brought into this node's store, all at the same time. */
  #load(running: Running): void {
    const { process } = this
    const { from, frame } = running
    const args = frame.args.map(each => ('inline' in each ? process.decode(each.inline) : null))
    let missing = args.filter(each => each === null).length
    let waits = false
    /** All are there, or the first has failed. */
    const done = (go: () => void): void => {
      missing = -1
      if (waits) this.#resume(() => (running.next = go))
      else running.next = go
    }
    const start = (): void => this.#start(running, args as Value<Ref>[])
    if (missing === 0) return done(start)
    for (const [i, argument] of frame.args.entries()) {
      if ('inline' in argument) continue
      process.read(argument.stored, 'get', outcome => {
        if (missing === -1) return
        if (outcome instanceof Error) return done(() => process.whenBorrowsAreKnown(from, () => this.#failed(running, outcome)))
        args[i] = process.decode(outcome)
        if (--missing === 0) done(start)
      })
    }
    if (missing === -1) return
    process.world.later(process.id, limits.argumentsHoldMs, () => {
      if (missing === -1) return
      waits = true
      this.#block()
    })
  }

  #start(running: Running, args: Value<Ref>[]): void {
    const { process } = this
    const { from, frame } = running
    if (running.cancelled) return process.whenBorrowsAreKnown(from, () => this.#failed(running, new Error('it was cancelled')))
    const steps = body<Ref>(process, frame.seed, frame.depth, args)
    process.world.begins(from, frame, process.id)
    running.steps = steps
    this.advance(() => steps.next())
  }

  /** False when the owner has taken the task back. */
  #claim(from: WorkerId, claim: number): boolean {
    const words = this.process.world.claims(from, this.process.id)
    const mine = words[claim] === CLAIM.queued
    words[claim] = mine ? CLAIM.claimed : CLAIM.free
    return mine
  }

  /** Runs the body up to its next `get`. */
  advance(go: () => IteratorResult<Ref, Value<Ref>>): void {
    const running = this.running as Running
    let step: IteratorResult<Ref, Value<Ref>>
    try {
      step = go()
    } catch (error) {
      return this.process.whenBorrowsAreKnown(running.from, () => this.#failed(running, error as Error))
    }
    if (step.done) return this.process.whenBorrowsAreKnown(running.from, () => this.#answered(running, step.value as Value<Ref>))
    const { entry } = step.value
    let waits = false
    this.process.need(entry)
    this.process.whenReady(entry, outcome => {
      const go = () => {
        running.next = () => this.advance(() => this.process.feed(running.steps as Body<Ref>, outcome))
      }
      if (waits) this.#resume(go)
      else go()
    })
    waits = running.next === null
    if (waits) this.#block()
  }

  #block(): void {
    const { process } = this
    const { from } = this.running as Running
    const leaseId = this.#leases.get(from) as number
    process.control(process.world.node, { is: 'blocked', leaseId })
    process.control(from, { is: 'leaseBlocked', leaseId })
  }

  #resume(go: () => void): void {
    const { process } = this
    const { from } = this.running as Running
    this.#onResumed = go
    process.control(process.world.node, { is: 'unblock', leaseId: this.#leases.get(from) as number })
  }

  #answered(running: Running, value: Value<Ref>): void {
    const { process } = this
    const { from, frame, cancelled } = running
    if (cancelled) {
      this.#reply(from, frame, 'cancelled', [], [])
      return this.#ended()
    }
    if (!process.world.chance(0.4)) return this.#ok(running, value, encoded => ({ form: 'plain', value: encoded }))
    const id = objectId(from, frame.task)
    whenRoom(process, hasRoom => {
      if (!hasRoom) return this.#failed(running, new ObjectStoreFullError('there was no room for a result'))
      this.#ok(running, value, encoded => {
        process.world.store.put(id, encoded)
        return { form: 'stored', sizeBytes: sizeOf(id) }
      })
    })
  }

  #ok({ from, frame }: Running, value: Value<Ref>, outcomeOf: (encoded: Encoded) => Outcome): void {
    const { process } = this
    const entries = value.refs.map(ref => ref.entry)
    const encoded: Encoded = process.encode(value)
    if (entries.length > 0) process.owner.references.holdForCaller(from, frame.task, entries)
    this.#reply(from, frame, 'ok', [outcomeOf(encoded)], encoded.refs)
    this.#ended()
  }

  #failed({ from, frame, cancelled }: Running, error: Error): void {
    if (cancelled) this.#reply(from, frame, 'cancelled', [], [])
    else this.#reply(from, frame, 'error', [{ form: 'failed', error: encodeError(error) }], [])
    this.#ended()
  }

  #ended(): void {
    this.running = null
    this.process.discardAll()
  }

  #reply(from: WorkerId, { claim, task }: TaskFrame, status: TaskReply['status'], results: Outcome[], refs: Encoded['refs']): void {
    const contained = refs.length > 0 ? [refs] : null
    this.process.send(from, { is: 'reply', from: this.process.id, claim, task, status, results, contained, retry: false, bodyMs: 0 })
  }
}
