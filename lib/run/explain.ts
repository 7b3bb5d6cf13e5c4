// SPDX-License-Identifier: Apache-2.0
// Why an object is not there yet: which argument, worker, resource or actor it waits for.

import { placementOf } from '../core/environment.js'
import type { AwayRow } from '../core/node/head-link.js'
import { HEAD } from '../core/node/requests.js'
import type { WaitingRow } from '../core/node/rows.js'
import { ActorCall, callsAhead } from '../core/owner/actor-calls.js'
import { type Entry, STATE } from '../core/owner/entry.js'
import { TASK, Task } from '../core/owner/task.js'
import { describeAmounts } from '../core/resources.js'
import { GetTimeoutError } from '../errors.js'
import { ownerOf, seqOf } from '../ids.js'
import type { Query } from '../wire/messages.js'
import { describeAbsence } from './head-absence.js'
import type { Runtime } from './runtime.js'

export interface Explanation {
  objectId: string
  state:
    | 'ready'
    | 'failed'
    | 'waiting for arguments'
    | 'waiting for a worker'
    | 'waiting for its environment'
    /** Sent ahead to the worker, or the actor, behind something that it does first. */
    | 'queued behind another'
    | 'running'
    | 'waiting for an actor'
    | 'waiting for its placement group'
    | 'waiting for its owner'
    | 'unknown'
  /** One sentence. */
  reason: string
  waitsFor: { arguments: string[]; resources: string | null; workerId: string | null; actorId: string | null }
}

const NOTHING: Explanation['waitsFor'] = { arguments: [], resources: null, workerId: null, actorId: null }

export function explainEntry(runtime: Runtime, id: string): Explanation {
  const owner = ownerOf(id)
  const table = owner === runtime.self ? runtime.owner.references.owned : runtime.owner.references.borrowed.get(owner)
  const entry = table?.get(seqOf(id))
  if (entry === undefined) return { objectId: id, state: 'unknown', reason: 'this process knows of no such object', waitsFor: NOTHING }
  return explain(runtime, entry)
}

function explain(runtime: Runtime, entry: Entry): Explanation {
  const objectId = runtime.idOf(entry)
  if (entry.state === STATE.failed) return { objectId, state: 'failed', reason: runtime.reader.failure(entry).message, waitsFor: NOTHING }
  if (entry.settled) return { objectId, state: 'ready', reason: 'the value is there', waitsFor: NOTHING }
  if (entry.owner !== null)
    return { objectId, state: 'waiting for its owner', reason: `its owner ${entry.owner} has not told of a value yet`, waitsFor: NOTHING }
  const groupId = runtime.groups.awaitedBy(entry)
  if (groupId !== null)
    return {
      objectId,
      state: 'waiting for its placement group',
      reason: `the placement group ${groupId} is not there yet`,
      waitsFor: NOTHING,
    }
  const { task } = entry
  if (!(task instanceof Task || task instanceof ActorCall))
    return { objectId, state: 'unknown', reason: 'nothing makes it', waitsFor: NOTHING }
  const explanation = task instanceof Task ? explainTask(runtime, objectId, task) : explainCall(runtime, objectId, task)
  return { ...explanation, reason: again(task, explanation.reason) }
}

/** A value that was there and is made anew says so. */
function again({ remaking }: Task | ActorCall, reason: string): string {
  return remaking === null ? reason : `${reason}; it is run again, because what it had made was lost: ${remaking}`
}

/** As `explainEntry`; its owner, the nodes where it waits for a worker and the head that places actors are asked for what they know better. */
export async function explainFully(runtime: Runtime, entry: Entry): Promise<Explanation> {
  const explanation = explain(runtime, entry)
  const { task, settled, owner } = entry
  if (settled) return explanation
  if (owner !== null) return ((await ask(runtime, 'explain', explanation.objectId)) as Explanation[])[0] ?? explanation
  const groupId = runtime.groups.awaitedBy(entry)
  if (groupId !== null) return { ...explanation, ...(await waitingInHead(runtime, groupId, explanation.reason)) }
  if (task instanceof Task && task.state === TASK.queued && task.retryAt === null)
    return { ...explanation, ...(await waiting(runtime, task, task.name, task.scheduling.key)) }
  if (!(task instanceof ActorCall) || task.unresolved > 0 || task.sent) return explanation
  const { actorId, className, view } = task.actor
  if (view !== null && view.phase !== 'pending' && view.phase !== 'restarting') return explanation
  const nowhere = await waitingInHead(runtime, actorId, `${task.name} waits for the actor, which is ${view?.phase ?? 'to be created'}`)
  if (nowhere !== null) return { ...explanation, reason: again(task, nowhere.reason) }
  return { ...explanation, ...(await waiting(runtime, task, `the actor ${className}`, placementOf(actorId))) }
}

