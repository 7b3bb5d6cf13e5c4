// SPDX-License-Identifier: Apache-2.0
// What travels between simulated processes: the frames of the mesh as data, and values as a number with refs.

import type { ContainedRef, Outcome } from '#lib/core/owner/outcome.js'
import type { TaskReply } from '#lib/core/owner/tasks.js'
import type { ActorStart, Control, NodeId, WorkerId } from '#lib/wire/messages.js'
import type { ObjectStore } from './object-store.js'
import type { SimProcess } from './process.js'

export interface Encoded {
  n: number
  refs: ContainedRef[]
}

export type SentArgument = { inline: Encoded } | { stored: string }

/** Where a task may run. `bundle`: -1 for any. */
export interface InGroup {
  groupId: string
  bundle: number
}

export interface TaskFrame {
  is: 'task'
  claim: number
  /** Taken back by message, not by a claim word. */
  asked: boolean
  task: number
  seed: number
  depth: number
  /** How often it may be run again; -1: without limit. */
  retries: number
  args: SentArgument[]
  group: InGroup | null
}

export interface CallFrame {
  is: 'call'
  task: number
  /** How often it may be made again; -1: without limit. */
  retries: number
  /** What it made was lost: it may come after later ones. */
  isRemade: boolean
  value: Encoded
}

export type Frame = { is: 'control'; message: Control } | TaskFrame | CallFrame | TaskReply | { is: 'value'; seq: number; outcome: Outcome }

/** States of a claim word, as the shells have them. */
export const CLAIM = { free: 0, queued: 1, claimed: 2, revoked: 3 } as const

/** Who sees what happens to objects, and says what is wrong with it. */
export interface Watch {
  /** That process has, or gives away, refs to those; `container`: the object whose value they are inside of. */
  had(process: WorkerId, refs: readonly ContainedRef[], container: string | null): void
  /** The owner hears that a node has it. */
  told(id: string, node: NodeId): void
  /** Its owner takes it for lost. */
  lost(process: SimProcess, seq: number): void
  /** A task runs once more, after what it had made was lost. */
  remade(): void
  /** Owners, or daemons in their place, have answered: of those it has asked for some are not there. */
  answered(process: SimProcess, owner: WorkerId, seqs: readonly number[], missing: readonly number[], byDaemon: boolean): void
  /** A task of its owner fails with that, which nobody else has said. */
  failsHere(text: string, retries: number): void
}

/** What a process needs of the world around it. */
export interface Surroundings {
  readonly now: number
  readonly node: WorkerId
  readonly store: ObjectStore
  readonly watch: Watch | null
  /** There is no other node. */
  readonly isAlone: boolean
  /** Words of the tasks that `from` sends to `to`. */
  claims(from: WorkerId, to: WorkerId): Int32Array
  alive(process: WorkerId): boolean
  /** False when there is no such process. */
  send(from: WorkerId, to: WorkerId, frame: Frame): boolean
  chance(probability: number): boolean
  /** Calls that after so many milliseconds, unless the process has ended by then. */
  later(process: WorkerId, ms: number, then: () => void): void
  /** Hands over everything that `from` has sent to `to`. */
  drain(from: WorkerId, to: WorkerId): void
  /** The process ends by itself. */
  leave(process: WorkerId): void
  /** Whether bodies cancel what they have submitted. */
  readonly cancels: boolean
  /** Whether bodies make actors. */
  readonly makesActors: boolean
  /** Whether some of them start again when their process ends. */
  readonly restarts: boolean
  /** Whether some tasks may be run again only so often. */
  readonly retries: boolean
  /** Whether some answers of actors go to the store. */
  readonly actorsStore: boolean
  /** Whether actors put what they answer, and bodies kill them. */
  readonly legacies: boolean
  /** A body kills that actor. */
  kills(actorId: string): void
  /** Its job is over, and it will hear of that. */
  isEnding(process: SimProcess): boolean
  /** That must not have happened. */
  faulty(what: string): void
  /** A task of that id was cancelled before it began: its body may never run. */
  neverRuns(task: string): void
  /** The body of that task of `caller` begins in that process. */
  begins(caller: WorkerId, frame: TaskFrame, process: WorkerId): void
  /** An object of that id was put: no task makes it. */
  isPut(id: string): void
  /** That process sees that failure. */
  failed(text: string, process: SimProcess): void
  /** An actor starts in that process. */
  actorStarts(process: WorkerId, start: ActorStart): void
  /** It runs that call. */
  callRuns(caller: WorkerId, frame: CallFrame): void
  /** An object that somebody may still read is not there. */
  missing(what: string): void
}
