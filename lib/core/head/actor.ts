// SPDX-License-Identifier: Apache-2.0
// One actor as the head knows it, and its views.
//
//   pending --placed--> starting --constructor returned--> alive --process died--> restarting --placed--> starting
//      \___________________\_________________________________\______________________/--> dead (final)
//
// Invariants: workerId is set exactly in starting and alive, and then nodeId names its node; in pending and restarting
// nodeId names the node that was asked to place it, if one was; deathCause exactly in dead; a name is held until death.

import { nodeOf } from '../../ids.js'
import type { ActorPhase, ActorSpec, ActorView, NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'
import { Nowhere } from '../nowhere.js'

/** Why an actor that still runs will be dead and not restarted once its process is gone. */
export interface Ending {
  readonly why: string
  readonly killAt: Millis
  /** The process that is to end. */
  readonly workerId: WorkerId
}

export interface Actor {
  spec: ActorSpec
  readonly creator: WorkerId
  /** Ids of other creators' handles that stand for this actor, since they asked for it by name with getIfExists; with those creators. */
  readonly aliases: Map<string, WorkerId>
  phase: ActorPhase
  nodeId: NodeId | null
  /** Nodes that refused it since something last changed. */
  readonly refusedBy: Set<NodeId>
  /** Whether no node could ever hold it. */
  readonly nowhere: Nowhere
  workerId: WorkerId | null
  pid: number | null
  gpuIds: string[]
  incarnation: number
  /** -1: no limit. */
  restartsLeft: number
  restarts: number
  /** The incarnation that kill() ended so that it restarts; null when none was. */
  killed: number | null
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
    aliases: new Map(),
    phase: 'pending',
    nodeId: null,
    refusedBy: new Set(),
    nowhere: new Nowhere(),
    workerId: null,
    pid: null,
    gpuIds: [],
    incarnation: 0,
    restartsLeft: spec.maxRestarts,
    restarts: 0,
    killed: null,
    deathCause: null,
    ending: null,
    startedAt: 0,
    quickDeaths: 0,
    restartAt: null,
  }
}

export function checkActor(actor: Actor): void {
  const { phase, workerId, nodeId, deathCause, restartAt } = actor
  assert(
    (workerId !== null) === (phase === 'starting' || phase === 'alive'),
    `a ${phase} actor has ${workerId === null ? 'no ' : 'a '}process`,
  )
  assert(workerId === null || nodeOf(workerId) === nodeId, 'an actor is on another node than its process')
  assert((deathCause !== null) === (phase === 'dead'), `a ${phase} actor has ${deathCause === null ? 'no ' : 'a '}cause of death`)
  assert(phase !== 'dead' || nodeId === null, 'a dead actor has a node')
  assert(restartAt === null || phase === 'restarting', `a ${phase} actor is to be restarted later`)
}

export function viewOf(actor: Actor): ActorView {
  const { spec, phase, workerId, pid, incarnation, restartsLeft, deathCause } = actor
  return {
    actorId: spec.actorId,
    className: spec.className,
    name: spec.name,
    namespace: spec.namespace,
    phase,
    workerId,
    pid,
    nodeId: workerId === null ? null : actor.nodeId,
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
export function rowOf(actor: Actor): unknown {
  const { spec, phase, workerId, nodeId, pid, restarts, deathCause } = actor
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

/** As it is kept: what of a machine's state has no meaning in the next (times, who watches) is left out. */
export interface ActorRow {
  spec: Omit<ActorSpec, 'code' | 'args'>
  creator: WorkerId
  aliases: [string, WorkerId][]
  phase: ActorPhase
  nodeId: NodeId | null
  workerId: WorkerId | null
  pid: number | null
  gpuIds: string[]
  incarnation: number
  restartsLeft: number
  restarts: number
  killed: number | null
  deathCause: Uint8Array | null
  ending: string | null
  quickDeaths: number
}

export function toRow(actor: Actor): ActorRow {
  const { code: _, args: __, ...spec } = actor.spec
  const { creator, aliases, phase, nodeId, workerId, pid, gpuIds, incarnation, restartsLeft, restarts, killed, deathCause, ending } = actor
  const place = { phase, nodeId, workerId, pid, gpuIds, incarnation }
  const fate = { restartsLeft, restarts, killed, deathCause, ending: ending?.why ?? null, quickDeaths: actor.quickDeaths }
  return { spec, creator, aliases: [...aliases], ...place, ...fate }
}

export function fromRow(row: ActorRow, code: Uint8Array, args: Uint8Array, now: Millis, killAt: Millis): Actor {
  const { spec, aliases, ending, ...rest } = row
  const { workerId } = row
  const actor = newActor({ ...spec, code, args }, row.creator)
  for (const [id, creator] of aliases) actor.aliases.set(id, creator)
  return Object.assign(actor, rest, {
    startedAt: now,
    ending: ending === null || workerId === null ? null : { why: ending, killAt, workerId },
  })
}
