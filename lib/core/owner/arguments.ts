// SPDX-License-Identifier: Apache-2.0
// Top-level refs among arguments: a task or call is ready when all of them have values, and fails when one of them failed.

import { TaskError } from '../../errors.js'
import type { ActorCall } from './actor-calls.js'
import { type Entry, STATE } from './entry.js'
import type { Argument, Task } from './task.js'
import type { Values } from './values.js'

type Dependent = Task | ActorCall

/** Counts what is missing and puts the dependent on the list of each. Gives the first that has failed already, if any. */
export function awaitArguments(dependent: Dependent, args: Uint8Array | Argument[], values: Values): Entry | null {
  if (args instanceof Uint8Array) return null
  for (const argument of args) {
    if (argument instanceof Uint8Array) continue
    if (argument.state === STATE.failed) return argument
    if (argument.settled) continue
    dependent.unresolved++
    argument.dependents ??= []
    argument.dependents.push(dependent)
    values.need(argument)
  }
  return null
}

/** Whether all of them are there. */
export function areSettled(args: Uint8Array | Argument[]): boolean {
  return args instanceof Uint8Array || args.every(each => each instanceof Uint8Array || (each.settled && each.state !== STATE.failed))
}

/** Takes the dependents off a settled entry; each has one argument less to wait for. */
export function releaseDependents(entry: Entry): Dependent[] {
  const dependents = entry.dependents
  if (dependents === null) return []
  entry.dependents = null
  for (const dependent of dependents) dependent.unresolved--
  return dependents
}

/** The failure of a task whose argument failed: it never ran. */
export function argumentFailure(
  name: string,
  args: Uint8Array | Argument[],
  failed: Entry,
  decodeError: (bytes: Uint8Array) => Error,
): TaskError {
  const position = args instanceof Uint8Array ? -1 : args.indexOf(failed)
  const cause = failed.error instanceof Error ? failed.error : decodeError(failed.error as Uint8Array)
  failed.seen = true
  return new TaskError(`${name} did not run: its argument ${position + 1} failed: ${cause.message}`, { cause, taskName: name })
}
