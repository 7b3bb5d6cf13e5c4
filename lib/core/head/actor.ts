// SPDX-License-Identifier: Apache-2.0
// One actor as the head knows it, and its views.
//
//   pending --placed--> starting --constructor returned--> alive --process died--> restarting --placed--> starting
//      \___________________\_________________________________\______________________/--> dead (final)
//
// Invariants: workerId is set exactly in starting and alive; deathCause exactly in dead; a name is held until death.

import type { ActorPhase, ActorSpec, ActorView, NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'

/** Why an actor that still runs will be dead and not restarted once its process is gone. */
export interface Ending {
  readonly why: string
  readonly killAt: Millis
}

export interface Actor {
  readonly spec: ActorSpec
  readonly creator: WorkerId
  readonly watchers: Set<WorkerId>
  /** Ids of other creators' handles that stand for this actor, since they asked for it by name with getIfExists. */
  readonly aliases: Map<string, { readonly creator: WorkerId; readonly watchers: Set<WorkerId> }>
  phase: ActorPhase
  workerId: WorkerId | null
  pid: number | null
  incarnation: number
  /** -1: no limit. */
  restartsLeft: number
  restarts: number
  deathCause: Uint8Array | null
  /** It was told to finish and leave; null otherwise. */
  ending: Ending | null
  /** Since when it has a process, to tell a crash at once from one after work. */
  startedAt: Millis
  /** Crashes in a row right after the start. */
  quickDeaths: number
  /** When a restart that was put off is due; null when none is. */
  restartAt: Millis | null
}

export function newActor(spec: ActorSpec, creator: WorkerId): Actor {
  return {
    spec,
    creator,
    watchers: new Set([creator]),
    aliases: new Map(),
    phase: 'pending',
    workerId: null,
    pid: null,
    incarnation: 0,
    restartsLeft: spec.maxRestarts,
    restarts: 0,
    deathCause: null,
    ending: null,
    startedAt: 0,
    quickDeaths: 0,
    restartAt: null,
  }
}

export function checkActor(actor: Actor): void {
  const { phase, workerId, deathCause, restartAt } = actor
  assert(
    (workerId !== null) === (phase === 'starting' || phase === 'alive'),
    `a ${phase} actor has ${workerId === null ? 'no ' : 'a '}process`,
  )
  assert((deathCause !== null) === (phase === 'dead'), `a ${phase} actor has ${deathCause === null ? 'no ' : 'a '}cause of death`)
  assert(restartAt === null || phase === 'restarting', `a ${phase} actor is to be restarted later`)
}

export function viewOf(actor: Actor, nodeId: NodeId): ActorView {
  const { spec, phase, workerId, pid, incarnation, restartsLeft, deathCause } = actor
  return {
    actorId: spec.actorId,
    className: spec.className,
    name: spec.name,
    namespace: spec.namespace,
    phase,
    workerId,
    pid,
    nodeId: workerId === null ? null : nodeId,
    incarnation,
    restartsLeft,
    deathCause,
    shape: spec.shape,
    maxTaskRetries: spec.maxTaskRetries,
    maxPendingCalls: spec.maxPendingCalls,
    isAsync: spec.isAsync,
  }
}

/** For those who ask for an actor that was never created, or so long ago that it is forgotten. */
export function viewOfNone(actorId: string, deathCause: Uint8Array): ActorView {
  return {
    actorId,
    className: '',
    name: null,
    namespace: '',
    phase: 'dead',
    workerId: null,
    pid: null,
    nodeId: null,
    incarnation: 0,
    restartsLeft: 0,
    deathCause,
    shape: new Uint8Array(0),
    maxTaskRetries: 0,
    maxPendingCalls: -1,
    isAsync: false,
  }
}

/** A row of the state API; `deathCause` stays encoded. */
export function rowOf(actor: Actor, nodeId: NodeId): unknown {
  const { spec, phase, workerId, pid, restarts, deathCause } = actor
  return {
    actorId: spec.actorId,
    name: spec.name,
    namespace: spec.namespace,
    className: spec.className,
    state: phase,
    nodeId: workerId === null ? null : nodeId,
    pid,
    numRestarts: restarts,
    deathCause,
  }
}
