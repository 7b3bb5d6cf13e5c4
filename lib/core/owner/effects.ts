// SPDX-License-Identifier: Apache-2.0
// What the owner's machines ask of their shell, in order.

import type { Control, NodeId, WorkerId } from '../../wire/messages.js'
import type { Actor, ActorCall } from './actor-calls.js'
import type { Entry } from './entry.js'
import type { Lane } from './lane.js'
import type { Task } from './task.js'

export type Effect =
  /** Write the task to the lane's worker (code and lease first where the channel has not seen them). */
  | { is: 'dispatch'; task: Task; lane: Lane }
  /** Try to take back a task that the worker has not begun; answer with the event `revoked`. */
  | { is: 'revoke'; task: Task; lane: Lane }
  /** Write the call to the actor's worker. */
  | { is: 'call'; call: ActorCall; to: WorkerId; incarnation: number }
  | { is: 'send'; to: WorkerId; message: Control }
  /** The value (or failure) is there: wake whoever waits in this process. */
  | { is: 'settled'; entry: Entry }
  /** Send the settled value to a borrower who asked. */
  | { is: 'value'; to: WorkerId; entry: Entry }
  /** Nobody needs it any more: remove what the store holds of it, and the stores of those nodes. */
  | { is: 'drop'; entry: Entry; nodes: NodeId[] }
  /** No value of that number will ever be read, but a run of its task that came to nothing may have stored one: remove it, on other nodes too where `elsewhere` says so. */
  | { is: 'discard'; seq: number; elsewhere: boolean }
  /** Tell a daemon where the value is, or what has become of it; null: it was dropped. */
  | { is: 'located'; to: WorkerId; seq: number; entry: Entry | null; nodes: NodeId[] }
  /** Have those nodes rid of copies of values of that number. */
  | { is: 'free'; nodes: NodeId[]; seqs: number[] }
  /** The head told of the actor: wake who waits for that in this process. */
  | { is: 'actorChanged'; actor: Actor }
  /** Every borrow registered so far is known to its owner. */
  | { is: 'acked' }
