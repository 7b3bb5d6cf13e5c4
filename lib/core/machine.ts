// SPDX-License-Identifier: Apache-2.0
// The shape of everything that decides. A machine does no I/O and knows no clock: it takes one event, changes its state,
// and pushes effects (plain data) into a queue of its caller, who carries them out in that order.

/** Milliseconds on the shell's monotonic clock. */
export type Millis = number

export interface Machine<Event, Effect> {
  handle(event: Event, now: Millis, out: Effect[]): void
  /** When the shell owes this machine a `{ is: 'tick' }`; null when time does not matter to it now. */
  deadline(): Millis | null
  /** Throws BugError when an invariant does not hold. Cheap enough for every step of a test. */
  invariants(): void
}

/** The earliest of them; null where there is none. */
export function soonest(times: Iterable<Millis | null>): Millis | null {
  let first: Millis | null = null
  for (const time of times) if (time !== null && (first === null || time < first)) first = time
  return first
}
