// SPDX-License-Identifier: Apache-2.0
// What runs bodies in a simulated process, as lib/run/executor.ts and lib/run/lease.ts do it: one task at a time; a wait
// gives the CPU back; the answer leaves once every borrow with others than the caller is known to its owner.

import { type Entry, STATE } from '#lib/core/owner/entry.js'
import type { Outcome } from '#lib/core/owner/outcome.js'
import type { TaskReply } from '#lib/core/owner/tasks.js'
import { objectId } from '#lib/ids.js'
import type { LeaseStart, WorkerId } from '#lib/wire/messages.js'
import { CLAIM, type Encoded, type TaskFrame } from './frames.js'
import type { Ref, SimProcess } from './process.js'
import { type Body, body, type Value } from './program.js'

interface Running {
  from: WorkerId
  frame: TaskFrame
  steps: Body<Ref>
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
    const { process } = this
    if (!frame.asked && !this.#claim(from, frame.claim)) return this.#reply(from, frame, 'revoked', [], [])
    const args: Value<Ref>[] = []
    for (const argument of frame.args) {
      const encoded = 'stored' in argument ? process.world.store.get(argument.stored) : argument.inline
      if (encoded !== undefined) args.push(process.decode(encoded))
      else process.world.missing(`argument ${'stored' in argument ? argument.stored : ''} of a task`)
    }
    if (args.length < frame.args.length) {
      this.#reply(from, frame, 'error', [{ form: 'failed', error: new TextEncoder().encode('an argument is lost') }], [])
      return process.discardAll()
    }
    const steps = body<Ref>(process, frame.seed, frame.depth, args)
    process.world.begins(objectId(from, frame.task))
    this.running = { from, frame, steps, next: null, cancelled: false }
    this.running.next = () => this.advance(() => steps.next())
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
    const go_ = () => {
      running.next = () => this.advance(() => this.process.feed(running.steps, entry))
    }
    this.process.need(entry)
    if (entry.settled) return go_()
    this.#wait(entry, go_)
  }

  #wait(entry: Entry, go: () => void): void {
    const { process } = this
    const { from } = this.running as Running
    const leaseId = this.#leases.get(from) as number
    process.control(process.world.node, { is: 'blocked', leaseId })
    process.control(from, { is: 'leaseBlocked', leaseId })
    process.whenSettled(entry, () => {
      this.#onResumed = go
      process.control(process.world.node, { is: 'unblock', leaseId })
    })
  }

  #answered({ from, frame, cancelled }: Running, value: Value<Ref>): void {
    const { process } = this
    if (cancelled) {
      this.#reply(from, frame, 'cancelled', [], [])
      return this.#ended()
    }
    const entries = value.refs.map(ref => ref.entry)
    const encoded: Encoded = process.encode(value)
    if (entries.length > 0) process.owner.references.holdForCaller(from, frame.task, entries)
    let outcome: Outcome = { form: 'plain', value: encoded }
    if (process.world.chance(0.4)) {
      process.world.store.set(objectId(from, frame.task), encoded)
      outcome = { form: 'stored', sizeBytes: 1 }
    }
    this.#reply(from, frame, 'ok', [outcome], encoded.refs)
    this.#ended()
  }

  #failed({ from, frame, cancelled }: Running, error: Error): void {
    if (cancelled) this.#reply(from, frame, 'cancelled', [], [])
    else this.#reply(from, frame, 'error', [{ form: 'failed', error: new TextEncoder().encode(error.message) }], [])
    this.#ended()
  }

  #ended(): void {
    this.running = null
    this.process.discardAll()
  }

  #reply(from: WorkerId, { claim, task }: TaskFrame, status: TaskReply['status'], results: Outcome[], refs: Encoded['refs']): void {
    const contained = refs.length > 0 ? [refs] : null
    this.process.send(from, { is: 'reply', from: this.process.id, claim, task, status, results, contained, retry: false })
  }
}

/** The value of a settled entry, or its failure. */
export function outcomeOf(entry: Entry, store: Map<string, Encoded>, id: string): Encoded | Error | null {
  if (entry.state === STATE.failed)
    return entry.error instanceof Error ? entry.error : new Error(new TextDecoder().decode(entry.error as Uint8Array))
  if (entry.state === STATE.stored) return store.get(id) ?? null
  return entry.plain as Encoded
}
