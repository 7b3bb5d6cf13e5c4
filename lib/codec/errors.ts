// SPDX-License-Identifier: Apache-2.0
// Errors inside a value: as data, rebuilt without running the constructor of any user class.
//
// Body of the `error` extension:
//   u8 base                the built-in class below, which gives the object its inner slots
//   u8 class               how the class is named: none (the base itself), code (of lib/errors.ts), function (u32 in the table)
//   u8 parts               which of the following values are there, in this order
//   value message, value stack, value name, value fallback name (used when the class is not found), value cause, value errors
//   fields                 own enumerable properties
// A class that cannot be found on the other side leaves the base, with the name of the class. A TaskError takes the class of
// its cause on besides its own, which is done when it is read and not carried.

import assert from 'node:assert'
import { EaglerayError, errorClasses, TaskError, taskErrorPrototype, WireError } from '../errors.js'
import { privateFieldOf } from './classes.js'
import type { ValueReader } from './decode.js'
import type { ValueWriter } from './encode.js'
import { extension } from './extensions.js'
import { constructorOf, nameOf } from './refusals.js'

const bases = [
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  AggregateError,
  DOMException,
  assert.AssertionError,
] as readonly { name: string; prototype: Error }[]
const AGGREGATE = 7
const DOM_EXCEPTION = 8
const baseByPrototype = new Map<object, number>(bases.map((base, index) => [base.prototype, index]))

const named = { none: 0, code: 1, function: 2 } as const
const part = { message: 1, stack: 2, name: 4, fallback: 8, cause: 16, errors: 32 } as const

/** The eagleray classes by prototype, and what names them on the wire. */
const codeByPrototype = new Map<object, string>([...errorClasses].map(([code, type]) => [type.prototype as object, code]))

export function writeError(w: ValueWriter, error: Error): void {
  const body = w.beginExtension(extension.error)
  const base = baseOf(error)
  w.byte(base)
  const keys = Object.keys(error)
  const own = (key: string): boolean => Object.hasOwn(error, key) && !keys.includes(key)
  const found = writeClass(w, error, base)
  const partsAt = w.at
  w.byte(0)
  const level = w.path.enter()
  let parts = 0
  const add = (key: keyof typeof part, value: unknown): void => {
    w.path.steps[level] = key
    if (writeField(w, value)) parts |= part[key]
  }
  const { message, stack, cause, errors } = error as AggregateError
  const dom = base === DOM_EXCEPTION
  if (dom || own('message')) add('message', message)
  if (typeof stack === 'string' && !keys.includes('stack')) add('stack', stack)
  if (dom || own('name')) add('name', error.name)
  else if (!found.exact) add('fallback', error.name === bases[base]!.name ? found.name : error.name)
  if (own('cause')) add('cause', cause)
  if (own('errors')) add('errors', errors)
  w.path.leave()
  w.bytes[partsAt] = parts
  if (w.lenient) writeFieldsThatCan(w, error, keys)
  else w.fields(error, keys)
  w.endExtension(body)
}

/** Writes how the class is named; gives its name, and whether every reader is sure to find just this class. */
function writeClass(w: ValueWriter, error: Error, base: number): { name: string; exact: boolean } {
  let prototype = Object.getPrototypeOf(error) as object
  const code = isCombined(error) ? 'ERR_EAGLERAY_TASK' : codeByPrototype.get(prototype)
  const name = nameOf(error)
  if (code !== undefined || prototype === bases[base]!.prototype) {
    if (code === undefined) w.byte(named.none)
    else writeCode(w, code)
    return { name, exact: true }
  }
  const type = constructorOf(error)
  if (type !== null && w.context.functions !== null && privateFieldOf(type) === null) {
    const mark = w.mark()
    try {
      const index = w.functionNumber(type, true)
      w.byte(named.function)
      w.uint32(index)
      return { name, exact: false }
    } catch {
      w.rollback(mark)
    }
  }
  while (prototype !== null && !codeByPrototype.has(prototype)) prototype = Object.getPrototypeOf(prototype)
  if (prototype === null) w.byte(named.none)
  else writeCode(w, codeByPrototype.get(prototype)!)
  return { name, exact: false }
}

