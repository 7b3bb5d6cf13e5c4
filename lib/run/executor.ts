// SPDX-License-Identifier: Apache-2.0
// Runs tasks on a leased worker, one at a time, in the order they come: claim, decode, run, answer.
//
// Answers gather in a packet and leave together. They leave before a body that may take long: one whose function is not
// known to be quick.

import { rebuildFunction } from '../codec/function.js'
import { objectId } from '../ids.js'
import type { Peer } from '../io/mesh.js'
import { limits } from '../options.js'
import { NO_CLAIM, STATUS, TASK_FLAG } from '../wire/frames.js'
import type { Control } from '../wire/messages.js'
import { ActorHost } from './actor-host.js'
import { CLAIM } from './dispatch.js'
import { argumentsOf, bringArguments, type IncomingTask, readTask } from './incoming.js'
import { Lease } from './lease.js'
import { Replies } from './reply.js'
import type { Runtime, TaskRunner } from './runtime.js'
import { setCurrentContext, TaskContext } from './task-context.js'

/** A function whose bodies take less than this on average is quick (ms). */
const QUICK_MS = 0.05
/** After this long without a turn of the event loop, timers and messages get one (ms). */
const TURN_MS = 10

/** Code that came over a channel. */
interface ReceivedCode {
  name: string
  fn: Function | null
  loading: Promise<void> | null
  /** Moving average of a body's time (ms); starts as slow. */
  averageMs: number
}

export class Executor implements TaskRunner {
  readonly replies: Replies
  readonly actor: ActorHost
  private readonly lease: Lease
  private readonly queue: IncomingTask[] = []
  private readonly byHash = new Map<string, ReceivedCode>()
  /** Claimed, while its code is not here: it can be cancelled, and not be taken back any more. */
  private loading: IncomingTask | null = null
  private running: { task: IncomingTask; context: TaskContext } | null = null
  private looping = false
  private idleTimer: NodeJS.Timeout | null = null
  private lastTurn = 0
  retiring = false

  get actorId(): string | null {
    return this.actor.actorId
  }

  constructor(private readonly runtime: Runtime) {
    this.replies = new Replies(runtime)
    this.lease = new Lease(runtime)
    this.actor = new ActorHost(runtime, this.replies, this.lease)
  }

  onTask(from: Peer, bytes: Uint8Array, view: DataView, at: number, end: number): void {
    const task = readTask(from, bytes, view, at, end)
    if ((task.header.flags & TASK_FLAG.actor) !== 0) return this.actor.onCall(task)
    this.queue.push(task)
    if (!this.looping) void this.loop()
    else bringArguments(task, this.runtime.fetches)
  }

  onControl(from: Peer, message: Control): boolean {
    switch (message.is) {
      case 'code':
        this.receiveCode(from, message.hash, message.name, message.bytes)
        return true
      case 'leaseStart':
        this.runtime.workFor(message.job)
        this.lease.announce(from.workerId, message)
        return true
      case 'takeBack':
        this.giveBack(from, message.claims)
        return true
      case 'resumed':
        this.lease.resumed(message.leaseId)
        return true
      case 'cancelTask':
        if (!this.actor.cancel(from, message.task, message.recursive)) this.cancel(from, message.task, message.recursive)
        return true
      case 'actorStart':
        void this.actor.start(message)
        return true
      case 'actorStop':
        this.actor.stop()
        return true
      case 'jobOver':
        this.runtime.jobOver = true
        this.runtime.act({ is: 'jobOver', running: this.running?.context ?? null })
        return true
      case 'retire':
        this.retiring = true
        if (!this.looping && this.queue.length === 0) this.runtime.leave()
        return true
      default:
        return false
    }
  }

  onPeerClosed(peer: Peer): void {
    this.lease.ownerGone(peer.workerId)
    for (let i = this.queue.length - 1; i >= 0; i--) if (this.queue[i]?.peer === peer) this.queue.splice(i, 1)
  }

  waiting<T>(promise: Promise<T>): Promise<T> {
    return this.running === null && this.actorId === null ? promise : this.lease.waiting(promise)
  }

  /** An owner on another node wants tasks back: what is in the queue has not begun. */
  private giveBack(from: Peer, claims: number[]): void {
    const wanted = new Set(claims)
    const kept: IncomingTask[] = []
    for (const task of this.queue) {
      if (task.peer === from && wanted.has(task.header.claim)) this.replies.plain(task, STATUS.revoked)
      else kept.push(task)
    }
    this.queue.splice(0, this.queue.length, ...kept)
  }

  private async loop(): Promise<void> {
    this.looping = true
    this.lastTurn = performance.now()
    for (;;) {
      const next = this.queue[0]
      if (next !== undefined) this.lease.next(next.peer.workerId)
      const regained = next !== undefined ? this.lease.regained() : null
      if (regained !== null) await regained
      const task = this.queue.shift()
      if (task === undefined) break
      const under = this.begin(task)
      if (under !== null) await under
      if (this.queue.length > 0 && performance.now() - this.lastTurn > TURN_MS) {
        await this.runtime.mesh.turn()
        this.lastTurn = performance.now()
      }
    }
    this.looping = false
    if (this.retiring) this.runtime.leave()
    else this.idle()
  }

