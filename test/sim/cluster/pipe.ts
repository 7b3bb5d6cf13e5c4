// SPDX-License-Identifier: Apache-2.0
// A ring between two processes of a node, or a stream between two machines: what goes in comes out once and in order,
// each after a delay of its own.

import type { Life } from './life.js'

export class Pipe<T> {
  readonly #waiting: T[] = []
  #last = 0

  constructor(
    /** Who takes out. */
    readonly reader: Life,
    readonly delay: () => number,
    readonly take: (item: T) => void,
  ) {}

  get size(): number {
    return this.#waiting.length
  }

  push(item: T): void {
    this.#waiting.push(item)
    const { agenda } = this.reader
    this.#last = Math.max(this.#last, agenda.now + this.delay())
    this.reader.after(this.#last - agenda.now, () => this.#next())
  }

  /** Everything comes out now. */
  drain(): void {
    while (this.#waiting.length > 0) this.#next()
  }

  clear(): void {
    this.#waiting.length = 0
  }

  #next(): void {
    const item = this.#waiting.shift()
    if (item !== undefined) this.take(item)
  }
}
