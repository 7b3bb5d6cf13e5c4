// SPDX-License-Identifier: Apache-2.0
// Ids. An id names where its owner lives, so no directory has to be asked:
//
//   WorkerId  [ node 5 B | client slot 2 B | nonce 5 B ]                    24 hex digits
//   ObjectId  [ WorkerId of the owner 12 B | sequence number 8 B, big end ] 40 hex digits
//
// A TaskId is the ObjectId of the task's first return; an ActorId that of the actor's entry in its creator's table.
// Inside an owner everything is keyed by the sequence number, a safe integer.

import type { NodeId, WorkerId } from './wire/messages.js'

export const WORKER_ID_DIGITS = 24
export const OBJECT_ID_DIGITS = 40
/** The head of a cluster, where it is a process of its own: no node and no slot. */
export const HEAD_ID: WorkerId = '0'.repeat(WORKER_ID_DIGITS)

export function objectId(owner: WorkerId, seq: number): string {
  return owner + seq.toString(16).padStart(16, '0')
}

export function ownerOf(objectId: string): WorkerId {
  return objectId.slice(0, WORKER_ID_DIGITS)
}

export function seqOf(objectId: string): number {
  return Number.parseInt(objectId.slice(WORKER_ID_DIGITS), 16)
}

export function nodeOf(workerId: WorkerId): NodeId {
  return workerId.slice(0, 10)
}

/** The client slot a process holds in its node's segment. */
export function slotOf(workerId: WorkerId): number {
  return Number.parseInt(workerId.slice(10, 14), 16)
}

export function isNodeId(text: string): boolean {
  return /^[0-9a-f]{10}$/.test(text)
}

export function isWorkerId(text: string): boolean {
  return /^[0-9a-f]{24}$/.test(text)
}

/** A name that a store can have. */
export function isObjectId(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text)
}

/** As `objectId` makes them: its sequence number is one that an owner can have. */
export function isOwnedId(text: string): boolean {
  return /^[0-9a-f]{24}00[01][0-9a-f]{13}$/.test(text)
}
