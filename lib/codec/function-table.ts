// SPDX-License-Identifier: Apache-2.0
// The functions and classes of one value, each carried once.

import type { FunctionEntry } from './envelope.js'
import type { Writer } from './writer.js'

export class FunctionTable {
  private readonly entries: (FunctionEntry & { value: Function })[] = []

  get count(): number {
    return this.entries.length
  }

  reset(): void {
    if (this.entries.length > 0) this.entries.length = 0
  }

  find(value: Function): number {
    const { entries } = this
    for (let i = 0; i < entries.length; i++) if (entries[i]!.value === value) return i
    return -1
  }

  add(value: Function, bytes: Uint8Array, optional: boolean): number {
    return this.entries.push({ value, bytes, optional }) - 1
  }

  /** What was optional is now needed. */
  require(index: number): void {
    this.entries[index]!.optional = false
  }

  truncate(count: number): void {
    this.entries.length = count
  }

  /** Writes the table behind the payload. */
  writeTo(writer: Writer): void {
    writer.uint32(this.entries.length)
    for (const { bytes, optional } of this.entries) {
      writer.byte(optional ? 1 : 0)
      writer.uint32(bytes.byteLength)
      writer.raw(bytes)
    }
  }
}
