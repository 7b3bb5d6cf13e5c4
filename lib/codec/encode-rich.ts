// SPDX-License-Identifier: Apache-2.0
// Writes what is not plain data. Each object here has its number already; see extensions.ts for the layouts.

import { types } from 'node:util'
import { arrowKind, arrowRegion } from './arrow.js'
import { binaryKind, binaryPrototype, isDetached, RECORD_BYTES } from './buffers.js'
import { privateFieldOf, type Registration, registrationOf } from './classes.js'
import type { ValueWriter } from './encode.js'
import { writeError } from './errors.js'
import { extension } from './extensions.js'
import type { EntryStep } from './path.js'
import { aName, constructorOf, nameOf, whyRefused } from './refusals.js'

type Write = (w: ValueWriter, value: never) => void

/** Built-in classes that are known by their prototype. */
const byPrototype = new Map<object | null, Write>([
  [Map.prototype, writeMap],
  [Set.prototype, writeSet],
  [Date.prototype, writeDate],
  [RegExp.prototype, writeRegExp],
  [URL.prototype, writeUrl],
  [URLSearchParams.prototype, writeUrlSearchParams],
  [null, writeBare],
  ...[Number, String, Boolean, BigInt, Symbol].map((type): [object, Write] => [type.prototype, writeBoxed]),
])

/** Writes an object that is neither a plain object nor a plain array. */
export function writeSpecial(w: ValueWriter, value: object, prototype: object | null): void {
  if (prototype !== null) {
    const registration = registrationOf(prototype)
    if (registration !== undefined) return writeRegistered(w, value, registration)
  }
  const builtIn = byPrototype.get(prototype)
  if (builtIn !== undefined && !types.isModuleNamespaceObject(value)) return builtIn(w, value as never)
  const kind = binaryKind(value)
  if (kind >= 0) return writeBinaryOrDerived(w, value as ArrayBufferLike, kind, prototype)
  const { references } = w.context
  const reference = references?.encode(value) ?? null
  if (reference !== null) return writeReference(w, value, reference)
  const arrow = arrowKind(value)
  if (arrow >= 0) return writeArrow(w, value, arrow)
  if (types.isNativeError(value) || value instanceof Error) return writeError(w, value)
  const base = baseOf(value)
  if (base !== null) return writeDerived(w, value, base)
  if (isForeignPlain(prototype)) return w.fields(value, Object.keys(value))
  writeInstance(w, value)
}

