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
  /** Takes a hold from each. */
  unhold(entries: Entry[]): void
  /** Puts an encoded value into the store, as an object held for the task alone. */
  putEncoded(encoded: Encoded): Entry
  idOf(entry: Entry): string
  /** An entry that is not known to have a value may be in the store already. */
  probe(entry: Entry): void
}

export class ArgumentEncoder {
  /** Memory to write to, while no call does. */
  private spare: Scratch | null = new Scratch()

  constructor(private readonly host: ArgumentHost) {}

  /**
   * Encodes; every ref and object the task needs is appended to `held` with a hold. Throws RangeError for too many and
   * SerializationError for what cannot travel; then nothing is held.
   */
  encode(args: unknown[], held: Entry[]): Uint8Array | Argument[] {
    if (args.length > limits.argumentsMax)
      throw new RangeError(`a call takes at most ${limits.argumentsMax} arguments, not ${args.length}; pass them in an array`)
    // A getter or serializer of the user, called meanwhile, may make calls of its own.
    const scratch = this.spare ?? new Scratch()
    this.spare = null
    scratch.length = 0
    try {
      return this.all(args, scratch, held)
    } catch (error) {
      this.host.unhold(held.splice(0))
      throw error
    } finally {
      this.spare = scratch
    }
  }

  private all(args: unknown[], scratch: Scratch, held: Entry[]): Uint8Array | Argument[] {
    let pieces: Argument[] | null = null
    let start = 0
    for (let i = 0; i < args.length; i++) {
      const entry = this.one(args[i], i, scratch, held)
      if (entry === null) continue
      pieces ??= []
      if (scratch.length > start) pieces.push(scratch.bytes.slice(start, scratch.length))
      start = scratch.length
      pieces.push(entry)
    }
    if (pieces === null) return scratch.bytes.slice(0, scratch.length)
    if (scratch.length > start) pieces.push(scratch.bytes.slice(start, scratch.length))
    return pieces
  }

  /** Appends one argument inline, or gives the entry that stands for it. */
  private one(value: unknown, position: number, scratch: Scratch, held: Entry[]): Entry | null {
    if (value instanceof ObjectRef) {
      const entry = entryOf(value)
      this.host.probe(entry)
      entry.holds++
      held.push(entry)
      return entry
    }
    scratch.ensure(SMALL_BYTES_MAX)
    const at = scratch.length
    const small = encodeSmall(value, scratch.bytes, scratch.view, at + 5)
    if (small > 0) {
      scratch.begin(at, small)
      return null
    }
    const encoded = this.host.encoder.encode(value, `args[${position}]`)
    if (at + encoded.byteLength > limits.taskInlineBytesMax) {
      const entry = this.host.putEncoded(encoded)
      entry.holds++
      held.push(entry)
      return entry
    }
    for (const entry of this.host.holdReferences(encoded)) held.push(entry)
    scratch.ensure(5 + encoded.byteLength)
    writeEncoded(encoded, scratch.bytes, at + 5)
    scratch.begin(at, encoded.byteLength)
    return null
  }
}

/** Where the arguments of one call are written, one after the other. */
class Scratch {
  bytes = new Uint8Array(SMALL_BYTES_MAX)
  view = new DataView(this.bytes.buffer)
  length = 0

  begin(at: number, size: number): void {
    this.view.setUint8(at, FORM.inline)
    this.view.setUint32(at + 1, size, true)
    this.length = at + 5 + size
  }

  ensure(size: number): void {
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
