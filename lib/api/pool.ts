// SPDX-License-Identifier: Apache-2.0
// ActorPool: work spread over a fixed set of actors, as ray.util.ActorPool.

import { GetTimeoutError } from '../errors.js'
import type { ObjectRef } from '../run/ref.js'
import { get, wait } from './objects.js'

type Submit<A, I, R> = (actor: A, item: I) => ObjectRef<R>

interface Running<A> {
  ref: ObjectRef
  actor: A
  index: number
}

/**
 * Keeps each actor of a pool busy with one item at a time.
 * @example for await (const y of new ActorPool([a, b]).map((actor, x) => actor.square.remote(x), [1, 2, 3])) console.log(y)
 */
export class ActorPool<A extends object> {
  private readonly idle: A[]
  private readonly queue: { submit: Submit<A, unknown, unknown>; item: unknown; index: number }[] = []
  private readonly running = new Map<number, Running<A>>()
  private nextIndex = 0
  private nextReturned = 0

  constructor(handles: Iterable<A>) {
    this.idle = [...handles]
  }

  /** Gives the item to an idle actor, or queues it. */
  submit<I, R>(fn: Submit<A, I, R>, item: I): void {
    this.queue.push({ submit: fn as Submit<A, unknown, unknown>, item, index: this.nextIndex++ })
    this.assign()
  }

  hasNext(): boolean {
    return this.running.size + this.queue.length > 0
  }

  hasFree(): boolean {
    return this.idle.length > 0 && this.queue.length === 0
  }

  /** The next result in the order of submission. Rejects with GetTimeoutError; RangeError when nothing was submitted. */
  async getNext<R = unknown>(options: { timeoutMs?: number } = {}): Promise<R> {
    if (!this.hasNext()) throw new RangeError('getNext(): nothing was submitted')
    const index = this.nextReturned
    while (!this.running.has(index)) {
      if (index < (this.oldest() ?? index)) break
      await this.oneDone(options.timeoutMs)
    }
    const running = this.running.get(this.running.has(index) ? index : (this.oldest() as number)) as Running<A>
    const [ready] = await wait([running.ref], options)
    if (ready.length === 0) throw timeout(options.timeoutMs)
    this.nextReturned = running.index + 1
    return this.take<R>(running)
  }

  /** The next result to come, whichever that is. */
  async getNextUnordered<R = unknown>(options: { timeoutMs?: number } = {}): Promise<R> {
    if (!this.hasNext()) throw new RangeError('getNextUnordered(): nothing was submitted')
    const running = [...this.running.values()]
    const [[first]] = await wait(
      running.map(each => each.ref),
      options,
    )
    const done = running.find(each => each.ref === first)
    if (done === undefined) throw timeout(options.timeoutMs)
    return this.take<R>(done)
  }

  /** The results of all items, in their order. */
  async *map<I, R>(fn: Submit<A, I, R>, items: Iterable<I>): AsyncGenerator<R, void, undefined> {
    await this.forget()
    for (const item of items) this.submit(fn, item)
    while (this.hasNext()) yield await this.getNext<R>()
  }

  /** The results of all items, as they come. */
  async *mapUnordered<I, R>(fn: Submit<A, I, R>, items: Iterable<I>): AsyncGenerator<R, void, undefined> {
    await this.forget()
    for (const item of items) this.submit(fn, item)
    while (this.hasNext()) yield await this.getNextUnordered<R>()
  }

  /** Adds an actor. */
  push(handle: A): void {
    if (this.idle.includes(handle) || [...this.running.values()].some(each => each.actor === handle))
      throw new RangeError('push(): the actor is in the pool already')
    this.idle.push(handle)
    this.assign()
  }

  /** Takes an idle actor out of the pool; null when none is idle. */
  popIdle(): A | null {
    return this.hasFree() ? (this.idle.pop() as A) : null
  }

  private assign(): void {
    while (this.idle.length > 0) {
      const next = this.queue.shift()
      if (next === undefined) return
      const actor = this.idle.shift() as A
      this.running.set(next.index, { ref: next.submit(actor, next.item), actor, index: next.index })
    }
  }

  /** Results of earlier submits are not those of a map. */
  private async forget(): Promise<void> {
    while (this.hasNext()) await this.getNextUnordered().catch(() => {})
    this.nextReturned = this.nextIndex
  }

  private oldest(): number | undefined {
    return this.running.size === 0 ? undefined : Math.min(...this.running.keys())
  }

  /** Waits until some running item is done and its actor has taken the next; the result stays. */
  private async oneDone(timeoutMs: number | undefined): Promise<void> {
    const refs = [...this.running.values()].map(each => each.ref)
    const [ready] = await wait(refs, timeoutMs === undefined ? {} : { timeoutMs })
    if (ready.length === 0) throw timeout(timeoutMs)
  }

  private take<R>(running: Running<A>): Promise<R> {
    this.running.delete(running.index)
    this.idle.push(running.actor)
    this.assign()
    return get(running.ref) as Promise<R>
  }
}

function timeout(timeoutMs: number | undefined): GetTimeoutError {
  return new GetTimeoutError(`no result came within ${timeoutMs} ms`, timeoutMs === undefined ? {} : { timeoutMs })
}
