// SPDX-License-Identifier: Apache-2.0
// A task as its owner keeps it from `.remote()` until its results are there.

import { limits } from '../../options.js'
import type { SchedulingClass, WorkerId } from '../../wire/messages.js'
import type { Millis } from '../machine.js'
import type { Entry } from './entry.js'
import type { Lane } from './lane.js'

/** Arguments: pieces encoded at submission, and refs whose values take their place at dispatch. */
export type Argument = Uint8Array | Entry

/** What a remote function ships once per channel. */
export interface CodeRef {
  readonly hash: string
  readonly bytes: Uint8Array
  readonly name: string
  /** What its bodies take at most (ms), from which it sinks slowly while they take less; null until one has ended. */
  bodyMs: number | null
}

/** Of one of its tasks a worker says what its body took. One alone makes it slow, and only several make it quick. */
export function measured(code: CodeRef, ms: number): void {
  const most = code.bodyMs ?? 2 * limits.remoteQuickMs
  code.bodyMs = ms > most ? ms : most + (ms - most) / 8
}

export const TASK = { waiting: 0, queued: 1, sent: 2, done: 3 } as const
export type TaskState = (typeof TASK)[keyof typeof TASK]

export class Task {
  state: TaskState = TASK.waiting
  /** Arguments that are refs and have no value yet. */
  unresolved = 0
  lane: Lane | null = null
  /** Where it was sent last; null: nowhere yet. */
  workerId: WorkerId | null = null
  /** Its claim word on the lane's channel while sent. */
  claim = -1
  attempt = 0
  cancelled = false
  /** Its worker, on another node, is ended if it has begun it. */
  forced = false
  /** It was sent to another node, whose store may have results of it. */
  wentAway = false
  /** Its refs are with the user, so that they count. */
  submitted = false
  readonly entries: Entry[] = []
  submittedAt = 0
  /** It is for a detached actor. */
  outlivesJob = false
  /** How often it has been run again after it was ended for lack of memory, and how often it may be. */
  memoryRetries = 0
  readonly memoryRetriesMax: number
  /** Why what it made was lost, while it is run again for that. */
  remaking: string | null = null
  /** When it is run again after it was ended for lack of memory; null when that is not what it waits for. */
  retryAt: Millis | null = null

  constructor(
    /** Sequence number of the first return: the task's id. */
    readonly seq: number,
    readonly name: string,
    readonly code: CodeRef,
    /** Replaced by a variant that asks another node first, where its arguments are there. */
    public scheduling: SchedulingClass,
    /** Encoded arguments in one piece, or the pieces when some are refs. */
    readonly args: Uint8Array | Argument[],
    readonly argCount: number,
    readonly returns: number,
    /** -1: for ever. */
    public retriesLeft: number,
    /** Whether an exception of the body is retried too: always, or when the shell finds the error in the user's list. */
    readonly retryExceptions: boolean | readonly unknown[],
    /** Entries held until the results are there: refs among and inside the arguments. */
    readonly held: Entry[],
    /** The task that submitted it (for recursive cancel), opaque here. */
    readonly parent: unknown,
  ) {
    this.memoryRetriesMax = retriesLeft === 0 ? 0 : retriesLeft < 0 ? Number.POSITIVE_INFINITY : limits.memoryRetriesMax
  }
}
