// SPDX-License-Identifier: Apache-2.0
// What the value codec asks of the runtime: how things travel that are not plain data.

/** Something that travels by identity, not by value: an ObjectRef or an ActorHandle. The runtime supplies how to see and rebuild one. */
export interface ReferenceCodec {
  /**
   * Non-null when `value` is such a thing: its 24-byte-or-less wire form (kind byte + whatever). Called for objects of
   * unknown class only.
   */
  encode(value: object): Uint8Array | null
  decode(bytes: Uint8Array): object
}

/** Functions and classes, by reference to their module or by source and captures. */
export interface FunctionCodec {
  /** Throws SerializationError, which names `path`, for what cannot travel. Adds the refs and handles it captures to `references`. */
  encode(fn: Function, path: string, references: object[]): Uint8Array
  /** Loads what a function needs (imports); resolves before `decode` may be called. null when nothing needs loading. */
  prepare(bytes: Uint8Array): Promise<void> | null
  decode(bytes: Uint8Array): Function
}

/** null stands for "not here": such things are then refused with their path, or are a WireError when they arrive. */
export interface CodecContext {
  references: ReferenceCodec | null
  functions: FunctionCodec | null
}