export function writeBigint(w: ValueWriter, value: bigint): void {
  const body = w.beginExtension(extension.bigint)
  const hex = (value < 0n ? -value : value).toString(16)
  w.byte(value < 0n ? 1 : 0)
  w.raw(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'))
  w.endExtension(body)
}

function writeMap(w: ValueWriter, value: Map<unknown, unknown>): void {
  const body = w.beginExtension(extension.map)
  w.uint32(value.size)
  const level = w.path.enter()
  const key: EntryStep = { kind: 'keys', key: 0 }
  const entry: EntryStep = { kind: 'get', key: null }
  let index = 0
  // Over the built-in iterator: a derived class may have its own.
  for (const [k, v] of Map.prototype.entries.call(value)) {
    key.key = index++
    w.path.steps[level] = key
    w.write(k)
    entry.key = k
    w.path.steps[level] = entry
    w.write(v)
  }
  w.path.leave()
  w.endExtension(body)
}

function writeSet(w: ValueWriter, value: Set<unknown>): void {
  const body = w.beginExtension(extension.set)
  w.uint32(value.size)
  const level = w.path.enter()
  const step: EntryStep = { kind: 'values', key: 0 }
  w.path.steps[level] = step
  let index = 0
  for (const each of Set.prototype.values.call(value)) {
    step.key = index++
    w.write(each)
  }
  w.path.leave()
  w.endExtension(body)
}

function writeDate(w: ValueWriter, value: Date): void {
  const time = Date.prototype.getTime.call(value)
  const body = w.beginExtension(extension.date)
  w.float64(time)
  w.endExtension(body)
}

function writeRegExp(w: ValueWriter, value: RegExp): void {
  const body = w.beginExtension(extension.regexp)
  w.string(value.source)
  w.string(value.flags)
  w.endExtension(body)
}

function writeText(w: ValueWriter, type: number, text: string): void {
  const body = w.beginExtension(type)
  w.raw(Buffer.from(text))
  w.endExtension(body)
}

function writeUrl(w: ValueWriter, value: URL): void {
  writeText(w, extension.url, value.href)
}

function writeUrlSearchParams(w: ValueWriter, value: URLSearchParams): void {
  writeText(w, extension.urlSearchParams, value.toString())
}

function writeBoxed(w: ValueWriter, value: object): void {
  if (!types.isBoxedPrimitive(value))
    throw w.refuse('an object made with Object.create cannot be serialised, for its prototype is no class')
  const body = w.beginExtension(extension.boxed)
  const type = types.isNumberObject(value)
    ? Number
    : types.isStringObject(value)
      ? String
      : types.isBooleanObject(value)
        ? Boolean
        : types.isBigIntObject(value)
          ? BigInt
          : Symbol
  w.write((type.prototype.valueOf as () => unknown).call(value))
  w.endExtension(body)
}

function writeBare(w: ValueWriter, value: object): void {
  const body = w.beginExtension(extension.bare)
  w.fields(value, Object.keys(value))
  w.endExtension(body)
}

function writeReference(w: ValueWriter, value: object, wire: Uint8Array): void {
  if (w.lenient) throw w.refuse(`${aName(value)} cannot travel inside an error`)
  const body = w.beginExtension(extension.reference)
  w.raw(wire)
  w.endExtension(body)
  w.references.push(value)
}

function writeArrow(w: ValueWriter, value: object, kind: number): void {
  const region = w.buffers.addRegion(arrowRegion(value, w.path.render()))
  const body = w.beginExtension(extension.arrow)
  w.byte(kind)
  w.uint32(region)
  w.endExtension(body)
}

function writeBinaryOrDerived(w: ValueWriter, value: ArrayBufferLike | ArrayBufferView, kind: number, prototype: object | null): void {
  if (isDetached(ArrayBuffer.isView(value) ? value.buffer : value))
    throw w.refuse(`${aName(value)} whose memory was transferred away cannot be serialised`)
  const derived = prototype !== binaryPrototype(kind) && !isForeign(value)
  if (derived) writeDerived(w, value, writer => writeBinary(writer, value, kind))
  else writeBinary(w, value, kind)
}

function writeBinary(w: ValueWriter, value: ArrayBufferLike | ArrayBufferView, kind: number): void {
  const body = w.beginExtension(extension.binary)
  w.ensure(RECORD_BYTES)
  const at = w.at
  w.bytes.fill(0, at, at + RECORD_BYTES)
  w.bytes[at] = kind
  w.at = at + RECORD_BYTES
  const inline = w.buffers.add(value, at)
  if (inline !== null) {
    w.view.setUint32(at + 4, inline.byteLength, true)
    w.raw(inline)
  }
  w.endExtension(body)
}

/** How to write the built-in part of an object whose class derives from a built-in one; null when it derives from none. */
function baseOf(value: object): ((w: ValueWriter) => void) | null {
  const write: Write | null = types.isMap(value)
    ? writeMap
    : types.isSet(value)
      ? writeSet
      : types.isDate(value)
        ? writeDate
        : types.isRegExp(value)
          ? writeRegExp
          : types.isBoxedPrimitive(value)
            ? writeBoxed
            : value instanceof URL
              ? writeUrl
              : value instanceof URLSearchParams
                ? writeUrlSearchParams
                : null
  if (write !== null) return w => write(w, value as never)
  return Array.isArray(value) ? w => w.array(value) : null
}

/** An instance of a class that extends Map, Array, Uint8Array, …: the built-in part, then the class and the other fields. */
function writeDerived(w: ValueWriter, value: object, writeBase: (w: ValueWriter) => void): void {
  if (isForeign(value)) return writeBase(w)
  const type = classOf(w, value)
  const body = w.beginExtension(extension.subclass)
  w.uint32(w.functionNumber(type, false))
  writeBase(w)
  const indexed = Array.isArray(value) || ArrayBuffer.isView(value) || types.isStringObject(value)
  w.fields(value, indexed ? [] : Object.keys(value))
  w.endExtension(body)
}

function writeInstance(w: ValueWriter, value: object): void {
  const why = whyRefused(value)
  if (why !== null) throw w.refuse(why)
  const type = classOf(w, value)
  const body = w.beginExtension(extension.instance)
  w.uint32(w.functionNumber(type, false))
  w.fields(value, Object.keys(value))
  w.endExtension(body)
}

/** The class of an instance, if an instance may travel by its class and its fields. */
function classOf(w: ValueWriter, value: object): Function {
  const type = constructorOf(value)
  if (type === null) throw w.refuse(`an object made with Object.create cannot be serialised, for its prototype is no class`)
  const hidden = privateFieldOf(type)
  if (hidden !== null) {
    throw w.refuse(
      `${aName(value)} cannot be serialised, for nobody outside of the class can read ${hidden}; say how with registerSerializer`,
    )
  }
  return type
}

function writeRegistered(w: ValueWriter, value: object, registration: Registration): void {
  const number = w.identities.count - 1
  const body = w.beginExtension(extension.registered)
  w.string(registration.name)
  w.uint32(fromFunction(w, registration))
  w.open.push(number)
  w.write(registration.to(value))
  w.open.pop()
  w.endExtension(body)
}

/** The `from` function travels along where it can, so that the receiver need not have registered the class. */
function fromFunction(w: ValueWriter, registration: Registration): number {
  const mark = w.mark()
  try {
    return w.context.functions === null ? 0 : w.functionNumber(registration.from, true) + 1
  } catch {
    w.rollback(mark)
    return 0
  }
}

/** A built-in of another realm (a vm context): its class has the name of ours and is native. */
function isForeign(value: object): boolean {
  const type = constructorOf(value)
  const ours: unknown = (globalThis as Record<string, unknown>)[nameOf(value)]
  return type !== null && typeof ours === 'function' && type !== ours && /\[native code\]\s*}$/.test(Function.prototype.toString.call(type))
}

/** Object.prototype of another realm. */
function isForeignPlain(prototype: object | null): boolean {
  return (
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'hasOwnProperty') &&
    (prototype.constructor as Function | undefined)?.name === 'Object'
  )
}
