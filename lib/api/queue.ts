// SPDX-License-Identifier: Apache-2.0
// Queue: a first-in-first-out queue that tasks and actors share, as ray.util.queue.Queue. It is an actor; passing the
// queue passes the handle.

import { shapeOf } from '../codec/function.js'
import { QueueEmptyError, QueueFullError } from '../errors.js'
import { type ActorClass, ActorClassImpl, type ActorHandle } from './actor-class.js'
import { kill } from './actors.js'
import { get } from './objects.js'

export interface QueueOptions {
  /** Items it holds at most; 0 for no limit. */
  maxSize?: number
}

/** The actor behind a queue. Exported so that workers import it rather than rebuild it. */
export class QueueActor {
  private readonly items: unknown[] = []
  private readonly takers: (() => void)[] = []
  private readonly givers: (() => void)[] = []

  constructor(private readonly maxSize: number) {}

  /** False when there was no room in time. */
  async put(item: unknown, timeoutMs: number | null): Promise<boolean> {
    if (!(await this.until(() => this.maxSize === 0 || this.items.length < this.maxSize, this.givers, timeoutMs))) return false
    this.items.push(item)
    this.takers.shift()?.()
    return true
  }

  /** Empty when nothing came in time. */
  async take(timeoutMs: number | null): Promise<[] | [unknown]> {
    if (!(await this.until(() => this.items.length > 0, this.takers, timeoutMs))) return []
    const item = this.items.shift()
    this.givers.shift()?.()
    return [item]
  }

  async size(): Promise<number> {
    return this.items.length
  }

  private async until(condition: () => boolean, line: (() => void)[], timeoutMs: number | null): Promise<boolean> {
    const deadline = timeoutMs === null ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs
    while (!condition()) {
      const left = deadline - performance.now()
      if (left <= 0) return false
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>(resolve => {
        line.push(resolve)
        if (Number.isFinite(left)) {
          timer = setTimeout(() => {
            const at = line.indexOf(resolve)
            if (at >= 0) line.splice(at, 1)
            resolve()
          }, left)
        }
      })
      clearTimeout(timer)
    }
    return true
  }
}

interface Waiting {
  /** How long to wait, in milliseconds. Left out: for ever. */
  timeoutMs?: number
}

let actorClass: ActorClass<typeof QueueActor> | null = null

/** A queue of T, shared by handle. */
export class Queue<T = unknown> {
  private readonly actor: ActorHandle<QueueActor>
  private readonly maxSize: number

  constructor(options: QueueOptions = {}) {
    const { maxSize = 0 } = options
    if (!Number.isInteger(maxSize) || maxSize < 0)
      throw new RangeError(`Queue: maxSize is ${maxSize}; it must be a whole number, 0 or more`)
    actorClass ??= ActorClassImpl.define(QueueActor, shapeOf(QueueActor), { numCpus: 0 }) as unknown as ActorClass<typeof QueueActor>
    this.actor = actorClass.remote(maxSize)
    this.maxSize = maxSize
  }

  /** Appends an item; waits for room. Rejects with QueueFullError after `timeoutMs`. */
  async put(item: T, options: Waiting = {}): Promise<void> {
    if (!(await get(this.actor.put.remote(item, timeoutOf(options)))))
      throw new QueueFullError(`the queue holds ${this.maxSize} items and had no room within ${options.timeoutMs} ms`)
  }

  /** The oldest item; waits for one. Rejects with QueueEmptyError after `timeoutMs`. */
  async get(options: Waiting = {}): Promise<T> {
    const taken = await get(this.actor.take.remote(timeoutOf(options)))
    if (taken.length === 0) throw new QueueEmptyError(`the queue was empty for ${options.timeoutMs} ms`)
    return taken[0] as T
  }

  /** As `put`, but fails at once when there is no room. */
  putNoWait(item: T): Promise<void> {
    return this.put(item, { timeoutMs: 0 })
  }

  /** As `get`, but fails at once when there is nothing. */
  getNoWait(): Promise<T> {
    return this.get({ timeoutMs: 0 })
  }

  async size(): Promise<number> {
    return get(this.actor.size.remote())
  }

  /** Ends the queue; items in it are lost. */
  shutdown(): void {
    kill(this.actor)
  }
}

function timeoutOf(options: Waiting): number | null {
  const { timeoutMs } = options
  if (timeoutMs === undefined) return null
  if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) throw new TypeError('timeoutMs must be a number of milliseconds')
  if (timeoutMs < 0) throw new RangeError(`timeoutMs is ${timeoutMs}; it must be 0 or more`)
  return timeoutMs
}
