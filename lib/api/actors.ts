// SPDX-License-Identifier: Apache-2.0
// What is done with actors beyond calling them: ready, kill, getActor, exitActor.

import { rebuildTaskError } from '../codec/error-value.js'
import { ActorDiedError } from '../errors.js'
import { ActorExit } from '../run/actor-host.js'
import { actorOf, decodeShape, ActorHandle as Handle, makeHandle } from '../run/handle.js'
import { checkName, flag, refuseUnknown } from '../run/option-checks.js'
import { session } from '../run/runtime.js'
import { currentContext } from '../run/task-context.js'
import type { ActorHandle } from './actor-class.js'
import { current, currentOrStarted, namespaceOf } from './init.js'

function handleOf(what: string, handle: unknown): Handle {
  if (handle instanceof Handle) return handle
  throw new TypeError(`${what} takes the handle of an actor`)
}

/** Resolves when the actor is alive; rejects with why it never will be. */
export async function ready(handle: ActorHandle): Promise<void> {
  const actor = actorOf(handleOf('ready()', handle))
  const runtime = await currentOrStarted()
  await runtime.waiting(
    runtime.actorSettled(actor, view => {
      if (view.phase === 'alive') return true
      if (view.phase !== 'dead') return false
      throw view.deathCause === null
        ? new ActorDiedError(`the actor ${actor.className} is dead`, { actorId: actor.actorId })
        : rebuildTaskError(view.deathCause)
    }),
  )
}

/** Ends the actor's process at once; pending and later calls fail with ActorDiedError. `noRestart: false` counts as a crash. */
export function kill(handle: ActorHandle, options: { noRestart?: boolean } = {}): void {
  const actor = actorOf(handleOf('kill()', handle))
  const runtime = current()
  refuseUnknown('kill()', options, ['noRestart'])
  flag('kill()', 'noRestart', options.noRestart)
  const actorId = actor.view?.actorId ?? actor.actorId
  runtime.send(runtime.node, { is: 'actorKill', actorId, noRestart: options.noRestart ?? true })
  // Later calls of this process do not overtake the kill: they wait for what the head says of the actor.
  if (actor.view?.phase === 'alive') actor.view = { ...actor.view, phase: 'pending' }
}

/** The actor of that name. Rejects with RangeError when there is none. The handle does not keep the actor alive. */
export async function getActor<T = unknown>(name: string, options: { namespace?: string } = {}): Promise<ActorHandle<T>> {
  if (typeof name !== 'string') throw new TypeError('getActor() takes a name')
  if (name.trim() === '') throw new RangeError('getActor(): the name must not be empty')
  refuseUnknown('getActor()', options, ['namespace'])
  checkName('getActor()', options.namespace, 'namespace')
  const runtime = await currentOrStarted()
  const namespace = options.namespace ?? namespaceOf()
  const view = await runtime.requests.actorByName(name, namespace)
  if (view === null) throw new RangeError(`getActor(): there is no actor named ${name} in the namespace ${namespace}`)
  const shape = decodeShape(view.shape)
  const actor = runtime.owner.actor(view.actorId, false, view.className, shape.ordered)
  return makeHandle(actor, shape, runtime, runtime.requests) as unknown as ActorHandle<T>
}

/** Inside a method: the actor ends once what was submitted before is finished, and is not restarted. */
export function exitActor(): never {
  if (session.runtime?.runner === undefined || session.runtime.runner === null || currentContext() === null || !session.runtime.isActor) {
    throw new TypeError('exitActor() can only be called inside a method of an actor')
  }
  throw new ActorExit('exitActor()')
}
