// SPDX-License-Identifier: Apache-2.0
// Bundles of placement groups and the strategy that asks for one: what they are, and what is refused at the call.

import { fits, largestOf, toAmounts } from '../core/resources.js'
import { isOwnedId } from '../ids.js'
import { isRecord, number } from '../run/option-checks.js'
import type { Amounts } from '../wire/messages.js'

/** Resources of a bundle by their names in the cluster: CPU, GPU, memory, objectStoreMemory, and custom ones. */
export type Bundle = Readonly<Record<string, number>>

/** In a bundle of a placement group. Made by `placementGroupStrategy()`. */
export interface PlacementGroupStrategy {
  readonly kind: 'placementGroup'
  readonly groupId: string
  readonly bundles: readonly Bundle[]
  readonly bundleIndex: number
  readonly captureChildTasks: boolean
}

/** It may have been written by hand, or come with a function that travelled. */
export function checkGroupStrategy(what: string, strategy: PlacementGroupStrategy): void {
  const { groupId, bundles, bundleIndex, captureChildTasks } = strategy
  if (typeof groupId !== 'string' || !isOwnedId(groupId)) throw new TypeError(`${what}: ${String(groupId)} is no id of a placement group`)
  checkBundles(what, bundles)
  if (typeof captureChildTasks !== 'boolean')
    throw new TypeError(`${what}: captureChildTasks must be true or false, not ${String(captureChildTasks)}`)
  const index = number(what, 'bundleIndex', bundleIndex)
  if (!Number.isInteger(index) || index < -1 || index >= bundles.length)
    throw new RangeError(`${what}: bundleIndex is ${index}; the group has the bundles 0 to ${bundles.length - 1}, and -1 is any of them`)
}

/** Throws RangeError for what no bundle that it may use can hold. */
export function checkFits(what: string, { bundles, bundleIndex }: PlacementGroupStrategy, need: Amounts): void {
  const usable = bundleIndex < 0 ? bundles : [bundles[bundleIndex] as Bundle]
  if (usable.some(bundle => fits(need, toAmounts(bundle)))) return
  const which = bundleIndex < 0 ? 'no bundle of its placement group can hold' : `bundle ${bundleIndex} of its placement group cannot hold`
  throw new RangeError(`${what}: ${which} what it needs; the bundles are ${JSON.stringify(usable)}`)
}

/** Throws TypeError or RangeError for what are no bundles; gives them as amounts. */
export function checkBundles(what: string, bundles: unknown): Amounts[] {
  if (!Array.isArray(bundles)) throw new TypeError(`${what}: bundles must be an array of objects of amounts by name`)
  if (bundles.length === 0) throw new RangeError(`${what}: bundles must not be empty`)
  return bundles.map((bundle, i) => checkBundle(`${what}: bundles[${i}]`, bundle))
}

function checkBundle(path: string, bundle: unknown): Amounts {
  if (!isRecord(bundle)) throw new TypeError(`${path} must be an object of amounts by name`)
  for (const [name, value] of Object.entries(bundle)) {
    if (name === '' || name in {}) throw new RangeError(`${path}: ${JSON.stringify(name)} cannot be the name of a resource`)
    if (typeof value !== 'number' || Number.isNaN(value)) throw new TypeError(`${path}.${name} must be a number, not ${String(value)}`)
    if (value < 0 || value > largestOf(name))
      throw new RangeError(`${path}.${name} is ${value}; it must be 0 or more, and ${largestOf(name)} at most`)
    if (name === 'GPU' && value > 1 && !Number.isInteger(value))
      throw new RangeError(`${path}.GPU is ${value}; more than one GPU must be a whole number, because a fraction is of one device`)
  }
  const amounts = toAmounts(bundle as Record<string, number>)
  if (Object.keys(amounts).length === 0) throw new RangeError(`${path} asks for nothing`)
  return amounts
}
