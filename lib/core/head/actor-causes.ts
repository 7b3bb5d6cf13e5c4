// SPDX-License-Identifier: Apache-2.0
// Why actors die, in words.

import {
  ActorDiedError,
  ActorNameTakenError,
  type EaglerayError,
  NodeDiedError,
  OutOfMemoryError,
  PlacementGroupRemovedError,
} from '../../errors.js'
import type { ActorSpec, Death } from '../../wire/messages.js'

export function nameTaken({ name, namespace }: ActorSpec): EaglerayError {
  return new ActorNameTakenError(`An actor named ${JSON.stringify(name)} lives in the namespace ${JSON.stringify(namespace)} already`)
}

export function died(spec: ActorSpec, why: string, cause: EaglerayError | null = null): EaglerayError {
  const { actorId, className, name } = spec
  const message = `Actor ${className}${name === null ? '' : ` (${name})`} ${why}`
  return new ActorDiedError(message, cause === null ? { actorId } : { actorId, cause })
}

/** Of an actor that was to live in a placement group. */
export function groupRemoved(spec: ActorSpec, why: string): EaglerayError {
  return died(spec, `died with its placement group: ${why}`, new PlacementGroupRemovedError(why))
}

export function gone(actorId: string, creatorLives: boolean): EaglerayError {
  const why = creatorLives ? 'no handle to it is left' : 'the process that created it ended'
  return new ActorDiedError(`The actor is gone: ${why}`, { actorId })
}

/** Of a process that ended. */
export function processEnded(spec: ActorSpec, death: Death): EaglerayError {
  const { exitCode, signal, stderrTail, reason, outOfMemory } = death
  const how = reason ?? (signal === null ? `exit code ${exitCode}` : `signal ${signal}`)
  const tail = stderrTail === '' ? '' : `; its last output was:\n${stderrTail}`
  const cause = outOfMemory ? new OutOfMemoryError(reason ?? 'out of memory') : null
  return died(spec, `died: its process ended (${how})${tail}`, cause)
}

export function nodeEnded(spec: ActorSpec, nodeId: string, why: string): EaglerayError {
  return died(spec, `died with its node ${nodeId}: ${why}`, new NodeDiedError(`node ${nodeId} is gone: ${why}`))
}
