// SPDX-License-Identifier: Apache-2.0
// The actor of this process: its construction, and its calls — one at a time in order of arrival, or up to a limit at once
// in each concurrency group.

import { encodeError } from '../codec/error-value.js'
import { rebuildFunction } from '../codec/function.js'
import { ActorDiedError } from '../errors.js'
import { objectId } from '../ids.js'
import type { Peer } from '../io/mesh.js'
import { limits } from '../options.js'
import { STATUS } from '../wire/frames.js'
import type { ActorSpec, ActorStart } from '../wire/messages.js'
import { setAccelerators, setAssignedResources } from './accelerators.js'
import { capturedBy } from './groups.js'
import { type ActorShape, decodeShape } from './handle.js'
import { argumentsOf, decodeArguments, type IncomingTask } from './incoming.js'
import type { Lease } from './lease.js'
import type { Replies } from './reply.js'
import { GROUP_STEP } from './requests.js'
import type { Runtime } from './runtime.js'
import { runInContext, setCurrentContext, TaskContext, useConcurrentContexts } from './task-context.js'

/** Thrown by exitActor() to leave a method. */
export class ActorExit extends Error {
  override readonly name = 'ActorExit'
}

/** After this long without a turn of the event loop, timers and messages get one (ms). */
const TURN_MS = 10

/** Calls that may run at once, and those that wait for their turn. */
class Group {
  running = 0
  readonly waiting: IncomingTask[] = []
  constructor(readonly limit: number) {}
}

export class ActorHost {
  actorId: string | null = null
  private spec: ActorSpec | null = null
  private shape: ActorShape | null = null
  private incarnation = 0
  private instance: Record<string, Function> | null = null
  private readonly groups: Group[] = []
  private readonly methodGroup: number[] = []
  private readonly contexts = new Map<IncomingTask, TaskContext>()
  /** Calls that came before the constructor was done. */
  private early: IncomingTask[] | null = []
  private stopping = false
  private arrivals = 0
  /** exitActor() was called by the call of this arrival: those before it finish, those after it do not. */
  private exitedAt: number | null = null
  private left = false
  private lastTurn = 0

  constructor(
    private readonly runtime: Runtime,
    private readonly replies: Replies,
    private readonly lease: Lease,
  ) {}

  async start(message: ActorStart): Promise<void> {
    const { spec, incarnation } = message
    // A head that was restarted says so again.
    if (this.spec !== null) return
    this.runtime.workFor(spec.job)
    this.actorId = spec.actorId
    this.spec = spec
    this.incarnation = incarnation
    this.shape = decodeShape(spec.shape)
    setAccelerators(message.gpuIds, (this.runtime.welcome?.resources.GPU ?? 0) > 0)
    setAssignedResources(spec.held)
    this.runtime.captured = capturedBy(spec.where)
    this.lease.ofActor((spec.held.CPU ?? 0) > 0 && spec.maxConcurrency === 1 && this.shape.groups.length === 0)
    this.makeGroups(spec, this.shape)
    let error: Uint8Array | null = null
    try {
      const Class = (await rebuildFunction(spec.code, this.runtime.context)) as new (...args: unknown[]) => Record<string, Function>
      const view = new DataView(spec.args.buffer, spec.args.byteOffset, 2)
      const args = await decodeArguments(spec.args.subarray(2), view.getUint16(0, true), this.runtime.reader, () => {})
      const context = new TaskContext(() => spec.actorId, `${spec.className}.constructor`, incarnation, spec.outlivesJob)
      this.instance = runInContext(context, () => new Class(...args))
      await this.runtime.borrowsSettled(message.ownerId)
    } catch (thrown) {
      const cause = thrown instanceof Error ? thrown : new Error(String(thrown))
      error = encodeError(
        new ActorDiedError(`the constructor of ${spec.className} threw ${cause.name}: ${cause.message}`, { actorId: spec.actorId, cause }),
      )
    }
    this.runtime.send(this.runtime.node, { is: 'actorStarted', actorId: spec.actorId, incarnation, error })
    const early = this.early ?? []
    this.early = null
    if (error === null) for (const task of early) this.onCall(task)
  }

  onCall(task: IncomingTask): void {
    if (this.early !== null) {
      this.early.push(task)
      return
    }
    if (task.header.lease !== this.incarnation) return
    const method = task.header.code % GROUP_STEP
    const named = Math.floor(task.header.code / GROUP_STEP)
    const group = this.groups[named > 0 ? named : (this.methodGroup[method] ?? 0)]
    if (group === undefined || this.shape?.methods[method] === undefined) {
      this.replies.error(task, this.shape?.className ?? 'actor', new TypeError(`the actor has no method number ${method}`))
      return
    }
    task.arrival = ++this.arrivals
    if (this.exitedAt !== null) return
    group.waiting.push(task)
    if (group.running < group.limit) void this.turn(group)
  }

  /** Gives false when the call is not of this actor. */
  cancel(from: Peer, seq: number, recursive: boolean): boolean {
    for (const group of this.groups) {
      const at = group.waiting.findIndex(task => task.peer === from && task.header.task === seq)
      if (at < 0) continue
      const [task] = group.waiting.splice(at, 1)
      this.replies.plain(task as IncomingTask, STATUS.cancelled)
      return true
    }
    for (const [task, context] of this.contexts) {
      if (task.peer !== from || task.header.task !== seq) continue
      if (recursive) this.runtime.act({ is: 'cancelChildren', parent: context })
      context.cancel()
      void this.cancelled(task)
      return true
    }
    return this.actorId !== null
  }

