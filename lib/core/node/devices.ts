// SPDX-License-Identifier: Apache-2.0
// Who has which GPU, in steps of 1/10000 of a device. A fraction lies on one device and fills a begun device before the
// next (best fit), so that whole devices stay free for those who need whole ones. More than one device is whole devices.
//
// Those of a bundle are the shares that were taken for it, of which some may be fractions.
//
// Invariants: 0 <= free[i] <= sizes[i]; what was taken and given back sums to the sizes again.

import { assert } from '../assert.js'
import { STEPS } from '../resources.js'

/** What one holder has of the devices: `amount` steps of the device at `index`. */
export type DeviceShare = readonly { readonly index: number; readonly amount: number }[]

export class Devices {
  /** As CUDA_VISIBLE_DEVICES names them: ordinals or UUIDs. */
  readonly ids: readonly string[]
  readonly #sizes: readonly number[]
  readonly #free: number[]

  /** `sizes`: of each device, in steps; left out, all of them whole. */
  constructor(ids: readonly string[], sizes: readonly number[] = ids.map(() => STEPS)) {
    this.ids = ids
    this.#sizes = sizes
    this.#free = [...sizes]
  }

  /** The devices of a share, as devices of their own. */
  within(share: DeviceShare): Devices {
    return new Devices(
      this.idsOf(share),
      share.map(({ amount }) => amount),
    )
  }

  /** Whether an idle node could give this amount. */
  possible(amount: number): boolean {
    if (amount <= STEPS) return amount <= 0 || this.#sizes.some(size => size >= amount)
    return amount % STEPS === 0 && amount / STEPS <= this.#sizes.filter(size => size === STEPS).length
  }

  fits(amount: number): boolean {
    return amount <= 0 || this.#find(amount) !== null
  }

  /** Null when it does not fit now. */
  take(amount: number): DeviceShare | null {
    if (amount <= 0) return []
    const indexes = this.#find(amount)
    if (indexes === null) return null
    const each = Math.min(amount, STEPS)
    for (const index of indexes) this.#free[index] = this.free(index) - each
    return indexes.map(index => ({ index, amount: each }))
  }

  give(share: DeviceShare): void {
    for (const { index, amount } of share) this.#free[index] = this.free(index) + amount
  }

  idsOf(share: DeviceShare): string[] {
    return share.map(({ index }) => this.ids[index] as string)
  }

  free(index: number): number {
    return this.#free[index] as number
  }

  invariants(): void {
    for (const [i, free] of this.#free.entries()) {
      const size = this.#sizes[i] as number
      assert(free >= 0 && free <= size, `a device has ${free} of ${size} steps free`)
    }
  }

  #find(amount: number): number[] | null {
    if (amount > STEPS) {
      const whole = this.ids.map((_, index) => index).filter(index => this.free(index) === STEPS)
      const count = amount / STEPS
      return Number.isInteger(count) && whole.length >= count ? whole.slice(0, count) : null
    }
    let best = -1
    for (let index = 0; index < this.#free.length; index++) {
      const free = this.free(index)
      if (free >= amount && (best < 0 || free < this.free(best))) best = index
    }
    return best < 0 ? null : [best]
  }
}