function writeCode(w: ValueWriter, code: string): void {
  w.byte(named.code)
  w.string(code)
}

/** A TaskError whose class was combined with that of its cause; the reader combines again. */
function isCombined(error: Error): boolean {
  return error instanceof TaskError && constructorOf(error) !== TaskError
}

/** Where the chain of classes meets a built-in one. */
function baseOf(error: Error): number {
  for (let each: object | null = Object.getPrototypeOf(error); each !== null; each = Object.getPrototypeOf(each)) {
    const known = baseByPrototype.get(each)
    if (known !== undefined) return known
    const foreign = bases.findIndex(base => base.name === each?.constructor?.name)
    if (foreign >= 0 && /\[native code\]\s*}$/.test(Function.prototype.toString.call(each.constructor))) return foreign
  }
  return 0
}

/** Gives whether it was written: where the writer is lenient, what cannot travel is dropped. */
function writeField(w: ValueWriter, value: unknown): boolean {
  if (!w.lenient) {
    w.write(value)
    return true
  }
  const mark = w.mark()
  const open = w.open.length
  try {
    w.write(value)
    return true
  } catch {
    w.rollback(mark)
    w.open.length = open
    return false
  }
}

/** As `fields`, without those that cannot travel. */
function writeFieldsThatCan(w: ValueWriter, error: Error, keys: string[]): void {
  const headerAt = w.at
  w.ensure(5)
  w.at += 5
  let count = 0
  for (const key of keys) {
    const mark = w.mark()
    try {
      w.string(key)
      w.write((error as unknown as Record<string, unknown>)[key])
      count++
    } catch {
      w.rollback(mark)
    }
  }
  w.bytes[headerAt] = 0xdf
  w.view.setUint32(headerAt + 1, count)
}

export function readError(r: ValueReader): Error {
  const number = r.reserve()
  const base = bases[r.byte()]
  if (base === undefined) throw new WireError('an error of an unknown base')
  const how = r.byte()
  const code = how === named.code ? r.key() : null
  const type = how === named.function ? r.optionalFunction(r.uint32()) : null
  const parts = r.byte()
  let error: Error = blank(base)
  r.things[number] = error
  const read = (bit: number): unknown => ((parts & bit) === 0 ? undefined : r.value())
  const message = read(part.message)
  const stack = read(part.stack)
  const name = read(part.name)
  const fallback = read(part.fallback)
  if (base === bases[DOM_EXCEPTION]) {
    error = new DOMException(String(message), String(name))
    r.things[number] = error
  } else {
    if (message !== undefined) hidden(error, 'message', message)
    if (name !== undefined) hidden(error, 'name', name)
  }
  hidden(error, 'stack', stack)
  if (code !== null) Object.setPrototypeOf(error, errorClasses.get(code)?.prototype ?? EaglerayError.prototype)
  else if (type !== null) Object.setPrototypeOf(error, prototypeOf(type))
  if (type === null && fallback !== undefined) hidden(error, 'name', fallback)
  if ((parts & part.cause) !== 0) hidden(error, 'cause', r.value())
  if ((parts & part.errors) !== 0) hidden(error, 'errors', r.value())
  r.fieldsInto(error)
  if (code === 'ERR_EAGLERAY_TASK') Object.setPrototypeOf(error, taskErrorPrototype(error.cause))
  return error
}

/** An error of that built-in class, with no properties and no stack of ours. */
function blank(base: { prototype: Error }): Error {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  const error = base === bases[AGGREGATE] ? new AggregateError([]) : new Error()
  Error.stackTraceLimit = limit
  Object.setPrototypeOf(error, base.prototype)
  return error
}

function prototypeOf(type: Function): object {
  const { prototype } = type
  if (typeof prototype !== 'object' || !(prototype instanceof Error)) throw new WireError(`${type.name} is not a class of errors`)
  return prototype
}

function hidden(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable: false })
}
