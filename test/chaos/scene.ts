// SPDX-License-Identifier: Apache-2.0
// What a piece of work knows of its surroundings, and how it checks what it gets.

import { NodeDiedError } from 'eagleray'
import type { Random } from '../sim/random.js'

export interface Scene {
  readonly random: Random
  /** Who works: the same name for who takes the place of a driver that was killed. */
  readonly name: string
  /** Where those of one run note what they have seen; each work takes names of its own there. */
  readonly folder: string
  readonly weather: Weather
}

/** What goes wrong, as far as an answer may depend on it. */
export class Weather {
  /** Nodes that died, left or froze until now; counted before that happens. */
  nodesLost = 0
}

/** For names that nothing else in this run has. */
export function unique(scene: Scene): string {
  return `${scene.name}-${process.pid}-${names++}`
}
let names = 0

export function expect(what: string, got: unknown, wanted: unknown): void {
  if (got !== wanted) throw new Error(`${what}: ${String(got)} instead of ${String(wanted)}`)
}

type ErrorClass = abstract new (...args: never[]) => Error

/** What it gives, or the error where that is one of these kinds; any other is thrown. */
export async function orError<T, K extends ErrorClass[]>(promise: Promise<T>, ...kinds: K): Promise<T | InstanceType<K[number]>> {
  try {
    return await promise
  } catch (error) {
    if (kinds.some(kind => error instanceof kind)) return error as InstanceType<K[number]>
    throw error
  }
}

/** As `orError`, of an error that says which death is to blame; one that names none of those that happen here is thrown. */
export async function orKilled<T, K extends ErrorClass[]>(promise: Promise<T>, ...kinds: K): Promise<T | InstanceType<K[number]>> {
  const answer = await orError(promise, ...kinds)
  if (answer instanceof Error && !isKill(answer)) throw answer
  return answer
}

function isKill(error: Error): boolean {
  return error instanceof NodeDiedError || /signal SIGKILL/.test(error.message) || (error.cause instanceof Error && isKill(error.cause))
}

/** The sum of `i * seed` over i below `length`. */
export function sumOf(length: number, seed: number): number {
  return (seed * length * (length - 1)) / 2
}
