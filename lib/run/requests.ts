// SPDX-License-Identifier: Apache-2.0
// What a driver or worker asks of others, and answers: calls on actors, actors by name, rows of the state API.

import { decodeError } from '../codec/error-value.js'
import { type Actor, ActorCall } from '../core/owner/actor-calls.js'
import { type Entry, STATE } from '../core/owner/entry.js'
import { TASK, Task } from '../core/owner/task.js'
import type { TaskReply } from '../core/owner/tasks.js'
import { GetTimeoutError, PendingCallsLimitError } from '../errors.js'
import { nodeOf, objectId } from '../ids.js'
import { limits } from '../options.js'
import type { ActorNamed, ActorView, Answer, Control, GroupNamed, GroupView, NodeId, Query, WorkerId } from '../wire/messages.js'
import { explainEntry } from './explain.js'
import { type ActorHandle, actorOf, type CallOptions, type CallPort, type MethodShape, shapeOfHandle } from './handle.js'
import { describeSilence } from './head-absence.js'
import { reason } from './puts.js'
import { ObjectRef } from './ref.js'
import type { Runtime } from './runtime.js'
import { currentContext } from './task-context.js'

type Answered = Answer | ActorNamed | GroupNamed

const REQUEST_MS = 10_000
/** What the head is asked for, by what errors call it. */
const OF_HEAD = new Set(['getActor', 'getPlacementGroup', 'drainNode', 'nodes', 'actors', 'groups', 'jobs', 'placement'])
/** A call names its method and, above this step, its concurrency group (from 1; 0 is the default one). */
export const GROUP_STEP = 0x10000

export class Requests implements CallPort {
  private readonly pending = new Map<number, { answer: (message: Answered) => void; fail: (error: Error) => void }>()
  private lastRequest = 0
  /** Where the head of the cluster listens that this program is attached to; null: it is not known, or in the own node. */
  headAt: string | null = null
  /** What the head says of its storage while that is away, as far as this process was told. */
  storageAway: string | null = null

  constructor(private readonly runtime: Runtime) {}

  call(handle: ActorHandle, method: number, shape: MethodShape, args: unknown[], options: CallOptions | null): unknown {
    const { runtime } = this
    const actor = actorOf(handle)
    const actorShape = shapeOfHandle(handle)
    checkArity(`${actorShape.className}.${shape.name}`, shape.requiredArgs, shape.maxArgs, args.length)
    const returns = options?.numReturns ?? shape.numReturns
    const group = options?.concurrencyGroup ?? shape.concurrencyGroup
    const groupNumber = group === null ? 0 : actorShape.groups.indexOf(group) + 1
    this.refuseFlood(actor)
    const held: Entry[] = []
    const encoded = runtime.arguments.encode(args, held)
    if (actor.entry !== null) {
      actor.entry.holds++
      held.push(actor.entry)
    }
    const seq = runtime.owner.nextSeq(Math.max(1, returns))
    const retries = options?.maxTaskRetries ?? shape.maxTaskRetries ?? actorShape.maxTaskRetries
    const name = options?.name ?? `${actorShape.className}.${shape.name}`
    const call = new ActorCall(
      seq,
      actor,
      name,
      method + groupNumber * GROUP_STEP,
      encoded,
      args.length,
      returns,
      retries,
      held,
      currentContext(),
    )
    try {
      runtime.act({ is: 'call', call, pendingMax: actorShape.maxPendingCalls })
    } catch (error) {
      runtime.unhold(held)
      throw error
    }
    runtime.mesh.scheduleFlush()
    return refsOf(runtime, call.entries)
  }

  /** An actor that does not read its ring must not fill this process's memory. */
  private refuseFlood(actor: Actor): void {
    const workerId = actor.view?.workerId
    const waiting = workerId == null ? 0 : (this.runtime.mesh.known(workerId)?.backlogBytes ?? 0)
    if (waiting < limits.peerQueueBytesMax) return
    throw new PendingCallsLimitError(
      `${waiting} bytes of calls wait for the actor ${actor.className}, which does not take them; wait for some of them first`,
    )
  }

  /** Whether the user asked to retry on this error. */
  shouldRetry(reply: TaskReply): boolean {
    const task = this.runtime.owner.tasks.pending.get(reply.task)
    if (!(task instanceof Task) || task.retryExceptions === false || task.retriesLeft === 0) return false
    if (task.retryExceptions === true) return true
    const result = reply.results[0]
    if (result?.form !== 'failed' || !(result.error instanceof Uint8Array)) return false
    const error = decodeError(result.error)
    const cause = error.cause instanceof Error ? error.cause : error
    return task.retryExceptions.some(each => {
      const Class = each as new () => Error
      return (
        error instanceof Class || cause instanceof Class || [(cause as Error).name, (cause as Error).constructor.name].includes(Class.name)
      )
    })
  }

  /** The last handle on an actor is gone. */
  actorDropped(entry: Entry): void {
    const { runtime } = this
    const actorId = runtime.idOf(entry)
    const actor = runtime.owner.calls.actors.get(actorId)
    if (actor !== undefined) runtime.owner.calls.actors.delete(actorId)
    if (entry.owner === null) runtime.send(runtime.node, { is: 'actorDrop', actorId })
  }

  async actorByName(name: string, namespace: string): Promise<ActorView | null> {
    const answer = await this.ask<ActorNamed>('getActor', request => ({ is: 'actorByName', request, name, namespace }))
    return answer.view
  }

