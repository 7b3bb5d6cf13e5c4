// SPDX-License-Identifier: Apache-2.0
// The store of a node: objects of a size that follows from the id, room for so many of them, and what lib/native.ts does
// where there is none: copies of what other nodes have go, and the rest goes to disk.

import { limits } from '#lib/options.js'
import type { Encoded } from './frames.js'

interface Stored {
  readonly encoded: Encoded
  /** A copy of what another node has. */
  readonly secondary: boolean
  readonly since: number
  onDisk: boolean
}

export class ObjectStore {
  /** What was made or read last is at the end. */
  readonly #objects = new Map<string, Stored>()
  readonly #pinned = new Set<string>()
  /** Objects on their way here. */
  readonly #drafts = new Set<string>()
  #inMemory = 0
  /** Memory and disk are full of what is none of the cluster's. */
  isFull = false

  constructor(
    private readonly capacity: number = Number.POSITIVE_INFINITY,
    /** Nothing is left here of that object. */
    private readonly dropped: (id: string) => void = () => {},
    private readonly clock: () => number = () => 0,
  ) {}

  has(id: string): boolean {
    return this.#objects.has(id)
  }

  ids(): Iterable<string> {
    return this.#objects.keys()
  }

  /** Those that can vanish: nobody reads them just now. */
  unpinned(secondary: boolean): string[] {
    return [...this.#objects].filter(([id, stored]) => stored.secondary === secondary && !this.#pinned.has(id)).map(([id]) => id)
  }

  /** Since when it is here; null when it is not. */
  since(id: string): number | null {
    return this.#objects.get(id)?.since ?? null
  }

  read(id: string): Encoded | null {
    return this.#objects.get(id)?.encoded ?? null
  }

  put(id: string, encoded: Encoded, secondary = false): void {
    if (this.#objects.has(id)) return
    const onDisk = !this.#makeRoom()
    this.#objects.set(id, { encoded, secondary, onDisk, since: this.clock() })
    if (!onDisk) this.#inMemory++
  }

  delete(id: string): void {
    const stored = this.#objects.get(id)
    if (stored === undefined) return
    this.#objects.delete(id)
    if (!stored.onDisk) this.#inMemory--
    this.dropped(id)
  }

  /** It goes only by `delete` from now on. */
  promote(id: string): void {
    const stored = this.#objects.get(id)
    if (stored !== undefined) this.#objects.set(id, { ...stored, secondary: false })
  }

  /** Room for an object on its way; false when all there is is in use. */
  draft(id: string): boolean {
    if (this.isFull || !this.#makeRoom()) return false
    this.#drafts.add(id)
    this.#inMemory++
    return true
  }

  /** It is whole now, or will never be. */
  endDraft(id: string, encoded: Encoded | null): void {
    if (!this.#drafts.delete(id)) return
    this.#inMemory--
    if (encoded !== null) this.put(id, encoded, true)
    else this.dropped(id)
  }

  pin(id: string): void {
    this.#pinned.add(id)
  }

  unpin(id: string): void {
    this.#pinned.delete(id)
  }

  #makeRoom(): boolean {
    while (this.#inMemory >= this.capacity) {
      const victim = this.#victim(true) ?? this.#victim(false)
      if (victim === null) return false
      const stored = this.#objects.get(victim) as Stored
      if (stored.secondary) this.delete(victim)
      else {
        stored.onDisk = true
        this.#inMemory--
      }
    }
    return true
  }

  #victim(secondary: boolean): string | null {
    for (const [id, stored] of this.#objects) if (stored.secondary === secondary && !stored.onDisk && !this.#pinned.has(id)) return id
    return null
  }
}

/** Most are small, some come in pieces. */
export function sizeOf(id: string): number {
  return [1, 1000, 1.5 * limits.pieceBytes, 3 * limits.pieceBytes + 1][
    (Number.parseInt(id.slice(-2), 16) + Number.parseInt(id.slice(10, 14), 16)) % 4
  ] as number
}
