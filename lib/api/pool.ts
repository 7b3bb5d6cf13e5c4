// SPDX-License-Identifier: Apache-2.0
// ActorPool: work spread over a fixed set of actors, as ray.util.ActorPool.

import { GetTimeoutError } from '../errors.js'
import { checkTimeout } from '../run/option-checks.js'
import { entryOf, ObjectRef } from '../run/ref.js'
import { Timeout } from '../run/timeout.js'
import { whenSettled } from '../run/waits.js'
import { current, currentOrStarted } from './init.js'
import { get } from './objects.js'

type Submit<A, I, R> = (actor: A, item: I) => ObjectRef<R>

/** What was submitted and not taken yet. */
class Item<A> {
  ref: ObjectRef | null = null
  /** Why there is no ref: `fn` threw. */
  error: unknown = null
  state: 'queued' | 'running' | 'done' = 'queued'
  /** A `getNext` waits for it, so that no other call takes it. */
  claimed = false

  constructor(
    readonly submit: Submit<A, unknown, unknown>,
    readonly value: unknown,
  ) {}
}

interface Waiting {
  /** How long to wait, in milliseconds. Left out: for ever. */
  timeoutMs?: number
}

/**
 * Keeps each actor of a pool busy with one item at a time. Any number of calls may wait for results at once; each gets another.
 * @example for await (const y of new ActorPool([a, b]).map((actor, x) => actor.square.remote(x), [1, 2, 3])) console.log(y)
 */
export class ActorPool<A extends object> {
  private readonly idle: A[]
  private readonly busy = new Set<A>()
  private readonly queue: Item<A>[] = []
  /** Submitted and not taken, oldest first. */
  private readonly items = new Set<Item<A>>()
  private watchers: (() => void)[] = []

  constructor(handles: Iterable<A>) {
    this.idle = [...handles]
  }

  /** Gives the item to an idle actor, or queues it. What `fn` throws is what `getNext` rejects with. */
  submit<I, R>(fn: Submit<A, I, R>, item: I): void {
    if (typeof fn !== 'function') throw new TypeError('submit() takes a function of an actor and an item, which calls the actor')
    const submitted = new Item(fn as Submit<A, unknown, unknown>, item)
    this.items.add(submitted)
    this.queue.push(submitted)
    this.assign()
  }

  hasNext(): boolean {
    return this.items.size > 0
  }

  hasFree(): boolean {
    return this.idle.length > 0 && this.queue.length === 0
  }

  /** The next result in the order of submission. Rejects with GetTimeoutError; RangeError when nothing was submitted. */
  async getNext<R = unknown>(options: Waiting = {}): Promise<R> {
    checkTimeout('getNext()', options, ['timeoutMs'])
    const item = [...this.items].find(each => !each.claimed)
    if (item === undefined) throw new RangeError('getNext(): nothing was submitted')
    item.claimed = true
    try {
      return (await this.take(() => item, options)) as R
    } finally {
      item.claimed = false
    }
  }

  /** The next result to come, whichever that is. Rejects as `getNext` does. */
  async getNextUnordered<R = unknown>(options: Waiting = {}): Promise<R> {
    checkTimeout('getNextUnordered()', options, ['timeoutMs'])
    return (await this.take(() => [...this.items].find(each => each.state === 'done' && !each.claimed), options)) as R
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
    if (this.idle.includes(handle) || this.busy.has(handle)) throw new RangeError('push(): the actor is in the pool already')
    this.idle.push(handle)
    this.assign()
  }

  /** Takes an idle actor out of the pool; null when none is idle. */
  popIdle(): A | null {
    return this.hasFree() ? (this.idle.pop() as A) : null
  }

  private assign(): void {
    while (this.idle.length > 0) {
      const item = this.queue.shift()
      if (item === undefined) return
      const actor = this.idle.shift() as A
      this.busy.add(actor)
      this.run(item, actor)
    }
  }

  private run(item: Item<A>, actor: A): void {
    item.state = 'running'
    const done = (): void => {
      item.state = 'done'
      this.busy.delete(actor)
      this.idle.push(actor)
      this.assign()
      const { watchers } = this
      this.watchers = []
      for (const each of watchers) each()
    }
    try {
      const ref: unknown = item.submit(actor, item.value)
      if (!(ref instanceof ObjectRef)) throw new TypeError('the function given to an ActorPool must return the ref of a call on the actor')
      item.ref = ref
      whenSettled(current(), entryOf(ref), done)
    } catch (error) {
      item.error = error
      done()
    }
  }

  /** Results of earlier submits are not those of a map. */
  private async forget(): Promise<void> {
    while (this.hasNext()) await this.getNextUnordered().catch(() => {})
  }

  /** Waits until `pick` gives an item that is done, and takes it. */
  private async take(pick: () => Item<A> | undefined, { timeoutMs }: Waiting): Promise<unknown> {
    const untilMs = performance.now() + (timeoutMs ?? Number.POSITIVE_INFINITY)
    for (;;) {
      if (this.items.size === 0) throw new RangeError('getNextUnordered(): nothing was submitted')
      const item = pick()
      if (item?.state === 'done') {
        this.items.delete(item)
        if (item.ref === null) throw item.error
        return get(item.ref)
      }
      if (!(await this.change(untilMs - performance.now())))
        throw new GetTimeoutError(`no result came within ${timeoutMs} ms`, { timeoutMs: timeoutMs as number })
    }
  }

  /** Waits until some item is done; false when the time is over before. */
  private async change(leftMs: number): Promise<boolean> {
    if (leftMs <= 0) return false
    const runtime = await currentOrStarted()
    return runtime.waiting(
      new Promise(resolve => {
        const timeout = new Timeout(leftMs, () => resolve(false))
        this.watchers.push(() => {
          timeout.clear()
          resolve(true)
        })
      }),
    )
  }
}
