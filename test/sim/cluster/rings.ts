// SPDX-License-Identifier: Apache-2.0
// Rings between the processes of a node, its daemon among them.

import type { WorkerId } from '#lib/wire/messages.js'
import type { Frame } from '../frames.js'
import type { Random } from '../random.js'
import type { Life } from './life.js'
import { Pipe } from './pipe.js'

/** `from` and `to` are not those of the ring where it carries what comes from, or goes to, another node. */
interface Item {
  from: WorkerId
  to: WorkerId
  frame: Frame
}

export class Rings {
  readonly #pipes = new Map<string, Pipe<Item>>()

  constructor(
    private readonly random: Random,
    private readonly meanDelay: number,
    private readonly lifeOf: (process: WorkerId) => Life | undefined,
    private readonly take: (from: WorkerId, to: WorkerId, frame: Frame) => void,
  ) {}

  push(from: WorkerId, to: WorkerId, item: Item): void {
    const reader = this.lifeOf(to)
    if (reader !== undefined) this.#pipe(from, to, reader).push(item)
  }

  /** Everything comes out now, and nothing more will go in. */
  drain(from: WorkerId, to: WorkerId): void {
    this.#pipes.get(from + to)?.drain()
    this.#pipes.delete(from + to)
  }

  /** That process reads no more; what it wrote can still be read. */
  end(process: WorkerId): void {
    for (const [key, pipe] of this.#pipes) if (key.endsWith(process)) pipe.clear()
  }

  #pipe(from: WorkerId, to: WorkerId, reader: Life): Pipe<Item> {
    let pipe = this.#pipes.get(from + to)
    if (pipe !== undefined) return pipe
    // Some rings are looked at much more seldom than others.
    const mean = this.meanDelay * this.random.pick([1, 1, 1, 50])
    pipe = new Pipe(
      reader,
      () => this.random.around(mean),
      item => this.take(item.from, item.to, item.frame),
    )
    this.#pipes.set(from + to, pipe)
    return pipe
  }
}
