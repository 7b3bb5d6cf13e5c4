// SPDX-License-Identifier: Apache-2.0
// Tasks as they arrive at the process that runs them: header and arguments copied out of the inbox, decoded when they begin.

import { decodeSmall, NOT_SMALL } from '../codec/value.js'
import { ObjectLostError, WireError } from '../errors.js'
import { isOwnedId } from '../ids.js'
import type { Peer } from '../io/mesh.js'
import {
  CLAIM_WORDS,
  FORM,
  FRAME_HEADER_BYTES,
  NO_CLAIM,
  readHex,
  readTaskHeader,
  TASK_HEADER_BYTES,
  type TaskHeader,
} from '../wire/frames.js'
import type { Fetches } from './fetches.js'
import type { Reader } from './reader.js'

export class IncomingTask {
  cancelled = false
  /** The body has ended: what is left is to answer. */
  ended = false
  /** What the body of a task took. */
  bodyMs = 0
  /** The how manyth call of its actor it is. */
  arrival = 0
  /** Ids of its arguments that came through the store. */
  stored: string[] | null = null

  constructor(
    readonly peer: Peer,
    readonly header: TaskHeader,
    readonly args: Uint8Array,
  ) {}
}

export function readTask(peer: Peer, bytes: Uint8Array, view: DataView, at: number, end: number): IncomingTask {
  if (end - at < TASK_HEADER_BYTES - FRAME_HEADER_BYTES) throw new WireError('a task is cut short')
  const header = readTaskHeader(view, at)
  const { task, claim } = header
  if (!Number.isSafeInteger(task) || task < 0) throw new WireError(`a task has the number ${task}`)
  if (claim >= CLAIM_WORDS && claim !== NO_CLAIM) throw new WireError(`a task has the claim word ${claim}, of ${CLAIM_WORDS}`)
  return new IncomingTask(peer, header, bytes.slice(at + TASK_HEADER_BYTES - FRAME_HEADER_BYTES, end))
}

const NONE: unknown[] = []

/** The arguments of a task or call. */
export function argumentsOf(task: IncomingTask, reader: Reader): unknown[] | Promise<unknown[]> {
  return decodeArguments(task.args, task.header.argCount, reader, id => {
    task.stored ??= []
    task.stored.push(id)
  })
}

/** The arguments' values; a promise of them where one needs modules to be loaded. `stored` hears the ids of those in the store. */
export function decodeArguments(
  args: Uint8Array,
  count: number,
  reader: Reader,
  stored: (id: string) => void,
): unknown[] | Promise<unknown[]> {
  if (count === 0) return NONE
  const view = new DataView(args.buffer, args.byteOffset, args.length)
  const values: unknown[] = new Array(count)
  let loading = false
  let at = 0
  for (let i = 0; i < count; i++) {
    if (at >= args.length) throw new WireError(`a task with ${count} arguments has bytes for ${i}`)
    if (args[at] === FORM.stored) {
      const id = storedAt(args, at)
      stored(id)
      values[i] = argument(i, id, reader)
      at += 21
    } else {
      const length = view.getUint32(at + 1, true)
      if (at + 5 + length > args.length) throw new WireError('an argument is longer than its task')
      const small = decodeSmall(args, view, at + 5, length)
      values[i] = small === NOT_SMALL ? reader.decode(args.slice(at + 5, at + 5 + length), false) : small
      at += 5 + length
    }
    if (values[i] instanceof Promise) loading = true
  }
  return loading ? Promise.all(values) : values
}

/** The id of the stored argument that starts there. */
function storedAt(args: Uint8Array, at: number): string {
  const id = readHex(args, at + 1, 20)
  if (!isOwnedId(id)) throw new WireError(`an argument is the object ${id}, which is none`)
  return id
}

function argument(position: number, id: string, reader: Reader): unknown {
  const value = reader.stored(id)
  if (!(value instanceof Promise)) return value
  return value.catch(error => {
    if (!(error instanceof ObjectLostError)) throw error
    throw new ObjectLostError(`it did not run, because of its argument ${position + 1}: ${error.message}`, { objectId: id })
  })
}

/** Has arguments that are not in this node's store brought here while the task waits for its turn. */
export function bringArguments(task: IncomingTask, fetches: Fetches): void {
  const { args } = task
  const view = new DataView(args.buffer, args.byteOffset, args.length)
  for (let at = 0, i = 0; i < task.header.argCount && at + 5 <= args.length; i++) {
    const isStored = args[at] === FORM.stored
    if (isStored && at + 21 <= args.length) fetches.ahead(storedAt(args, at))
    at += isStored ? 21 : 5 + view.getUint32(at + 1, true)
  }
}
