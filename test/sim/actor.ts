// SPDX-License-Identifier: Apache-2.0
// An actor in a simulated process, as lib/run/actor-host.ts has it: one call at a time in the order of arrival, each
// answered once every borrow with others than its caller is known.

import { NO_CLAIM } from '#lib/wire/frames.js'
import type { ActorStart, WorkerId } from '#lib/wire/messages.js'
import { CallOrder } from './checkers/calls.js'
import { encodeError, Thrown } from './errors.js'
import type { CallFrame } from './frames.js'
import type { SimProcess } from './process.js'
import { answerOf } from './program.js'

export class SimActor {
  readonly queue: { from: WorkerId; frame: CallFrame }[] = []
  stopping = false
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
    const problem = this.#order.problem(from, frame.task)
    if (problem !== null) process.world.faulty(problem)
    process.world.callRuns(from, frame)
    if (this.doom !== null) return this.doom()
    const value = process.decode(frame.value)
    const { n, throws } = answerOf(this.#n, value.n)
    if (!this.#forgets) this.#n = n
    this.#answering = true
    process.whenBorrowsAreKnown(from, () => {
      this.#answering = false
      const reply = { is: 'reply', from: process.id, claim: NO_CLAIM, task: frame.task, retry: false } as const
      if (throws) {
        const error = encodeError(new Thrown('thrown by the call'))
        process.send(from, { ...reply, status: 'error', results: [{ form: 'failed', error }], contained: null })
      } else {
        const entries = value.refs.map(ref => ref.entry)
        if (entries.length > 0) process.owner.references.holdForCaller(from, frame.task, entries)
        const encoded = process.encode({ n, refs: value.refs })
        const contained = encoded.refs.length > 0 ? [encoded.refs] : null
        process.send(from, { ...reply, status: 'ok', results: [{ form: 'plain', value: encoded }], contained })
      }
      process.discardAll()
    })
  }
}
