// SPDX-License-Identifier: Apache-2.0
// Queue: a first-in-first-out queue that tasks and actors share, as ray.util.queue.Queue. It is an actor; passing the
// queue passes the handle.

import { shapeOf } from '../codec/function.js'
import { QueueEmptyError, QueueFullError } from '../errors.js'
import { checkTimeout, count, refuseUnknown } from '../run/option-checks.js'
import { Timeout } from '../run/timeout.js'
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

  /** False when there was no room in time. In an array, so that an item which is a ref stays one. */
  async put([item]: [unknown], timeoutMs: number | null): Promise<boolean> {
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
      await new Promise<void>(resolve => {
        const timeout = new Timeout(left, () => {
          line.splice(line.indexOf(go), 1)
          resolve()
        })
        const go = (): void => {
          timeout.clear()
          resolve()
        }
        line.push(go)
      })
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
    refuseUnknown('new Queue()', options, ['maxSize'])
    count('new Queue()', 'maxSize', options.maxSize, 0)
    const { maxSize = 0 } = options
    // Those who wait in it must not keep out the one they wait for.
    const unlimited = { numCpus: 0, maxConcurrency: Number.MAX_SAFE_INTEGER }
    actorClass ??= ActorClassImpl.define(QueueActor, shapeOf(QueueActor), unlimited) as unknown as ActorClass<typeof QueueActor>
    this.actor = actorClass.remote(maxSize)
    this.maxSize = maxSize
  }

  /** Appends an item; waits for room. Rejects with QueueFullError after `timeoutMs`. */
  async put(item: T, options: Waiting = {}): Promise<void> {
    if (!(await get(this.actor.put.remote([item], timeoutOf('put()', options)))))
      throw new QueueFullError(`the queue holds ${this.maxSize} items and had no room within ${options.timeoutMs} ms`)
  }

  /** The oldest item; waits for one. Rejects with QueueEmptyError after `timeoutMs`. */
  async get(options: Waiting = {}): Promise<T> {
    const taken = await get(this.actor.take.remote(timeoutOf('get()', options)))
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

function timeoutOf(what: string, options: Waiting): number | null {
  checkTimeout(what, options, ['timeoutMs'])
  return options.timeoutMs ?? null
}
