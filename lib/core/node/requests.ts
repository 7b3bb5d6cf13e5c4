// SPDX-License-Identifier: Apache-2.0
// What waits for a worker: wants of owners by class, and actors to be placed. Owners take turns, and so do the classes
// of one owner: whoever was served goes to the back. All actors together are one owner (HEAD) among the others.

import type { Amounts, Environment, JobSpec, SchedulingClass, Want, Where, WorkerId } from '../../wire/messages.js'
import type { Millis } from '../machine.js'
import { Nowhere } from '../nowhere.js'

/** The name under which actors wait; no process has it. */
export const HEAD = ''

export interface Request {
  readonly key: string
  readonly owner: WorkerId
  /** Taken with the worker. */
  readonly need: Amounts
  /** Must be there in all on the node, though not all of it is taken (the default actor: 1 CPU, of which it takes none). */
  readonly placement: Amounts
  readonly freshWorker: boolean
  readonly environment: Environment | null
  readonly job: JobSpec
  /** Of a want; null for an actor. */
  readonly class: SchedulingClass | null
  /** Null: anywhere, by DEFAULT. */
  readonly where: Where | null
  readonly actor: { readonly actorId: string; readonly incarnation: number } | null
  /** What people call it: the task's or the actor's class's name. */
  name: string
  /** Workers still asked for. */
  count: number
  /** Leases that its owner has, on all nodes and of all classes; 0 while it has none of this class. As it told. */
  held: number
  /** Since when it has not been served although it asked. */
  waitingSince: Millis
  /** Since when it waits with no more added to it. */
  settledSince: Millis
  /** How many more were asked for since it was looked where it is best served. */
  added: number
  /** This node can never serve it, though another may. */
  notHere: boolean
  /** Whether no node can ever serve it. */
  readonly nowhere: Nowhere
  /** When what this node can never serve at once was sent to wait elsewhere, how many leases the owner had then, and how long after it may be again. */
  spread: { readonly held: number; readonly at: Millis; readonly every: Millis } | null
  /** Nobody here holds more than its owner, who could be asked for some. */
  hopeless: boolean
  /** Workers counted for it in this pass which have yet to start. */
  expected: number
}

export class Requests {
  /** Both maps in turn order: served ones are moved to the end. */
  readonly #owners = new Map<WorkerId, Map<string, Request>>()

  get(owner: WorkerId, key: string): Request | undefined {
    return this.#owners.get(owner)?.get(key)
  }

  add(request: Request): void {
    const mine = this.#owners.get(request.owner)
    if (mine === undefined) this.#owners.set(request.owner, new Map([[request.key, request]]))
    else mine.set(request.key, request)
  }

  remove(owner: WorkerId, key: string): void {
    const mine = this.#owners.get(owner)
    mine?.delete(key)
    if (mine?.size === 0) this.#owners.delete(owner)
  }

  /** The last figures that an owner tells count. Gives false where that is a request of its own. */
  wantedAgain(owner: WorkerId, { class: { key }, count, held, taskName }: Want, now: Millis): boolean {
    const known = this.get(owner, key)
    if (count <= 0) this.remove(owner, key)
    else if (known !== undefined) {
      if (count > known.count) {
        known.added += count - known.count
        known.settledSince = now
      }
      known.count = count
      known.held = held
      known.name = taskName
    } else return false
    return true
  }

  removeOwner(owner: WorkerId): void {
    this.#owners.delete(owner)
  }

  /** One worker was granted: takes it off the count, and ends the owner's and the class's turn. */
  served(request: Request, now: Millis): void {
    const mine = this.#owners.get(request.owner) as Map<string, Request>
    mine.delete(request.key)
    request.count--
    request.held++
    request.waitingSince = now
    if (request.count > 0) mine.set(request.key, request)
    this.#owners.delete(request.owner)
    if (mine.size > 0) this.#owners.set(request.owner, mine)
  }

  /** It has one lease less than it told. */
  gaveBack(owner: WorkerId, key: string): void {
    const request = this.get(owner, key)
    if (request !== undefined && request.held > 0) request.held--
  }

  owners(): IterableIterator<[WorkerId, Map<string, Request>]> {
    return this.#owners.entries()
  }

  *all(): Generator<Request> {
    for (const mine of this.#owners.values()) yield* mine.values()
  }
}

export function requestOf(owner: WorkerId, want: Want, now: Millis): Request {
  const { class: scheduling, count, held, taskName } = want
  const { key, resources, job, freshWorker, environment, where } = scheduling
  return newRequest(key, owner, taskName, resources, resources, job, now, {
    freshWorker,
    environment,
    where,
    class: scheduling,
    count,
    held,
  })
}

/** One worker asked for, and nothing else said. */
export function newRequest(
  key: string,
  owner: WorkerId,
  name: string,
  need: Request['need'],
  placement: Request['placement'],
  job: JobSpec,
  now: Millis,
  more: Partial<Pick<Request, 'freshWorker' | 'environment' | 'where' | 'class' | 'actor' | 'count' | 'held'>>,
): Request {
  return {
    key,
    owner,
    name,
    need,
    placement,
    freshWorker: more.freshWorker ?? false,
    environment: more.environment ?? null,
    job,
    where: more.where ?? null,
    class: more.class ?? null,
    actor: more.actor ?? null,
    count: more.count ?? 1,
    held: more.held ?? 0,
    waitingSince: now,
    settledSince: now,
    added: more.count ?? 1,
    notHere: false,
    nowhere: new Nowhere(),
    spread: null,
    hopeless: false,
    expected: 0,
  }
}
