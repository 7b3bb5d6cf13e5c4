// SPDX-License-Identifier: Apache-2.0
// A program that submits so many equal tasks and waits for all of them; the owner's machines as they ship.

import type { Effect } from '#lib/core/owner/effects.js'
import { Owner, type OwnerEvent } from '#lib/core/owner/owner.js'
import { Task } from '#lib/core/owner/task.js'
import type { SchedulingClass, WorkerId } from '#lib/wire/messages.js'
import { jobOf } from '../../fakes/cluster.js'
import { CPU, codeOf } from '../../fakes/owner.js'
import type { Process, ScaleWorld, Sent } from './world.js'

/** Tasks that are submitted and not done at most: memory, and what a program that submits in a loop has. */
const AHEAD = 200_000
const NO_ARGUMENTS = new Uint8Array(0)
/** How often it looks at the time: often enough for what waits for nothing else. */
const TICK_MS = 50

export class ScaleDriver implements Process {
  readonly job: SchedulingClass['job']
  readonly owner: Owner
  done = 0
  startedAt: number | null = null
  endedAt: number | null = null
  #submitted = 0
  #flushing = false
  readonly #scheduling: SchedulingClass
  readonly #code = codeOf()

  constructor(
    private readonly world: ScaleWorld,
    readonly id: WorkerId,
    readonly node: WorkerId,
    private readonly count: number,
  ) {
    this.job = { ...jobOf(id) }
    this.#scheduling = { ...CPU, key: `cpu ${id}`, job: this.job }
    this.owner = new Owner(id, node, bytes => new Error(new TextDecoder().decode(bytes)))
  }

  start(): void {
    this.startedAt = this.world.agenda.now
    this.#submit()
    this.#tick()
  }

  receive(from: WorkerId, what: Sent): void {
    if (what.is === 'reply') this.#act(what)
    else if (what.is === 'control') this.#act({ is: 'message', from, message: what.message })
    if (this.startedAt !== null) this.#submit()
  }

  #submit(): void {
    while (this.#submitted < this.count && this.#submitted - this.done < AHEAD) {
      this.#submitted++
      const seq = this.owner.nextSeq(1)
      const task = new Task(seq, 'f', this.#code, this.#scheduling, NO_ARGUMENTS, 0, 1, 3, false, [], null)
      const out: Effect[] = []
      this.owner.handle({ is: 'submit', task }, this.world.agenda.now, out)
      for (const entry of task.entries) entry.local++
      this.#carryOut(out)
    }
  }

  #act(event: OwnerEvent): void {
    const out: Effect[] = []
    this.owner.handle(event, this.world.agenda.now, out)
    this.#carryOut(out)
  }

  #carryOut(out: Effect[]): void {
    for (let i = 0; i < out.length; i++) {
      const effect = out[i] as Effect
      if (effect.is === 'send') this.world.send(this.id, effect.to, { is: 'control', message: effect.message })
      else if (effect.is === 'dispatch') {
        const { claim, seq } = effect.task
        if (!effect.lane.isRemote) this.world.claims.queued(this.id, effect.lane.workerId, claim)
        this.world.send(this.id, effect.lane.workerId, { is: 'task', claim, task: seq })
      } else if (effect.is === 'revoke') {
        const { task, lane } = effect
        const ok = task.lane === lane && this.world.claims.revoke(this.id, lane.workerId, task.claim)
        this.owner.handle({ is: 'revoked', task, lane, ok }, this.world.agenda.now, out)
      } else if (effect.is === 'settled') {
        if (effect.entry.error !== null) throw effect.entry.error
        this.done++
        if (this.done === this.count) this.endedAt = this.world.agenda.now
        this.owner.unref(effect.entry, out)
      }
    }
    if (this.#flushing) return
    this.#flushing = true
    this.world.agenda.after(0, () => {
      this.#flushing = false
      const last: Effect[] = []
      this.owner.handle({ is: 'flush' }, this.world.agenda.now, last)
      if (last.length > 0) this.#carryOut(last)
    })
  }

  #tick(): void {
    this.world.agenda.after(TICK_MS, () => {
      this.#act({ is: 'tick' })
      // Leases that nothing is left for go back after a while, as those of a program that goes on with something else do.
      if (this.endedAt === null || this.owner.deadline() !== null) this.#tick()
    })
  }
}
