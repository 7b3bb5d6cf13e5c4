// SPDX-License-Identifier: Apache-2.0
// Writing tasks and calls to the worker that is to run them: code and lease first where the channel has not seen them.

import type { ActorCall } from '../core/owner/actor-calls.js'
import type { Lane } from '../core/owner/lane.js'
import type { Argument, CodeRef, Task } from '../core/owner/task.js'
import type { Mesh, Peer } from '../io/mesh.js'
import { NO_CLAIM, type PacketBuffer, TASK_FLAG, TASK_HEADER_BYTES, type TaskHeader, writeTaskHeader } from '../wire/frames.js'
import { type ArgumentHost, resolvedArgument } from './arguments.js'
import { capturedBy } from './groups.js'

/** States of a claim word; the worker moves queued to claimed, the owner queued to revoked, whoever is first. */
export const CLAIM = { free: 0, queued: 1, claimed: 2, revoked: 3 } as const

export class Dispatcher {
  constructor(
    private readonly mesh: Mesh,
    private readonly host: ArgumentHost,
  ) {}

  /** False when the worker is gone; its death will be told, and brings the task back. */
  task(task: Task, lane: Lane): boolean {
    const peer = this.mesh.peer(lane.workerId)
    if (peer === null) return false
    if (!lane.announced) {
      lane.announced = true
      this.mesh.sendTo(peer, {
        is: 'leaseStart',
        leaseId: lane.leaseId,
        gpuIds: lane.gpuIds,
        resources: task.scheduling.resources,
        job: task.scheduling.job,
        capture: capturedBy(task.scheduling.where),
      })
    }
    if (!lane.isRemote) Atomics.store(peer.claims.mine, task.claim, CLAIM.queued)
    const code = this.code(peer, task.code)
    const header = {
      flags: (lane.isRemote ? TASK_FLAG.asked : 0) | (task.outlivesJob ? TASK_FLAG.outlivesJob : 0) | remake(task),
      claim: task.claim,
      task: task.seq,
      lease: lane.leaseId,
      code,
      returns: task.returns,
      attempt: task.attempt,
      argCount: task.argCount,
    }
    this.write(peer, header, task.args)
    return true
  }

  call(call: ActorCall, peer: Peer, incarnation: number): void {
    const header = {
      flags: TASK_FLAG.actor | remake(call),
      claim: NO_CLAIM,
      task: call.seq,
      lease: incarnation,
      code: call.method,
      returns: call.returns,
      attempt: call.attempt,
      argCount: call.argCount,
    }
    this.write(peer, header, call.args)
  }

  /** Tries to take a task back before the worker begins it. */
  revoke(task: Task, lane: Lane): boolean {
    const peer = this.mesh.peer(lane.workerId)
    if (peer === null) return false
    return Atomics.compareExchange(peer.claims.mine, task.claim, CLAIM.queued, CLAIM.revoked) === CLAIM.queued
  }

  private code(peer: Peer, code: CodeRef): number {
    const known = peer.sentCode.get(code)
    if (known !== undefined) return known
    const number = peer.sentCode.size
    peer.sentCode.set(code, number)
    this.mesh.sendTo(peer, { is: 'code', hash: code.hash, name: code.name, bytes: code.bytes })
    return number
  }

  private write(peer: Peer, header: TaskHeader, args: Uint8Array | Argument[]): void {
    const pieces =
      args instanceof Uint8Array
        ? args
        : args.map(argument => (argument instanceof Uint8Array ? argument : resolvedArgument(argument, this.host)))
    const size = pieces instanceof Uint8Array ? pieces.length : pieces.reduce((sum, piece) => sum + piece.length, 0)
    if (this.mesh.reserveOrFragment(peer, TASK_HEADER_BYTES + size)) return place(peer, header, pieces, size)
    const bytes = new Uint8Array(TASK_HEADER_BYTES + size)
    place({ bytes, view: new DataView(bytes.buffer), length: 0 }, header, pieces, size)
    this.mesh.sendFrame(peer, bytes.subarray(4))
  }
}

function remake({ remaking }: Task | ActorCall): number {
  return remaking === null ? 0 : TASK_FLAG.remake
}

function place(packet: PacketBuffer, header: TaskHeader, pieces: Uint8Array | Uint8Array[], size: number): void {
  let at = writeTaskHeader(packet, header, size)
  if (pieces instanceof Uint8Array) return copy(pieces, packet.bytes, at)
  for (const piece of pieces) {
    packet.bytes.set(piece, at)
    at += piece.length
  }
}

/** A loop beats TypedArray.set for the few bytes most tasks have. */
function copy(source: Uint8Array, target: Uint8Array, at: number): void {
  if (source.length > 64) target.set(source, at)
  else for (let i = 0; i < source.length; i++) target[at + i] = source[i] as number
}
