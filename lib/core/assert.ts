// SPDX-License-Identifier: Apache-2.0
// Assertions are for our own bugs, and stay on. A peer's bytes give a WireError, a user's input a TypeError.

/** A broken invariant of eagleray itself. Nothing a user did; please report it. */
export class BugError extends Error {
  override readonly name = 'BugError'
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new BugError(`eagleray bug: ${message}`)
}
