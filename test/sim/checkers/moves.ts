// SPDX-License-Identifier: Apache-2.0
// Checker: no piece of an object comes to a node twice, unless what had come of it was dropped in between.

import type { NodeId } from '#lib/wire/messages.js'

export class Moves {
  /** By node and object: the pieces that came, or are on their way. */
  readonly #offsets = new Map<string, Set<number>>()

  constructor(private readonly faults: string[]) {}

  asked(node: NodeId, id: string, offset: number): void {
    const key = `${node} ${id}`
    let offsets = this.#offsets.get(key)
    if (offsets === undefined) this.#offsets.set(key, (offsets = new Set()))
    if (offsets.has(offset)) this.faults.push(`moves: node ${node} gets the piece at ${offset} of object ${id} twice`)
    offsets.add(offset)
  }

  /** It did not come. */
  failed(node: NodeId, id: string, offset: number): void {
    this.#offsets.get(`${node} ${id}`)?.delete(offset)
  }

  /** That node has nothing of it any more. */
  dropped(node: NodeId, id: string): void {
    this.#offsets.delete(`${node} ${id}`)
  }
}
