// SPDX-License-Identifier: Apache-2.0
// What a benchmark row is, and what measuring one gives.

export type Unit = '/s' | 'GB/s' | 'ms' | 'us' | 'MB'

/** For times and memory less is better. */
export const lessIsBetter = (unit: Unit): boolean => unit === 'ms' || unit === 'us' || unit === 'MB'

/** The rows belong to groups; geometric means are taken within one. */
export type Group = 'ray microbenchmark' | 'store' | 'channel' | 'links' | 'transfer' | 'cluster' | 'calls' | 'start-up'

export interface Running {
  run(): unknown
  /** Lets go of actors, references and files. Not timed. */
  stop?(): unknown
}

export interface Row {
  name: string
  group: Group
  unit: Unit
  /** What one `run` counts for, in the row's unit. For times: how many operations it is divided by. */
  multiplier: number
  /** How often `run` is called for one sample: more than once where a call takes microseconds. */
  inner?: number
  /** Not timed. */
  prepare(): Promise<Running> | Running
}

export interface Measured {
  name: string
  group: Group
  unit: Unit
  /** Median of the rounds. */
  value: number
  rounds: number[]
}

export interface Failed {
  name: string
  group: Group
  error: string
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