  async groupByName(name: string, namespace: string): Promise<GroupView | null> {
    const answer = await this.ask<GroupNamed>('getPlacementGroup', request => ({ is: 'groupByName', request, name, namespace }))
    return answer.view
  }

  async query(what: Query['what'], argument = ''): Promise<unknown[]> {
    const answer = await this.ask<Answer>(what, request => ({ is: 'query', request, what, argument }))
    return answer.rows
  }

  /** Gives that node's row, or none where there is no such living node. */
  async drainNode(nodeId: string): Promise<unknown[]> {
    const answer = await this.ask<Answer>('drainNode', request => ({ is: 'drainNode', request, nodeId }))
    return answer.rows
  }

  answered(message: Answered): void {
    this.pending.get(message.request)?.answer(message)
  }

  fail(error: Error): void {
    for (const each of [...this.pending.values()]) each.fail(error)
  }

  /** Rows of this process for the state API. */
  rows(what: string, argument: string): unknown[] {
    const { owner, self } = this.runtime
    if (what === 'objects') {
      const spilled = new Set(this.runtime.store.list().flatMap(each => (each.spilled ? [each.id] : [])))
      return [...owner.references.owned.values()].filter(entry => !entry.isActor).map(entry => this.objectRow(entry, spilled))
    }
    if (what === 'explain') return [explainEntry(this.runtime, argument)]
    const pending = [...owner.tasks.pending.values()].map(task => ({
      taskId: objectId(self, task.seq),
      name: task.name,
      state: statusOf(task),
      attempt: task.attempt,
      ...placeOf(task.lane?.workerId ?? null),
      error: null,
    }))
    const finished = owner.tasks.finished.map(task => ({
      taskId: objectId(self, task.seq),
      name: task.name,
      state: task.error === null ? 'FINISHED' : 'FAILED',
      attempt: task.attempt,
      ...placeOf(task.workerId),
      error: task.error,
    }))
    return [...finished, ...pending]
  }

  private objectRow(entry: Entry, spilled: Set<string>): unknown {
    const { self } = this.runtime
    const objectId = this.runtime.idOf(entry)
    return {
      objectId,
      sizeBytes: entry.sizeBytes,
      owner: self,
      holders: [...(entry.local + entry.holds > 0 ? [self] : []), ...(entry.borrowers ?? [])],
      reason: entry.state === STATE.pending ? 'pending task' : reason(entry),
      callSite: entry.callSite,
      nodeIds: this.runtime.owner.locations.of(entry),
      spilled: spilled.has(entry.storedAs ?? objectId),
    }
  }

  /** Sends a question to the node, which passes on what is the head's. */
  private ask<Reply extends Answered>(what: string, question: (request: number) => Control): Promise<Reply> {
    const request = ++this.lastRequest
    return this.runtime.waiting(
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          this.pending.delete(request)
          reject(new GetTimeoutError(unanswered(what, this), { timeoutMs: REQUEST_MS }))
        }, REQUEST_MS)
        const end = () => {
          clearTimeout(timer)
          this.pending.delete(request)
        }
        this.pending.set(request, {
          answer: message => {
            end()
            resolve(message as Reply)
          },
          fail: error => {
            end()
            reject(error)
          },
        })
        this.runtime.send(this.runtime.node, question(request))
      }),
    )
  }
}

/** Of a row, as Ray names them. SUBMITTED_TO_WORKER: sent ahead, behind another that the worker runs first. */
export type TaskStatus = 'PENDING_ARGS' | 'PENDING_NODE_ASSIGNMENT' | 'SUBMITTED_TO_WORKER' | 'RUNNING' | 'FINISHED' | 'FAILED'

function statusOf(task: Task): TaskStatus {
  if (task.state === TASK.waiting) return 'PENDING_ARGS'
  if (task.state === TASK.queued || task.retryAt !== null) return 'PENDING_NODE_ASSIGNMENT'
  return task.lane !== null && task.lane.ahead(task).length > 0 ? 'SUBMITTED_TO_WORKER' : 'RUNNING'
}

/** Where a task is, or was last. */
function placeOf(workerId: WorkerId | null): { nodeId: NodeId | null; workerId: WorkerId | null } {
  return { nodeId: workerId === null ? null : nodeOf(workerId), workerId }
}

function unanswered(what: string, { headAt, storageAway: storage }: Requests): string {
  if (!OF_HEAD.has(what)) return `the node did not answer ${what} within ${REQUEST_MS} ms`
  return describeSilence(headAt, what, REQUEST_MS, storage)
}

/** The refs `.remote()` gives: one, several, or none. */
export function refsOf(runtime: Runtime, entries: Entry[]): ObjectRef | ObjectRef[] | undefined {
  if (entries.length === 1) return new ObjectRef(entries[0] as Entry, runtime)
  if (entries.length === 0) return undefined
  return entries.map(entry => new ObjectRef(entry, runtime))
}

/** Refuses a wrong number of arguments at the call. */
export function checkArity(name: string, requiredArgs: number, maxArgs: number | null, count: number): void {
  if (count >= requiredArgs && (maxArgs === null || count <= maxArgs)) return
  const expected =
    maxArgs === null ? `at least ${requiredArgs}` : requiredArgs === maxArgs ? `${requiredArgs}` : `${requiredArgs} to ${maxArgs}`
  const hint = count < requiredArgs ? ' (an optional parameter is spelled with a default: `b = undefined`)' : ''
  throw new TypeError(
    `${name} takes ${expected} argument${expected === '1' ? '' : 's'}, but ${count} ${count === 1 ? 'was' : 'were'} given${hint}`,
  )
}