  /** V8 sees no reason to collect in a process that does nothing, while views that its last task left hold objects in the store. */
  private idle(): void {
    if (this.idleTimer !== null || this.runtime.store.viewedBytes === 0) return
    this.idleTimer = setTimeout(() => {
      this.idleTimer = null
      if (!this.looping && this.runtime.store.viewedBytes > 0) this.runtime.pressure.collect()
    }, limits.idleCollectMs)
    this.idleTimer.unref()
  }

  /** Starts a task; null when it has ended already. */
  private begin(task: IncomingTask): Promise<void> | null {
    const { header, peer } = task
    if (
      header.claim !== NO_CLAIM &&
      (header.flags & TASK_FLAG.asked) === 0 &&
      Atomics.compareExchange(peer.claims.theirs, header.claim, CLAIM.queued, CLAIM.claimed) !== CLAIM.queued
    ) {
      Atomics.store(peer.claims.theirs, header.claim, CLAIM.free)
      this.replies.plain(task, STATUS.revoked)
      return null
    }
    const code = peer.receivedCode[header.code] as ReceivedCode | undefined
    if (code === undefined) {
      this.replies.error(task, 'task', new Error(`the code of task ${header.task} never arrived`))
      return null
    }
    return code.fn === null ? this.whenLoaded(task, code) : this.run(task, code)
  }

  private async whenLoaded(task: IncomingTask, code: ReceivedCode): Promise<void> {
    this.loading = task
    try {
      await code.loading
    } catch (error) {
      this.replies.error(task, code.name, error)
      return
    } finally {
      this.loading = null
    }
    if (task.cancelled) this.replies.plain(task, STATUS.cancelled)
    else await this.run(task, code)
  }

  private run(task: IncomingTask, code: ReceivedCode): Promise<void> | null {
    const { header, peer } = task
    if (code.averageMs > QUICK_MS && peer.length > 0) this.runtime.mesh.flush()
    const outlivesJob = (header.flags & TASK_FLAG.outlivesJob) !== 0
    const context = new TaskContext(() => objectId(peer.workerId, header.task), code.name, header.attempt, outlivesJob)
    this.running = { task, context }
    setCurrentContext(context)
    const started = performance.now()
    const { references } = this.runtime.owner
    let result: unknown
    try {
      const args = argumentsOf(task, this.runtime.reader)
      if (args instanceof Promise)
        return this.settle(
          task,
          code,
          started,
          this.lease.waitingLong(args, limits.argumentsHoldMs).then(values => (task.cancelled ? undefined : code.fn?.(...values))),
        )
      result = (code.fn as Function)(...args)
      if (isThenable(result)) return this.settle(task, code, started, result)
      if (references.mustWait(peer.workerId)) return this.settle(task, code, started, Promise.resolve(result))
    } catch (error) {
      if (references.mustWait(peer.workerId)) return this.settle(task, code, started, Promise.reject(error))
      took(task, code, started)
      this.replies.error(task, code.name, error)
      this.ended()
      return null
    }
    took(task, code, started)
    const waiting = this.replies.answer(task, code.name, result)
    if (waiting !== null) return waiting.then(() => this.ended())
    this.ended()
    return null
  }

  private async settle(task: IncomingTask, code: ReceivedCode, started: number, result: PromiseLike<unknown>): Promise<void> {
    try {
      const value = await result
      took(task, code, started)
      await this.runtime.borrowsSettled(task.peer.workerId)
      if (task.cancelled) this.replies.plain(task, STATUS.cancelled)
      else await this.replies.answer(task, code.name, value)
    } catch (error) {
      took(task, code, started)
      await this.runtime.borrowsSettled(task.peer.workerId)
      if (task.cancelled) this.replies.plain(task, STATUS.cancelled)
      else this.replies.error(task, code.name, error)
    }
    this.ended()
  }

  private ended(): void {
    this.running = null
    this.lease.taskEnded()
    setCurrentContext(null)
  }

  private cancel(from: Peer, seq: number, recursive: boolean): void {
    const { running } = this
    const task = running === null ? this.loading : running.task
    if (task === null || task.peer !== from || task.header.task !== seq) return
    task.cancelled = true
    if (running === null) return
    if (recursive) this.runtime.act({ is: 'cancelChildren', parent: running.context })
    running.context.cancel()
  }

  private receiveCode(from: Peer, hash: string, name: string, bytes: Uint8Array): void {
    const key = `${hash} ${name}`
    let code = this.byHash.get(key)
    if (code === undefined) {
      const fresh: ReceivedCode = { name, fn: null, loading: null, averageMs: 2 * QUICK_MS }
      fresh.loading = rebuildFunction(bytes, this.runtime.context).then(fn => {
        fresh.fn = fn
      })
      fresh.loading.catch(() => {})
      this.byHash.set(key, fresh)
      code = fresh
    }
    from.receivedCode.push(code)
  }
}

/** Its body has ended. */
function took(task: IncomingTask, code: ReceivedCode, started: number): void {
  task.bodyMs = performance.now() - started
  code.averageMs += (task.bodyMs - code.averageMs) / 8
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
