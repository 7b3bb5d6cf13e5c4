// SPDX-License-Identifier: Apache-2.0
// Checker: what fails says why, and that reason can be true: of what went wrong in this course, and of the object.

/** What went wrong so far. */
export interface Trouble {
  killed: boolean
  cancels: boolean
  /** A store had no room. */
  full: boolean
  /** Groups were removed. */
  groups: boolean
  /** An object vanished. */
  lost: boolean
  /** One of them had been put, so that nothing can make it again. */
  lostPuts: boolean
}

/** Of objects that cannot be made again: what they were made of is gone, which was put, or which its owner has freed since. */
const UNMAKEABLE = [
  'that was put, and nobody held its ref any more',
  'is lost: nobody held it any more. It was put',
  'was freed before this process could borrow it',
  'was freed before this node had a copy',
  // The task that is run again runs in the process that owned it.
  'was freed before this ref to it arrived',
  // Whose user allowed no more.
  'A.f is a call on an actor, with no maxTaskRetries left',
  'the retries of f are used up',
  // It went with its last handle.
  'the actor of A.f is gone',
]
const PUT = [
  'It was put, so nothing can make it again',
  // By who has died since.
  'is lost, and no store has a copy',
  'that owned it died, and no node has a copy',
]
const REMOVED = ['PlacementGroupRemovedError: ', 'died with its placement group: ']
const FULL = 'ObjectStoreFullError: '
/** What may follow from a death. Whether it was that one, and had to come to this, other checkers say (attempts.ts, copies.ts, known-copies.ts, travels.ts, restarts.ts). */
const OF_DEATHS = [
  'that ran f died',
  'and with it the worker',
  'ActorDiedError: ',
  'Actor Counter',
  "when the actor's process ended",
  'the actor is restarting',
  'no node has a copy of it any more',
  'is lost, and no store has a copy',
  'that owned it died, and no node has a copy',
  'that owned it had ended before it was asked for',
  'was freed before',
  'that was put, and nobody held its ref any more',
]
const CANCELLED = ' was cancelled'
/** Copies of which the owner knows, on nodes that live and are reached, can be read. */
const NEVER = ['its owner knows of copies, but none could be read']

/** Whether the body, or the call, threw by itself: then it would fail straight through too. */
export function isOfProgram(text: string): boolean {
  return text.includes('Thrown: ')
}

/** Its group was removed. */
export function isOfGroup(text: string): boolean {
  return REMOVED.some(each => text.includes(each))
}

/** What is wrong with somebody seeing that failure, as words; null when nothing is. */
export function failureProblem(text: string, { killed, cancels, full, groups, lost, lostPuts }: Trouble): string | null {
  const has = (words: readonly string[]): boolean => words.some(each => text.includes(each))
  if (has(NEVER)) return `failures: ${text}`
  if (isOfProgram(text) || (killed && has(OF_DEATHS)) || (cancels && has([CANCELLED]))) return null
  if (groups && has(REMOVED)) return null
  if (full && has([FULL])) return null
  if (lost && has(UNMAKEABLE)) return null
  if (lostPuts && has(PUT)) return null
  return `failures: nothing went wrong that would explain: ${text}`
}
