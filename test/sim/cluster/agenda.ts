// SPDX-License-Identifier: Apache-2.0
// What will happen, by time: a heap. What is due at the same time happens in the order in which it was entered, so a
// seed is one course of events.

interface Item {
  readonly at: number
  readonly order: number
  readonly go: () => void
}

export class Agenda {
  now = 0
  /** How much has happened. */
  steps = 0
  readonly #heap: Item[] = []
  #entered = 0

  get size(): number {
    return this.#heap.length
  }

  at(time: number, go: () => void): void {
    const heap = this.#heap
    const item = { at: Math.max(time, this.now), order: this.#entered++, go }
    let i = heap.push(item) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (before(heap[parent] as Item, item)) break
      heap[i] = heap[parent] as Item
      i = parent
    }
    heap[i] = item
  }

  after(delay: number, go: () => void): void {
    this.at(this.now + delay, go)
  }

  /** The next thing happens; false when nothing ever will. */
  step(): boolean {
    const item = this.#take()
    if (item === undefined) return false
    this.now = item.at
    this.steps++
    item.go()
    return true
  }

  #take(): Item | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Item, heap[child] as Item)) child++
      if (before(last, heap[child] as Item)) break
      heap[i] = heap[child] as Item
      i = child
    }
    heap[i] = last
    return first
  }
}

function before(a: Item, b: Item): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