  /** The caller hears at once, also of a body that does not heed its signal. */
  private async cancelled(task: IncomingTask): Promise<void> {
    if (task.cancelled || task.ended) return
    task.cancelled = true
    await this.runtime.borrowsSettled(task.peer.workerId)
    this.replies.plain(task, STATUS.cancelled)
  }

  /** Finish what was submitted before, then leave. */
  stop(): void {
    this.stopping = true
    this.leaveWhenIdle()
  }

  private makeGroups(spec: ActorSpec, shape: ActorShape): void {
    this.groups.push(new Group(spec.maxConcurrency))
    for (const name of shape.groups) this.groups.push(new Group(spec.concurrencyGroups[name] ?? 1))
    shape.methods.forEach((method, i) => {
      this.methodGroup[i] = method.concurrencyGroup === null ? 0 : shape.groups.indexOf(method.concurrencyGroup) + 1
    })
    if (this.groups.some(group => group.limit > 1) || this.groups.length > 1) useConcurrentContexts()
  }

  /** Runs waiting calls of a group until none is left or the limit is reached. */
  private async turn(group: Group): Promise<void> {
    group.running++
    if (this.lastTurn === 0) this.lastTurn = performance.now()
    while (!this.left) {
      const regained = group.waiting.length > 0 ? this.lease.regained() : null
      if (regained !== null) await regained
      const task = group.waiting.shift()
      if (task === undefined) break
      const under = this.run(task)
      if (under !== null) {
        if (group.waiting.length > 0 && group.running < group.limit) void this.turn(group)
        await under
        this.lastTurn = performance.now()
      } else if (performance.now() - this.lastTurn > TURN_MS) {
        await this.runtime.mesh.turn()
        this.lastTurn = performance.now()
      }
    }
    group.running--
    this.lastTurn = 0
    if (this.exitedAt !== null) this.exitWhenDone()
    else if (this.stopping) this.leaveWhenIdle()
  }

  private run(task: IncomingTask): Promise<void> | null {
    const { header, peer } = task
    const method = this.shape?.methods[header.code % GROUP_STEP]?.name as string
    const name = `${this.shape?.className}.${method}`
    const context = new TaskContext(() => objectId(peer.workerId, header.task), name, header.attempt, this.spec?.outlivesJob ?? false)
    this.contexts.set(task, context)
    const { references } = this.runtime.owner
    let result: unknown
    try {
      const args = argumentsOf(task, this.runtime.reader)
      if (args instanceof Promise)
        return this.settle(
          task,
          this.lease
            .waitingLong(args, limits.argumentsHoldMs)
            .then(values => (task.cancelled ? undefined : runInContext(context, () => this.invoke(method, values)))),
        )
      result = runInContext(context, () => this.invoke(method, args))
      if (isThenable(result) || references.mustWait(peer.workerId)) return this.settle(task, Promise.resolve(result))
    } catch (error) {
      if (references.mustWait(peer.workerId)) return this.settle(task, Promise.reject(error))
      this.failed(task, error)
      this.ended(task)
      return null
    }
    const waiting = this.replies.answer(task, context.name, result)
    if (waiting !== null) return waiting.then(() => this.ended(task))
    this.ended(task)
    return null
  }

  private invoke(method: string, args: unknown[]): unknown {
    const instance = this.instance as Record<string, Function>
    return (instance[method] as Function).apply(instance, args)
  }

  private async settle(task: IncomingTask, result: Promise<unknown>): Promise<void> {
    try {
      const value = await result
      task.ended = true
      await this.runtime.borrowsSettled(task.peer.workerId)
      if (!task.cancelled) await this.replies.answer(task, this.contexts.get(task)?.name ?? '', value)
    } catch (error) {
      task.ended = true
      await this.runtime.borrowsSettled(task.peer.workerId)
      if (error instanceof ActorExit) this.exit(task)
      else if (!task.cancelled) this.failed(task, error)
    }
    this.ended(task)
  }

  private failed(task: IncomingTask, error: unknown): void {
    if (error instanceof ActorExit) return this.exit(task)
    this.replies.error(task, `${this.shape?.className}.${this.shape?.methods[task.header.code % GROUP_STEP]?.name}`, error)
  }

  private ended(task: IncomingTask): void {
    this.contexts.delete(task)
    this.lease.taskEnded()
    setCurrentContext(null)
  }

  /** The calling ref, and all calls behind it, fail with ActorDiedError when the head tells of the end. */
  private exit(task: IncomingTask): void {
    if (this.exitedAt === null) setTimeout(() => this.exited(), limits.actorStopMs)
    this.exitedAt = Math.min(this.exitedAt ?? task.arrival, task.arrival)
    for (const group of this.groups) group.waiting.splice(0, Infinity, ...group.waiting.filter(each => this.isBeforeExit(each)))
    this.exitWhenDone()
  }

  private isBeforeExit(task: IncomingTask): boolean {
    return task.arrival < (this.exitedAt as number)
  }

  private exitWhenDone(): void {
    const busy = [...this.contexts.keys()].some(each => this.isBeforeExit(each))
    if (!busy && this.groups.every(group => group.waiting.length === 0)) this.exited()
  }

  private exited(): void {
    if (this.left) return
    this.left = true
    this.runtime.send(this.runtime.node, { is: 'actorExited', actorId: this.spec?.actorId as string, incarnation: this.incarnation })
    this.runtime.leave()
  }

  private leaveWhenIdle(): void {
    if (this.groups.some(group => group.running > 0 || group.waiting.length > 0)) return
    this.runtime.leave()
  }
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