/** Why an actor or a placement group has no place, as the head knows; null, where it has one. `what` waits: said where the head is away. */
async function waitingInHead(runtime: Runtime, id: string, what: string): Promise<{ reason: string } | null> {
  const [row] = (await ask(runtime, 'placement', id)) as ({ reason: string } | AwayRow)[]
  if (row === undefined) return null
  return 'isHeadAway' in row ? { reason: `${what}: ${describeAbsence(runtime.requests.headAt, row.storage)}` } : row
}

/** What the nodes know of something that waits in one of them; nothing, where it has gone on meanwhile. */
async function waiting(
  runtime: Runtime,
  task: Task | ActorCall,
  name: string,
  argument: string,
): Promise<Partial<Pick<Explanation, 'state' | 'reason'>>> {
  const rows = ((await ask(runtime, 'explain', argument)) as WaitingRow[]).filter(({ owner }) => owner === runtime.self || owner === HEAD)
  const row = rows.find(each => each.isSettingUp) ?? rows[0]
  if (row === undefined) return {}
  const reason = again(task, row.impossible ?? `${name} waits for ${row.waitsFor}`)
  return row.isSettingUp ? { state: 'waiting for its environment', reason } : { reason }
}

/** No rows, where the node or the head does not answer. */
async function ask(runtime: Runtime, what: Query['what'], argument: string): Promise<unknown[]> {
  return runtime.requests.query(what, argument).catch(error => {
    if (error instanceof GetTimeoutError) return []
    throw error
  })
}

function missing(runtime: Runtime, args: Task['args']): string[] {
  if (args instanceof Uint8Array) return []
  const entries = args.filter((argument): argument is Entry => !(argument instanceof Uint8Array) && !argument.settled)
  return entries.map(argument => runtime.idOf(argument))
}

function explainTask(runtime: Runtime, objectId: string, task: Task): Explanation {
  if (task.retryAt !== null) {
    const reason = `${task.name} was ended for lack of memory, and after a pause is run again (attempt ${task.attempt + 1})`
    return { objectId, state: 'waiting for a worker', reason, waitsFor: NOTHING }
  }
  if (task.state === TASK.waiting) {
    const list = missing(runtime, task.args)
    return {
      objectId,
      state: 'waiting for arguments',
      reason: `${task.name} waits for ${list.length} of its arguments`,
      waitsFor: { ...NOTHING, arguments: list },
    }
  }
  const resources = describeAmounts(task.scheduling.resources)
  if (task.state === TASK.queued) {
    return {
      objectId,
      state: 'waiting for a worker',
      reason: `${task.name} waits for a worker with ${resources || 'no resources'}`,
      waitsFor: { ...NOTHING, resources },
    }
  }
  const workerId = task.lane?.workerId ?? null
  const waitsFor = { ...NOTHING, workerId }
  const [first, ...others] = task.lane?.ahead(task) ?? []
  if (first === undefined)
    return { objectId, state: 'running', reason: `${task.name} is at worker ${workerId} (attempt ${task.attempt + 1})`, waitsFor }
  const behind = `${first.name}, which runs there${others.length === 0 ? '' : `, and ${others.length} more`}`
  return { objectId, state: 'queued behind another', reason: `${task.name} is queued at worker ${workerId} behind ${behind}`, waitsFor }
}

function explainCall(runtime: Runtime, objectId: string, call: ActorCall): Explanation {
  const { actor } = call
  if (call.unresolved > 0) {
    const list = missing(runtime, call.args)
    return {
      objectId,
      state: 'waiting for arguments',
      reason: `${call.name} waits for ${list.length} of its arguments`,
      waitsFor: { ...NOTHING, arguments: list },
    }
  }
  const phase = actor.view?.phase ?? 'unknown'
  const waitsFor = { ...NOTHING, actorId: actor.actorId }
  const ahead = callsAhead(call)
  if (ahead > 0) {
    const reason = `${call.name} is at the actor, which is ${phase}, behind ${ahead} earlier call${ahead === 1 ? '' : 's'} of this process`
    return { objectId, state: 'queued behind another', reason, waitsFor }
  }
  if (call.sent) {
    const others = actor.view?.isAsync ? '' : '; it runs, or waits there behind calls of other processes'
    return { objectId, state: 'running', reason: `${call.name} is at the actor, which is ${phase}${others}`, waitsFor }
  }
  const reason = `${call.name} waits for the actor, which is ${phase}, or behind an earlier call`
  return { objectId, state: 'waiting for an actor', reason, waitsFor }
}
