// SPDX-License-Identifier: Apache-2.0
// Arguments of a task, between values and bytes. Small ones travel in the message, large ones through the store; a
// top-level ref is left as such and its value takes its place when the task is dispatched.

import type { Encoded, Encoder } from '../codec/value.js'
import { encodeSmall, writeEncoded } from '../codec/value.js'
import { type Entry, STATE } from '../core/owner/entry.js'
import type { Argument } from '../core/owner/task.js'
import { limits } from '../options.js'
import { FORM, writeObjectId } from '../wire/frames.js'
import { entryOf, ObjectRef } from './ref.js'

const SMALL_BYTES_MAX = 16 * 1024

/** What encoding needs of the runtime. */
export interface ArgumentHost {
  readonly encoder: Encoder
  /** Entries of the refs and handles inside an encoded value, each with one hold more. */
  holdReferences(encoded: Encoded): Entry[]
  /** Puts an encoded value into the store, as an object held for the task alone. */
  putEncoded(encoded: Encoded): Entry
  idOf(entry: Entry): string
  /** An entry that is not known to have a value may be in the store already. */
  probe(entry: Entry): void
}

export class ArgumentEncoder {
  private bytes = new Uint8Array(SMALL_BYTES_MAX)
  private view = new DataView(this.bytes.buffer)
  private length = 0

  constructor(private readonly host: ArgumentHost) {}

  /** Encodes; every ref and object the task needs is appended to `held` with a hold. */
  encode(args: unknown[], held: Entry[]): Uint8Array | Argument[] {
    this.length = 0
    let pieces: Argument[] | null = null
    let start = 0
    for (let i = 0; i < args.length; i++) {
      const entry = this.one(args[i], i, held)
      if (entry === null) continue
      pieces ??= []
      if (this.length > start) pieces.push(this.bytes.slice(start, this.length))
      start = this.length
      pieces.push(entry)
    }
    if (pieces === null) return this.bytes.slice(0, this.length)
    if (this.length > start) pieces.push(this.bytes.slice(start, this.length))
    return pieces
  }

  /** Appends one argument inline, or gives the entry that stands for it. */
  private one(value: unknown, position: number, held: Entry[]): Entry | null {
    if (value instanceof ObjectRef) {
      const entry = entryOf(value)
      this.host.probe(entry)
      entry.holds++
      held.push(entry)
      return entry
    }
    this.ensure(SMALL_BYTES_MAX)
    const at = this.length
    const small = encodeSmall(value, this.bytes, this.view, at + 5)
    if (small > 0) {
      this.begin(at, small)
      return null
    }
    const encoded = this.host.encoder.encode(value, `args[${position}]`)
    if (at + encoded.byteLength > limits.taskInlineBytesMax) {
      const entry = this.host.putEncoded(encoded)
      entry.holds++
      held.push(entry)
      return entry
    }
    held.push(...this.host.holdReferences(encoded))
    this.ensure(5 + encoded.byteLength)
    writeEncoded(encoded, this.bytes, at + 5)
    this.begin(at, encoded.byteLength)
    return null
  }

  private begin(at: number, size: number): void {
    this.view.setUint8(at, FORM.inline)
    this.view.setUint32(at + 1, size, true)
    this.length = at + 5 + size
  }

  private ensure(size: number): void {
    if (this.length + size <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(2 * this.bytes.length, this.length + size))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }
}

const scratch = new Uint8Array(SMALL_BYTES_MAX)
const scratchView = new DataView(scratch.buffer)

/** The wire form of an argument whose value is there: inline bytes, or the id of the stored object. */
export function resolvedArgument(entry: Entry, host: ArgumentHost): Uint8Array {
  if (entry.state === STATE.stored) {
    const bytes = new Uint8Array(21)
    bytes[0] = FORM.stored
    writeObjectId(bytes, 1, entry.storedAs ?? host.idOf(entry))
    return bytes
  }
  if (entry.envelope !== null) {
    const bytes = new Uint8Array(5 + entry.envelope.length)
    new DataView(bytes.buffer).setUint32(1, entry.envelope.length, true)
    bytes.set(entry.envelope, 5)
    return bytes
  }
  const size = encodeSmall(entry.plain, scratch, scratchView, 5)
  scratchView.setUint8(0, FORM.inline)
  scratchView.setUint32(1, size, true)
  return scratch.slice(0, 5 + size)
}
