// SPDX-License-Identifier: Apache-2.0
// What the node, or a bundle of it, has, and what of it is free. Every holder keeps its Holding and gives exactly that back.
//
// Invariant: for each resource, available + what all holdings hold now = total (a holding whose CPU is lent out while
// its task waits counts without it).

import type { Amounts } from '../../wire/messages.js'
import { assert } from '../assert.js'
import { add, fits, subtract } from '../resources.js'
import type { DeviceShare, Devices } from './devices.js'

export interface Holding {
  /** What it was taken from, and goes back to. */
  readonly ledger: Ledger
  readonly amounts: Amounts
  readonly share: DeviceShare
  readonly gpuIds: string[]
  /** The CPU part is lent to others while the holder waits. */
  cpuLent: boolean
}

export class Ledger {
  readonly total: Amounts
  readonly available: Amounts
  readonly devices: Devices
  #holders = 0

  constructor(total: Amounts, devices: Devices) {
    this.total = { ...total }
    this.available = { ...total }
    this.devices = devices
  }

  /** A ledger of what one holder has, who gives it to others. */
  within({ amounts, share }: Holding): Ledger {
    return new Ledger(amounts, this.devices.within(share))
  }

  /** Nobody holds anything of it. */
  get idle(): boolean {
    return this.#holders === 0
  }

  /** Whether the idle node could give this. */
  possible(need: Amounts): boolean {
    return fits(need, this.total) && this.devices.possible(need.GPU ?? 0)
  }

  fits(need: Amounts): boolean {
    return fits(need, this.available) && this.devices.fits(need.GPU ?? 0)
  }

  /** Names of the resources of which there is too little for this now. */
  lacking(need: Amounts): string[] {
    const names = Object.keys(need).filter(name => (need[name] as number) > (this.available[name] ?? 0))
    if (names.length === 0 && !this.devices.fits(need.GPU ?? 0)) names.push('GPU')
    return names
  }

  take(need: Amounts): Holding {
    const share = this.devices.take(need.GPU ?? 0)
    assert(share !== null && fits(need, this.available), 'resources were taken that are not there')
    subtract(this.available, need)
    this.#holders++
    return { ledger: this, amounts: need, share, gpuIds: this.devices.idsOf(share), cpuLent: false }
  }

  give(holding: Holding): void {
    assert(holding.ledger === this, 'what was given back was taken elsewhere')
    this.#holders--
    add(this.available, holding.cpuLent ? { ...holding.amounts, CPU: 0 } : holding.amounts)
    this.devices.give(holding.share)
  }

  lendCpu(holding: Holding): void {
    assert(holding.ledger === this && !holding.cpuLent, 'CPU was lent twice')
    holding.cpuLent = true
    add(this.available, { CPU: holding.amounts.CPU ?? 0 })
  }

  /** False when the CPU is not there now. */
  retakeCpu(holding: Holding): boolean {
    assert(holding.ledger === this && holding.cpuLent, 'CPU was taken back that was not lent')
    const need = { CPU: holding.amounts.CPU ?? 0 }
    if (!fits(need, this.available)) return false
    subtract(this.available, need)
    holding.cpuLent = false
    return true
  }

  invariants(holdings: Iterable<Holding>): void {
    const sum = { ...this.available }
    let holders = 0
    for (const holding of holdings) {
      holders++
      add(sum, holding.cpuLent ? { ...holding.amounts, CPU: 0 } : holding.amounts)
    }
    assert(holders === this.#holders, `${this.#holders} hold something of what ${holders} are known to hold`)
    for (const name of new Set([...Object.keys(sum), ...Object.keys(this.total)])) {
      assert((sum[name] ?? 0) === (this.total[name] ?? 0), `${name}: ${sum[name]} held and free, of ${this.total[name]} in all`)
      assert((this.available[name] ?? 0) >= 0, `${name} is overdrawn: ${this.available[name]}`)
    }
    this.devices.invariants()
  }
}
