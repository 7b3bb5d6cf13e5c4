// SPDX-License-Identifier: Apache-2.0
// Errors as simulated processes send them to each other: what they are called, and what they say.

/** One that came from another process. */
class Told extends Error {}

export function encodeError(error: Error): Uint8Array {
  return new TextEncoder().encode(textOf(error))
}

export function decodeError(bytes: Uint8Array): Error {
  return new Told(new TextDecoder().decode(bytes))
}

/** Its name is at the front, wherever it comes from. */
export function textOf(error: Error): string {
  return error instanceof Told ? error.message : `${error.name}: ${error.message}`
}

/** A body, or a call of an actor, fails by itself. */
export class Thrown extends Error {
  override readonly name = 'Thrown'
}
