// SPDX-License-Identifier: Apache-2.0
// One of many concurrent callers of the storm: an actor that does random work and checks every answer.

import { type ActorHandle, cancel, get, type ObjectRef, put, remote, TaskCancelledError, TaskError, wait } from 'eagleray'

export class Tally {
  readonly seen: Record<string, number> = {}

  /** Calls of one caller must come in order, none twice. */
  add(caller: string, n: number): number {
    const expected = (this.seen[caller] ?? 0) + 1
    if (n !== expected) throw new Error(`call ${n} of ${caller} came where ${expected} was expected`)
    this.seen[caller] = n
    return n
  }

  totals(): Record<string, number> {
    return this.seen
  }
}

class Stack {
  readonly items: number[] = []
  push(n: number): number {
    return this.items.push(n)
  }
  async sum(): Promise<number> {
    return this.items.reduce((a, b) => a + b, 0)
  }
}

class Expected extends Error {}

const add = remote((a: number, b: number) => a + b)
const sumOf = remote((array: Float64Array) => array.reduce((a, b) => a + b, 0))
const filled = remote((length: number, value: number) => new Float64Array(length).fill(value))
const split = remote((array: Float64Array) => [array.slice(0, array.length / 2), array.slice(array.length / 2)], { numReturns: 2 })
const throwing = remote((n: number) => {
  throw new Expected(`error ${n}`)
})
const nested = remote(async (n: number): Promise<number> => {
  const parts = await get([add.remote(n, 1), add.remote(n, 2), sumOf.remote(filled.remote(10, n))])
  return parts.reduce((a, b) => a + b, 0)
})
const readInside = remote(async (box: { list: ObjectRef<Float64Array>[] }): Promise<number> => {
  const arrays = await get(box.list)
  return arrays.reduce((total, array) => total + array[0]! * array.length, 0)
})
const slow = remote(async (n: number) => {
  await new Promise(resolve => setTimeout(resolve, 20))
  return n
})
const addLength = remote((n: number, text: string) => n + text.length)

export class Caller {
  readonly #name: string
  readonly #tally: ActorHandle<Tally>
  #state: number
  #calls = 0
  readonly done: Record<string, number> = {}

  constructor(name: string, seed: number, tally: ActorHandle<Tally>) {
    this.#name = name
    this.#state = seed >>> 0
    this.#tally = tally
  }

  /** Works for that long (ms), then tells how often it did what, and how many calls it made on the tally. */
  async run(forMs: number): Promise<{ done: Record<string, number>; calls: number }> {
    const works = this.#works()
    const names = Object.keys(works)
    const until = performance.now() + forMs
    while (performance.now() < until) {
      const name = names[this.#random(names.length)]!
      try {
        await works[name]!()
      } catch (error) {
        throw new Error(`${this.#name}: ${name} failed: ${(error as Error).stack}`, { cause: error })
      }
      this.done[name] = (this.done[name] ?? 0) + 1
    }
    return { done: this.done, calls: this.#calls }
  }

  #works(): Record<string, () => Promise<void>> {
    return {
      'small tasks': () => this.#smallTasks(),
      'a tree': () => this.#tree(),
      'large arrays': () => this.#arrays(),
      'nested tasks': async () => this.#expect(await get(nested.remote(7)), 8 + 9 + 70),
      'refs in objects': () => this.#boxes(),
      'calls on the tally': () => this.#tallies(),
      'an actor of its own': () => this.#ownActor(),
      'wait and cancel': () => this.#waits(),
      errors: () => this.#errors(),
      'unread results': async () => void [filled.remote(50_000, 1), add.remote(1, 1), put(new Uint8Array(200_000))],
      'several returns': () => this.#split(),
      'late arguments': async () => this.#expect(await get(addLength.remote(slow.remote(3), 'abc')), 6),
    }
  }

  async #smallTasks(): Promise<void> {
    const count = 1 + this.#random(200)
    const values = await get(Array.from({ length: count }, (_, i) => add.remote(i, 1)))
    for (const [i, value] of values.entries()) this.#expect(value, i + 1)
  }

  async #tree(): Promise<void> {
    let level: ObjectRef<number>[] = Array.from({ length: 16 }, (_, i) => put(i))
    while (level.length > 1) level = Array.from({ length: level.length / 2 }, (_, i) => add.remote(level[2 * i]!, level[2 * i + 1]!))
    this.#expect(await get(level[0]!), 120)
  }

  async #arrays(): Promise<void> {
    const length = 1 + this.#random(100_000)
    const ref = put(new Float64Array(length).fill(2))
    const view = await get(ref)
    this.#expect(view[length - 1], 2)
    this.#expect(await get(sumOf.remote(ref)), 2 * length)
    this.#expect(await get(sumOf.remote(filled.remote(length, 3))), 3 * length)
  }

  async #boxes(): Promise<void> {
    const inner = [put(new Float64Array(100).fill(1)), put(new Float64Array(20_000).fill(2)), filled.remote(500, 3)]
    const box = put({ list: inner })
    const [there, here] = await Promise.all([get(readInside.remote(box)), get(box)])
    this.#expect(there, 100 + 40_000 + 1500)
    this.#expect((await get(here.list[1]!))[19_999], 2)
  }

  async #tallies(): Promise<void> {
    const refs = Array.from({ length: 1 + this.#random(50) }, () => this.#tally.add.remote(this.#name, ++this.#calls))
    this.#expect((await get(refs)).at(-1), this.#calls)
  }

  async #ownActor(): Promise<void> {
    if (this.#random(4) !== 0) return
    const stack = remote(Stack).remote()
    const pushed = await get(Array.from({ length: 10 }, (_, i) => stack.push.remote(i)))
    this.#expect(pushed[9], 10)
    this.#expect(await get(stack.sum.remote()), 45)
  }

  async #waits(): Promise<void> {
    const refs = Array.from({ length: 8 }, (_, i) => slow.remote(i))
    const [ready, pending] = await wait(refs, { numReturns: 3 })
    this.#expect(ready.length, 3)
    this.#expect(pending.length, 5)
    for (const ref of pending) cancel(ref)
    for (const ref of refs) {
      const [i, value] = [refs.indexOf(ref), await get(ref).catch(error => error as Error)]
      if (!(value instanceof TaskCancelledError)) this.#expect(value, i)
    }
  }

  async #errors(): Promise<void> {
    const error = await get(add.remote(throwing.remote(5), 1)).catch(reason => reason as Error)
    if (!(error instanceof TaskError) || !/error 5/.test(error.message)) throw new Error(`unexpected: ${error}`)
  }

  async #split(): Promise<void> {
    const [left, right] = split.remote(filled.remote(20_000, 4)) as unknown as [ObjectRef<Float64Array>, ObjectRef<Float64Array>]
    this.#expect(await get(sumOf.remote(left)), 40_000)
    this.#expect(await get(sumOf.remote(right)), 40_000)
  }

  #expect(actual: unknown, expected: unknown): void {
    if (actual !== expected) throw new Error(`${String(actual)} where ${String(expected)} was expected`)
  }

  #random(below: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * below)
  }
}
