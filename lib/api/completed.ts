// SPDX-License-Identifier: Apache-2.0
// What goes over many refs as they complete: asCompleted and mapUnordered.

import { count, refuseUnknown } from '../run/option-checks.js'
import { entryOf, ObjectRef } from '../run/ref.js'
import type { Runtime } from '../run/runtime.js'
import { whenSettled } from '../run/waits.js'
import { currentOrStarted } from './init.js'
import { get } from './objects.js'

/** Refs in the order in which they complete. */
class Completions<T> {
  /** Added and not taken yet. */
  left = 0
  private readonly done: ObjectRef<T>[] = []
  private wake: () => void = () => {}

  constructor(
    private readonly runtime: Runtime,
    private readonly what: string,
  ) {}

  add(ref: ObjectRef<T>): void {
    if (!(ref instanceof ObjectRef)) throw new TypeError(`${this.what} takes ObjectRefs, not ${typeof ref}`)
    const entry = entryOf(ref)
    this.left++
    whenSettled(this.runtime, entry, () => {
      this.done.push(ref)
      this.changed()
    })
  }

  take(): ObjectRef<T> | undefined {
    const ref = this.done.shift()
    if (ref !== undefined) this.left--
    return ref
  }

  /** Something that `change` waits for has happened. */
  changed(): void {
    this.wake()
  }

  /** Resolves when a ref has completed, or `changed` is called. Only for a ref does it keep the process alive. */
  change(): Promise<void> {
    if (this.done.length > 0) return Promise.resolve()
    const changed = new Promise<void>(resolve => {
      this.wake = resolve
    })
    return this.left > 0 ? this.runtime.waiting(changed) : changed
  }
}

/**
 * The refs, each as soon as it has a value or has failed.
 * @example for await (const ref of asCompleted(refs)) console.log(await get(ref))
 */
export async function* asCompleted<T>(refs: Iterable<ObjectRef<T>>): AsyncGenerator<ObjectRef<T>, void, undefined> {
  const completions = new Completions<T>(await currentOrStarted(), 'asCompleted()')
  for (const ref of refs) completions.add(ref)
  while (completions.left > 0) {
    const ref = completions.take()
    if (ref === undefined) await completions.change()
    else yield ref
  }
}

/** Something with `.remote(item)`: a remote function of one argument, or an actor's method. */
export interface Mappable<I, R> {
  remote(item: I): ObjectRef<R>
}

/**
 * Calls `fn.remote` for each item, at most `maxPending` (100) at a time, and yields the values as they come. Rejects with the
 * error of the first task that failed.
 * @example for await (const size of mapUnordered(sizeOf, paths, { maxPending: 8 })) total += size
 */
export async function* mapUnordered<I, R>(
  fn: Mappable<I, R>,
  items: Iterable<I> | AsyncIterable<I>,
  options: { maxPending?: number } = {},
): AsyncGenerator<R, void, undefined> {
  refuseUnknown('mapUnordered()', options, ['maxPending'])
  count('mapUnordered()', 'maxPending', options.maxPending, 1)
  if (typeof fn?.remote !== 'function') throw new TypeError('mapUnordered() takes a remote function or a method of an actor first')
  const { maxPending = 100 } = options
  const completions = new Completions<R>(await currentOrStarted(), 'mapUnordered()')
  const source = new Source(items, () => completions.changed())
  try {
    for (;;) {
      const ref = completions.take()
      if (ref !== undefined) {
        yield await get(ref)
        continue
      }
      const item = completions.left < maxPending ? source.next() : null
      if (item !== null) completions.add(fn.remote(item.value))
      else if (source.ended && completions.left === 0) return
      else await completions.change()
    }
  } finally {
    await source.close()
  }
}

/** Items that are asked for one by one, and taken when they are there. */
class Source<I> {
  ended = false
  private readonly iterator: AsyncGenerator<I, void, undefined>
  private asked = false
  private arrived: { value: I } | null = null
  private failure: { error: unknown } | null = null

  constructor(
    items: Iterable<I> | AsyncIterable<I>,
    private readonly changed: () => void,
  ) {
    this.iterator = each(items)
  }

  /** The next item if it is there, else null; `changed` is called when it is worth asking again. Throws what the source threw. */
  next(): { value: I } | null {
    if (this.failure !== null) throw this.failure.error
    const item = this.arrived
    this.arrived = null
    if (item === null && !this.asked && !this.ended) void this.ask()
    return item
  }

  /** Ends the source; one that never gives what it was asked for is not waited for. */
  async close(): Promise<void> {
    const closed = this.iterator.return()
    if (this.asked) closed.catch(() => {})
    else await closed
  }

  private async ask(): Promise<void> {
    this.asked = true
    try {
      const { done, value } = await this.iterator.next()
      if (done) this.ended = true
      else this.arrived = { value }
    } catch (error) {
      this.failure = { error }
    }
    this.asked = false
    this.changed()
  }
}

async function* each<I>(items: Iterable<I> | AsyncIterable<I>): AsyncGenerator<I, void, undefined> {
  yield* items
}
