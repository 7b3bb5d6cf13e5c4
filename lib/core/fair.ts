// SPDX-License-Identifier: Apache-2.0
// When leases change hands so that everybody gets their share: from who has clearly more, or they would go to and fro.

/** How much more, as a part of what the other has. */
const CLEARLY = 1 / 4

/** Whether somebody with so many leases is to give one to somebody with `other`, and has no less then. Who has none always gets one. */
export function holdsMore(mine: number, other: number): boolean {
  return other === 0 ? mine > 0 : mine >= other + 2 && mine > other * (1 + CLEARLY)
}

/** Whether it has changed so much that others should hear. */
export function differs(held: number, told: number): boolean {
  return holdsMore(held, told) || holdsMore(told, held)
}
