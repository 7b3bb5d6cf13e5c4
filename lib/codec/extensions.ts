// SPDX-License-Identifier: Apache-2.0
// The extension types of MessagePack that a rich value uses, and what each holds. `value` is one encoded value, `fields`
// a map from names to values; numbers are little-endian.
//
// Everything with identity (arrays, maps, and each extension marked *) is numbered in the order in which it begins, from
// 0; `back` points to such a number, which is how cycles and shared references travel.

export const extension = {
  /** u8: 0, or 1 for a hole of an array. */
  undefined: 0,
  /** u32: the thing of that number again. */
  back: 1,
  /** String with lone surrogates, UTF-16. */
  text16: 2,
  /** u8 sign, then the magnitude, big-endian. */
  bigint: 3,
  /** Key of `Symbol.for`, UTF-8. */
  symbol: 4,
  /** u32: function of that number in the function table. */
  function: 5,
  /** * f64: milliseconds; NaN is an invalid date. */
  date: 16,
  /** * value source, value flags. */
  regexp: 17,
  /** * u32 count, then pairs of values. */
  map: 18,
  /** * u32 count, then values. */
  set: 19,
  /** * value: the primitive inside a Number, String, Boolean, BigInt or Symbol object. */
  boxed: 20,
  /** * fields: an object whose prototype is null. */
  bare: 21,
  /** * u32 length, then fields: an array with holes or with named properties. */
  sparse: 22,
  /** * Bytes, see buffers.ts. */
  binary: 23,
  /** * u8 kind, u32 region; see arrow.ts. */
  arrow: 24,
  /** * UTF-8. */
  url: 25,
  /** * UTF-8. */
  urlSearchParams: 26,
  /** * The wire form of a ReferenceCodec. */
  reference: 27,
  /** * u32 function, fields: an instance of a class. */
  instance: 28,
  /** u32 function, value, fields: an instance of a class that extends Map, Array, … The number is the value's. */
  subclass: 29,
  /** * value name, u32 function + 1 or 0, value: what a registered serializer made of it. */
  registered: 30,
  /** * See errors.ts. */
  error: 31,
} as const
