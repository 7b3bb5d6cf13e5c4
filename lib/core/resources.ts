// SPDX-License-Identifier: Apache-2.0
// Resource arithmetic in integers: counts (CPU, GPU, custom) in steps of 1/10000, memory in bytes. No floats, so that
// what was granted and given back always sums to the total again.

import type { Amounts } from '../wire/messages.js'

export const STEPS = 10_000
const IN_BYTES = new Set(['memory', 'objectStoreMemory'])

/** What may be said of a resource at most, as users write it: beyond it integers are not exact. */
export function largestOf(name: string): number {
  return IN_BYTES.has(name) ? Number.MAX_SAFE_INTEGER : Math.floor(Number.MAX_SAFE_INTEGER / STEPS)
}

/** From what users write ({ CPU: 0.5, memory: 1e9 }) to integers. The caller has checked sign and size. */
export function toAmounts(resources: Record<string, number>): Amounts {
  const amounts: Amounts = {}
  for (const [name, value] of Object.entries(resources)) {
    const amount = IN_BYTES.has(name) ? Math.floor(value) : Math.round(value * STEPS)
    if (amount > 0) amounts[name] = amount
  }
  return amounts
}

export function fromAmounts(amounts: Amounts): Record<string, number> {
  const resources: Record<string, number> = {}
  for (const [name, amount] of Object.entries(amounts)) resources[name] = IN_BYTES.has(name) ? amount : amount / STEPS
  return resources
}

export function fits(need: Amounts, available: Amounts): boolean {
  for (const name in need) if ((need[name] as number) > (available[name] ?? 0)) return false
  return true
}

export function subtract(from: Amounts, need: Amounts): void {
  for (const name in need) from[name] = (from[name] ?? 0) - (need[name] as number)
}

export function add(to: Amounts, given: Amounts): void {
  for (const name in given) to[name] = (to[name] ?? 0) + (given[name] as number)
}

export function isEqual(a: Amounts, b: Amounts): boolean {
  return fits(a, b) && fits(b, a)
}

/** For people: "1.5 GB". */
export function describeBytes(bytes: number): string {
  for (const [unit, size] of [
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const) {
    if (bytes >= size) return `${(bytes / size).toFixed(bytes < 10 * size ? 1 : 0)} ${unit}`
  }
  return `${bytes} B`
}

/** Canonical text of amounts, for scheduling class keys. */
export function describeAmounts(amounts: Amounts): string {
  return Object.keys(amounts)
    .sort()
    .map(name => `${name}:${IN_BYTES.has(name) ? amounts[name] : (amounts[name] as number) / STEPS}`)
    .join(',')
}
