// SPDX-License-Identifier: Apache-2.0
// Rebuilds what is not plain data. Whatever has identity is in `things` before its parts are read, so that cycles close.

import { SerializationError, WireError } from '../errors.js'
import { readArrow } from './arrow.js'
import { copyInline, place, RECORD_BYTES } from './buffers.js'
import { registrationNamed } from './classes.js'
import type { ValueReader } from './decode.js'
import { readError } from './errors.js'
import { extension } from './extensions.js'
import { HOLE } from './reader.js'
import { readUtf8 } from './text.js'

/** Reads the body of an extension, which ends at `end`. */
export function readExtension(r: ValueReader, type: number, end: number): unknown {
  switch (type) {
    case extension.undefined:
      return r.byte() === 1 ? HOLE : undefined
    case extension.back:
      return readBack(r)
    case extension.text16:
      return r.text16(end - r.at)
    case extension.bigint:
      return readBigint(r, end)
    case extension.symbol:
      return Symbol.for(rest(r, end))
    case extension.function:
      return r.functionAt(r.uint32())
    case extension.date:
      return note(r, new Date(r.float64Little()))
    case extension.regexp:
      return readRegExp(r)
    case extension.map:
      return readMap(r)
    case extension.set:
      return readSet(r)
    case extension.boxed:
      return readBoxed(r)
    case extension.bare:
      return readBare(r)
    case extension.sparse:
      return readSparse(r)
    case extension.binary:
      return readBinary(r, end)
    case extension.arrow:
      return readArrowRegion(r)
    case extension.url:
      return note(r, new URL(rest(r, end)))
    case extension.urlSearchParams:
      return note(r, new URLSearchParams(rest(r, end)))
    case extension.reference:
      return readReference(r, end)
    case extension.instance:
      return readInstance(r)
    case extension.subclass:
      return readSubclass(r)
    case extension.registered:
      return readRegistered(r)
    case extension.error:
      return readError(r)
    default:
      throw new WireError(`a value holds something of unknown type ${type}`)
  }
}

function rest(r: ValueReader, end: number): string {
  const start = r.take(end - r.at)
  return readUtf8(r.bytes, start, end)
}

function note<T>(r: ValueReader, thing: T): T {
  r.things.push(thing)
  return thing
}

function readBack(r: ValueReader): unknown {
  const number = r.uint32()
  const thing = r.things[number]
  if (thing === undefined) throw new WireError(`a value points to its part ${number}, which is not there`)
  return thing
}

function readBigint(r: ValueReader, end: number): bigint {
  const negative = r.byte() === 1
  const start = r.take(end - r.at)
  const hex = Buffer.from(r.bytes.buffer, r.bytes.byteOffset + start, end - start).toString('hex')
  const magnitude = BigInt(`0x${hex === '' ? '0' : hex}`)
  return negative ? -magnitude : magnitude
}

function readRegExp(r: ValueReader): RegExp {
  const number = r.reserve()
  const regexp = new RegExp(r.key(), r.key())
  r.things[number] = regexp
  return regexp
}

function readMap(r: ValueReader): Map<unknown, unknown> {
  const map = note(r, new Map())
  for (let left = r.count(r.uint32(), 2); left > 0; left--) {
    const key = r.value()
    map.set(key, r.value())
  }
  return map
}

function readSet(r: ValueReader): Set<unknown> {
  const set = note(r, new Set())
  for (let left = r.count(r.uint32(), 1); left > 0; left--) set.add(r.value())
  return set
}

function readBoxed(r: ValueReader): unknown {
  const number = r.reserve()
  const primitive = r.value()
  if (primitive === null || primitive === undefined || typeof primitive === 'object' || typeof primitive === 'function')
    throw new WireError('a boxed value that is no primitive')
  const boxed = Object(primitive) as object
  r.things[number] = boxed
  return boxed
}

function readBare(r: ValueReader): object {
  const bare = note(r, Object.create(null) as object)
  r.fieldsInto(bare)
  return bare
}

function readSparse(r: ValueReader): unknown[] {
  const array: unknown[] = note(r, [])
  array.length = r.uint32()
  r.fieldsInto(array)
  return array
}

function readBinary(r: ValueReader, end: number): object {
  const at = r.take(RECORD_BYTES)
  const view = new DataView(r.bytes.buffer, r.bytes.byteOffset + at, RECORD_BYTES)
  const kind = view.getUint8(0)
  const how = view.getUint8(1)
  const index = view.getUint32(4, true)
  if (how === place.inline) {
    if (at + RECORD_BYTES + index > end) throw new WireError('an array is cut off')
    return note(r, copyInline(kind, r.bytes, r.take(index), index))
  }
  const size = (from: number): number => view.getUint32(from, true) + view.getUint32(from + 4, true) * 2 ** 32
  return note(r, r.regions!.make(kind, how, index, size(8), size(16), size(24)))
}

function readArrowRegion(r: ValueReader): object {
  const kind = r.byte()
  return note(r, readArrow(kind, r.regions!.regionForReading(r.uint32())))
}

function readReference(r: ValueReader, end: number): object {
  const { references } = r.context
  if (references === null) throw new WireError('a value holds a reference, and nothing here can rebuild one')
  const start = r.take(end - r.at)
  return note(r, references.decode(r.bytes.subarray(start, end)))
}

function readInstance(r: ValueReader): object {
  const number = r.reserve()
  const instance = Object.create(prototypeOf(r.functionAt(r.uint32()))) as object
  r.things[number] = instance
  r.fieldsInto(instance)
  return instance
}

function readSubclass(r: ValueReader): object {
  const prototype = prototypeOf(r.functionAt(r.uint32()))
  const base = r.value()
  if (typeof base !== 'object' || base === null) throw new WireError('an instance of a derived class has no base')
  Object.setPrototypeOf(base, prototype)
  r.fieldsInto(base)
  return base
}

function prototypeOf(type: Function): object {
  const { prototype } = type
  if (typeof prototype !== 'object' || prototype === null) throw new WireError(`an instance of ${type.name}, which is no class`)
  return prototype
}

function readRegistered(r: ValueReader): unknown {
  const number = r.reserve()
  const name = r.key()
  const fallback = r.uint32()
  const from = registrationNamed(name)?.from ?? (fallback === 0 ? null : r.optionalFunction(fallback - 1))
  const data = r.value()
  if (from === null)
    throw new SerializationError(`a value needs the serializer ${name}: call registerSerializer in a module that this process loads`)
  let value: unknown
  try {
    value = from(data)
  } catch (cause) {
    throw new SerializationError(`the serializer ${name} could not rebuild a value: ${String(cause)}`, '', { cause })
  }
  r.things[number] = value
  return value
}
