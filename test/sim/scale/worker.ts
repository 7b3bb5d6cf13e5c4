// SPDX-License-Identifier: Apache-2.0
// A worker that does nothing, for as long as a task takes, one task at a time in the order they come.

import type { TaskReply } from '#lib/core/owner/tasks.js'
import type { WorkerId } from '#lib/wire/messages.js'
import type { Process, ScaleWorld, Sent, TaskFrame } from './world.js'

export class ScaleWorker implements Process {
  readonly #queue: { from: WorkerId; frame: TaskFrame }[] = []
  #running = false

  constructor(
    private readonly world: ScaleWorld,
    private readonly id: WorkerId,
  ) {}

  receive(from: WorkerId, what: Sent): void {
    if (what.is === 'task') {
      this.#queue.push({ from, frame: what })
      if (!this.#running) this.#next()
    } else if (what.is === 'control' && what.message.is === 'takeBack') this.#giveBack(from, what.message.claims)
  }

  #next(): void {
    const next = this.#queue.shift()
    this.#running = next !== undefined
    if (next === undefined) return
    if (!this.world.claims.begin(next.from, this.id, next.frame.claim)) {
      this.#reply(next, 'revoked')
      return this.#next()
    }
    this.world.agenda.after(this.world.scale.taskMs, () => {
      this.world.ran++
      this.#reply(next, 'ok')
      this.#next()
    })
  }

  #giveBack(from: WorkerId, claims: number[]): void {
    for (const each of [...this.#queue]) {
      if (each.from !== from || !claims.includes(each.frame.claim)) continue
      this.#queue.splice(this.#queue.indexOf(each), 1)
      this.#reply(each, 'revoked')
    }
  }

  #reply({ from, frame: { claim, task } }: { from: WorkerId; frame: TaskFrame }, status: TaskReply['status']): void {
    const results = status === 'ok' ? [{ form: 'plain', value: task } as const] : []
    this.world.send(this.id, from, {
      is: 'reply',
      from: this.id,
      claim,
      task,
      status,
      results,
      contained: null,
      retry: false,
      bodyMs: this.world.scale.taskMs,
    })
  }
}
