// SPDX-License-Identifier: Apache-2.0
// Checker: a call that may be made again without limit, of an actor that restarts without limit, has its answer in the end
// as long as its caller and the actor's creator live.

/** What such a call may fail with, since it was made and came to that. */
const OWN = /thrown by the call|was cancelled|no room for the result of a call|the store is full/

/** What is wrong with that failure; null when nothing is. */
export function impatience(call: string, text: string): string | null {
  return OWN.test(text) ? null : `${call} may be made again without limit, and failed: ${text}`
}
