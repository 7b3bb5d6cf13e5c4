// SPDX-License-Identifier: Apache-2.0
// An actor in a simulated process, as lib/run/actor-host.ts has it: one call at a time in the order of arrival, each
// answered once every borrow with others than its caller is known.

import type { Outcome } from '#lib/core/owner/outcome.js'
import type { TaskReply } from '#lib/core/owner/tasks.js'
import { ObjectStoreFullError } from '#lib/errors.js'
import { objectId } from '#lib/ids.js'
import { NO_CLAIM } from '#lib/wire/frames.js'
import type { ActorStart, WorkerId } from '#lib/wire/messages.js'
import { CallOrder } from './checkers/calls.js'
import { encodeError, Thrown } from './errors.js'
import type { CallFrame, Encoded } from './frames.js'
import { sizeOf } from './object-store.js'
import type { Ref, SimProcess } from './process.js'
import { answerOf, legacyOf, type Value } from './program.js'
import { whenRoom } from './room.js'

export class SimActor {
  readonly queue: { from: WorkerId; frame: CallFrame }[] = []
  stopping = false
  readonly actorId: string
  /** Ends its process when it has run its next call, before it answers. */
  doom: (() => void) | null = null
  #n = 0
  /** Its state ends with its process, so answers depend on the call alone. */
  readonly #forgets: boolean
  #answering = false
  readonly #order = new CallOrder()

  constructor(
    readonly process: SimProcess,
    start: ActorStart,
  ) {
    const { spec, incarnation } = start
    this.actorId = spec.actorId
    this.#forgets = spec.maxRestarts !== 0
    process.world.actorStarts(process.id, start)
    process.control(process.world.node, { is: 'actorStarted', actorId: spec.actorId, incarnation, error: null })
  }

  get runnable(): boolean {
    return !this.#answering && this.queue.length > 0
  }

  get idle(): boolean {
    return !this.#answering && this.queue.length === 0
  }

  callersDied(isDead: (caller: WorkerId) => boolean): void {
    for (let i = this.queue.length - 1; i >= 0; i--) if (isDead(this.queue[i]?.from as WorkerId)) this.queue.splice(i, 1)
  }

  step(): void {
    const { process } = this
    const { from, frame } = this.queue.shift() as { from: WorkerId; frame: CallFrame }
    const problem = frame.isRemade ? null : this.#order.problem(from, frame.task)
    if (problem !== null) process.world.faulty(problem)
    process.world.callRuns(from, frame)
    if (this.doom !== null) return this.doom()
    const value = process.decode(frame.value)
    const { n, throws } = answerOf(this.#n, value.n)
    if (!this.#forgets) this.#n = n
    this.#answering = true
    const legacy = process.legacies && !throws ? legacyOf(n) : null
    const isFull = legacy !== null && process.world.store.isFull
    if (legacy !== null && !isFull) value.refs.push(process.put({ n: legacy, refs: [] }))
    process.whenBorrowsAreKnown(from, () => {
      if (isFull) this.#failed(from, frame, new ObjectStoreFullError('the store is full'))
      else if (throws) this.#failed(from, frame, new Thrown('thrown by the call'))
      else this.#answered(from, frame, { n, refs: value.refs })
    })
  }

  #answered(from: WorkerId, frame: CallFrame, value: Value<Ref>): void {
    const { process } = this
    const { world } = process
    if (!world.actorsStore || !world.chance(0.4)) return this.#ok(from, frame, value, encoded => ({ form: 'plain', value: encoded }))
    const id = objectId(from, frame.task)
    whenRoom(process, hasRoom => {
      if (!hasRoom) return this.#failed(from, frame, new ObjectStoreFullError('there was no room for the result of a call'))
      this.#ok(from, frame, value, encoded => {
        world.store.put(id, encoded)
        return { form: 'stored', sizeBytes: sizeOf(id) }
      })
    })
  }

  #ok(from: WorkerId, frame: CallFrame, value: Value<Ref>, outcomeOf: (encoded: Encoded) => Outcome): void {
    const { process } = this
    const entries = value.refs.map(ref => ref.entry)
    if (entries.length > 0) process.owner.references.holdForCaller(from, frame.task, entries)
    const encoded = process.encode(value)
    this.#reply(from, frame, 'ok', outcomeOf(encoded), encoded.refs.length > 0 ? [encoded.refs] : null)
  }

  #failed(from: WorkerId, frame: CallFrame, error: Error): void {
    this.#reply(from, frame, 'error', { form: 'failed', error: encodeError(error) }, null)
  }

  #reply(from: WorkerId, { task }: CallFrame, status: 'ok' | 'error', result: Outcome, contained: TaskReply['contained']): void {
    const { process } = this
    this.#answering = false
    process.send(from, {
      is: 'reply',
      from: process.id,
      claim: NO_CLAIM,
      task,
      retry: false,
      status,
      results: [result],
      contained,
      bodyMs: 0,
    })
    process.discardAll()
  }
}
