// SPDX-License-Identifier: Apache-2.0
// The failure of a task, an actor or an object as bytes: the envelope of `[error, thrown, taskName]`. Encoding never
// fails: what of an error cannot travel (a socket in a field, a ref) is dropped, and at worst only its text remains.

import { inspect } from 'node:util'
import { EaglerayError, GetTimeoutError, QueueEmptyError, QueueFullError, TaskError, taskErrorPrototype } from '../errors.js'
import { type CodecContext, Decoder, Encoder, writeEncoded } from './value.js'

/** How this process finds the classes of users' errors; see `useContextForErrors`. */
let processContext: CodecContext = { references: null, functions: null }

/** Says how the classes of errors travel, for calls that name no context: once, when the runtime of this process starts. */
export function useContextForErrors(context: CodecContext): void {
  processContext = context
}

/** A failure as it is: what the system says of a task, an actor or an object. */
export function encodeError(error: unknown, context = processContext): Uint8Array {
  return encodeFailure(error, false, '', context)
}

/** What the code of a task or method threw; `rebuildTaskError` makes a TaskError of it whatever its class is. */
export function encodeThrown(error: unknown, taskName: string, context = processContext): Uint8Array {
  return encodeFailure(error, true, taskName, context)
}

/**
 * Modules that hold the classes of an error, to be loaded before it is decoded; null when there are none. Never rejects:
 * without them the error keeps its name and its built-in class.
 */
export function prepareError(bytes: Uint8Array, context = processContext): Promise<void> | null {
  return new Decoder(context).prepare(bytes)
}

/** The error itself. What was thrown and is no Error becomes the `cause` of one. Throws WireError for bytes that are no encoded error. */
export function decodeError(bytes: Uint8Array, context = processContext): Error {
  const { error } = decodeFailure(bytes, context)
  return error instanceof Error ? error : new Error(describe(error), { cause: error })
}

/**
 * What `get` rejects with: what the code of a task threw as the `cause` of a TaskError that is also `instanceof` the
 * class of its cause; errors of the system (a crashed worker, a lost object) as they are. `taskName` is used where the
 * bytes name none.
 */
export function rebuildTaskError(bytes: Uint8Array, taskName = '', context = processContext): EaglerayError {
  const failure = decodeFailure(bytes, context)
  const { error } = failure
  if (!failure.thrown && isOfTheSystem(error)) return error
  return taskErrorOf(error, failure.taskName || taskName)
}

/**
 * The TaskError of what the code of a task threw. It takes over the fields of its cause, and its stack begins where the
 * cause was thrown.
 */
export function taskErrorOf(cause: unknown, taskName: string): TaskError {
  const what = cause instanceof Error ? `${cause.name}: ${cause.message}` : describe(cause)
  const remoteStack = cause instanceof Error && typeof cause.stack === 'string' ? cause.stack : ''
  const error = new TaskError(taskName === '' ? what : `${taskName} failed: ${what}`, { cause, remoteStack, taskName })
  const frames = remoteStack.match(/^ {4}at .*$/gm)
  define(error, 'stack', `TaskError: ${error.message}${frames === null ? '' : `\n${frames.join('\n')}`}`, false)
  if (cause instanceof Error) {
    Object.setPrototypeOf(error, taskErrorPrototype(cause))
    for (const key of Object.keys(cause)) {
      if (!Object.hasOwn(error, key) && key !== 'name') define(error, key, (cause as unknown as Record<string, unknown>)[key], true)
    }
  }
  return error
}

interface Failure {
  error: unknown
  thrown: boolean
  taskName: string
}

function encodeFailure(error: unknown, thrown: boolean, taskName: string, context: CodecContext): Uint8Array {
  const attempts = [
    () => error,
    () => (error instanceof Error ? textOf(error) : describe(error)),
    () => 'an error that could not be described',
  ]
  const encoder = new Encoder(context, true)
  for (const attempt of attempts) {
    try {
      const encoded = encoder.encode([attempt(), thrown, taskName], 'error')
      const bytes = new Uint8Array(encoded.byteLength)
      writeEncoded(encoded, bytes, 0)
      return bytes
    } catch {
      // Less of it, then.
    }
  }
  throw new TypeError('text could not be encoded')
}

function decodeFailure(bytes: Uint8Array, context: CodecContext): Failure {
  const parts = new Decoder(context).decode(bytes, false)
  const [error, thrown, taskName] = Array.isArray(parts) ? parts : [parts]
  return { error, thrown: thrown === true, taskName: typeof taskName === 'string' ? taskName : '' }
}

/** What the runtime itself reports of a task or object, as against errors that only the code of a task can meet. */
function isOfTheSystem(error: unknown): error is EaglerayError {
  return (
    error instanceof EaglerayError &&
    !(error instanceof GetTimeoutError || error instanceof QueueEmptyError || error instanceof QueueFullError)
  )
}

/** All of an error that is text. */
function textOf(error: Error): Error {
  const copy = new Error(String(error.message))
  define(copy, 'name', String(error.name), false)
  define(copy, 'stack', String(error.stack), false)
  return copy
}

/** A thrown value that is no Error, in words. */
function describe(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    return inspect(value, { depth: 1, customInspect: false })
  } catch {
    return `a ${typeof value}`
  }
}

function define(error: Error, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable })
}
