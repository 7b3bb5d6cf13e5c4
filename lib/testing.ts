// SPDX-License-Identifier: Apache-2.0
// For tests of programs that use eagleray: clusters of real processes, waiting for conditions, and signals and semaphores
// shared by tasks.

import { performance } from 'node:perf_hooks'
import { GetTimeoutError } from './errors.js'

export { Cluster, type ClusterHeadOptions, ClusterNode, type ClusterNodeOptions } from './run/test-cluster.js'

const POLL_MS = 5

/** Resolves when `condition` gives something truthy, with that. Rejects with GetTimeoutError after `timeoutMs` (10,000). */
export async function waitFor<T>(condition: () => T | Promise<T>, options: { timeoutMs?: number } = {}): Promise<NonNullable<T>> {
  const timeoutMs = options.timeoutMs ?? 10_000
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await condition()
    if (value) return value as NonNullable<T>
    if (performance.now() > deadline)
      throw new GetTimeoutError(`the condition did not hold within ${timeoutMs} ms: ${String(condition)}`, { timeoutMs })
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
}

/** To be made remote: tasks wait in it until it is sent. `const signal = remote(SignalActor).remote()` */
export class SignalActor {
  private sent = false
  private waiting: (() => void)[] = []

  /** Lets all who wait go on; `clear` makes it wait again. */
  async send(clear = false): Promise<void> {
    this.sent = !clear
    const all = this.waiting
    this.waiting = []
    for (const each of all) each()
  }

  async wait(): Promise<void> {
    if (this.sent) return
    await new Promise<void>(resolve => this.waiting.push(resolve))
  }

  /** How many wait. */
  async waiters(): Promise<number> {
    return this.waiting.length
  }
}

/** To be made remote: at most `value` holders at a time. */
export class Semaphore {
  private readonly waiting: (() => void)[] = []
  private free: number

  constructor(value = 1) {
    this.free = value
  }

  async acquire(): Promise<void> {
    if (this.free > 0) {
      this.free--
      return
    }
    await new Promise<void>(resolve => this.waiting.push(resolve))
  }

  async release(): Promise<void> {
    const next = this.waiting.shift()
    if (next === undefined) this.free++
    else next()
  }

  async locked(): Promise<boolean> {
    return this.free === 0
  }
}
