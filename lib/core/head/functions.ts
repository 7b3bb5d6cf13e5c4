// SPDX-License-Identifier: Apache-2.0
// The code of actors' classes, once each however many actors share it, and for as long as one of them may be (re)started.

import type { HeadEffect } from './events.js'

interface Kept {
  readonly code: Uint8Array
  users: number
}

export class Functions {
  readonly #byHash = new Map<string, Kept>()
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#byHash.size
  }

  /** One more actor of that class; gives the copy that all share. */
  hold(hash: string, code: Uint8Array, out: HeadEffect[]): Uint8Array {
    const known = this.#byHash.get(hash)
    if (known !== undefined) {
      known.users++
      return known.code
    }
    // Not the message that it is a part of.
    const kept = code.slice()
    this.#byHash.set(hash, { code: kept, users: 1 })
    this.#bytes += kept.byteLength
    out.push({ is: 'persist', table: 'functions', key: hash, row: { code: kept } })
    return kept
  }

  release(hash: string, out: HeadEffect[]): void {
    const kept = this.#byHash.get(hash)
    if (kept === undefined || --kept.users > 0) return
    this.#byHash.delete(hash)
    this.#bytes -= kept.code.byteLength
    out.push({ is: 'persist', table: 'functions', key: hash, row: null })
  }
}
