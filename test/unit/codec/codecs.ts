// SPDX-License-Identifier: Apache-2.0
// What the tests of the value codec share: contexts made of fakes, and a round trip through bytes.

import { type CodecContext, Decoder, Encoder, type FunctionCodec, type ReferenceCodec, writeEncoded } from '#lib/codec/value.js'
import { SerializationError } from '#lib/errors.js'

export const nothing: CodecContext = { references: null, functions: null }

/** A thing that travels by identity. */
export class FakeRef {
  readonly id: number
  constructor(id: number) {
    this.id = id
  }
}

export const fakeReferences: ReferenceCodec = {
  encode(value) {
    if (!(value instanceof FakeRef)) return null
    const bytes = new Uint8Array(5)
    bytes[0] = 1
    new DataView(bytes.buffer).setUint32(1, value.id)
    return bytes
  },
  decode: bytes => new FakeRef(new DataView(bytes.buffer, bytes.byteOffset).getUint32(1)),
}

/** Functions by name, out of those it was given; what is not among them is refused. */
export function fakeFunctions(known: Record<string, Function>, unloaded: Record<string, Promise<void>> = {}): FunctionCodec {
  return {
    encode(fn, path) {
      const name = Object.keys(known).find(each => known[each] === fn)
      if (name === undefined) throw new SerializationError(`${path}: ${fn.name} is not exported`, path)
      return Buffer.from(name)
    },
    prepare: bytes => unloaded[Buffer.from(bytes).toString()] ?? null,
    decode(bytes) {
      const fn = known[Buffer.from(bytes).toString()]
      if (fn === undefined) throw new Error(`no function ${Buffer.from(bytes).toString()}`)
      return fn
    },
  }
}

/** The envelope of a value, as contiguous bytes that begin like an object of the store: at the start of an ArrayBuffer. */
export function encode(value: unknown, context: CodecContext = nothing): Uint8Array<ArrayBuffer> {
  const encoded = new Encoder(context).encode(value)
  const bytes = new Uint8Array(encoded.byteLength).fill(0xee)
  writeEncoded(encoded, bytes, 0)
  return bytes
}

export function decode(bytes: Uint8Array, context: CodecContext = nothing, zeroCopy = false): unknown {
  return new Decoder(context).decode(bytes, zeroCopy)
}

export function roundTrip<T>(value: T, context: CodecContext = nothing, zeroCopy = false): T {
  return decode(encode(value, context), context, zeroCopy) as T
}

/** `[first, …]` with nothing at index 1: what the language lets one write and linters do not. */
export function withHole(first: unknown, third: unknown): unknown[] {
  const array = [first, null, third]
  delete array[1]
  return array
}

/** The payload of a large envelope. */
export function payload(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return bytes.subarray(16, 16 + view.getUint32(8, true))
}
