// SPDX-License-Identifier: Apache-2.0
// Functions and classes that the tests send by reference: their module exports them.

import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { native } from '#lib/native.js'

/** Waits until there is a file at `path` (a gate of the tests was opened), then gives `value`. Gives up after 20 s. */
export async function passed<T>(path: string, value: T): Promise<T> {
  const until = performance.now() + 20_000
  while (!existsSync(path)) {
    if (performance.now() > until) throw new Error('the gate was never opened')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  return value
}

/** Notes one run in the file and says the how manyth it was. */
export function countRun(path: string): number {
  appendFileSync(path, 'x')
  return runsIn(path)
}

export function runsIn(path: string): number {
  return existsSync(path) ? readFileSync(path).length : 0
}

export class Refused extends Error {
  override name = 'Refused'
  static constructed = 0
  readonly limit: number

  constructor(limit: number) {
    super(`more than ${limit}`)
    this.limit = limit
    Refused.constructed++
  }
}

export class Point {
  readonly x: number
  readonly y: number

  constructor(x: number, y: number) {
    this.x = x
    this.y = y
  }

  length(): number {
    return Math.hypot(this.x, this.y)
  }
}

export function refuse(limit: number): never {
  throw new Refused(limit)
}

/** Pages under the array that are private copies of this process; 0 as long as all of it is the store's own memory. */
export function privatePages(array: ArrayBufferView): number {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
  bytes.reduce((sum, each) => sum + each, 0) // brings every page in
  return native.privatePages(array.buffer as ArrayBuffer)
}

let collector: (() => void) | undefined

/** A full garbage collection of this process (also of a worker, when a task calls it), and a turn for the finalizers. */
export async function collect(): Promise<void> {
  if (collector === undefined) {
    setFlagsFromString('--expose-gc')
    collector = runInNewContext('gc') as () => void
  }
  for (let round = 0; round < 2; round++) {
    collector()
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** The next frame of that kind which this process writes has a kind that there is none of: garbage, to whoever it is for. */
export function garbleNext(kind: number): void {
  const { setUint8 } = DataView.prototype
  DataView.prototype.setUint8 = function (at: number, value: number): void {
    if (value !== kind) return setUint8.call(this, at, value)
    DataView.prototype.setUint8 = setUint8
    setUint8.call(this, at, 77)
  }
}
