// SPDX-License-Identifier: Apache-2.0
// Walks a value once and writes it: plain data as MessagePack, everything else as the extensions of extensions.ts.
//
// Invariants: everything with identity is numbered in the order in which it begins (the reader numbers alike); `path`
// names where the walk is whenever anything can throw; a mark taken and rolled back leaves no trace of what was between.

import { inspect } from 'node:util'
import type { SerializationError } from '../errors.js'
import { BufferPlan } from './buffers.js'
import type { CodecContext } from './context.js'
import { writeBigint, writeSpecial } from './encode-rich.js'
import { extension } from './extensions.js'
import { unwrap } from './function/reference.js'
import { FunctionTable } from './function-table.js'
import { Identities } from './identities.js'
import { Path } from './path.js'
import { refusal } from './refusals.js'
import { Writer } from './writer.js'

/** Arrays up to this length are looked at key by key for named properties; see `hasNamedProperties`. */
const SHORT_ARRAY = 64
/** So many holes, and more than half of what was seen: the array is sparse. */
const HOLES_MIN = 64

interface Mark {
  at: number
  extended: boolean
  identities: number
  references: number
  records: number
  regions: number
  functions: number
  depth: number
}

export class ValueWriter extends Writer {
  readonly context: CodecContext
  readonly path = new Path()
  readonly identities = new Identities()
  readonly buffers = new BufferPlan()
  readonly functions = new FunctionTable()
  /** Of this value, in order of first appearance. A new list for each value: the caller keeps it. */
  references: object[] = []
  /** Numbers of things whose registered serializer is at work: pointing back to one is a cycle nobody can rebuild. */
  readonly open: number[] = []
  /** Set for the errors of tasks: fields of errors that cannot travel are dropped. */
  readonly lenient: boolean

  constructor(context: CodecContext, lenient = false) {
    super()
    this.context = context
    this.lenient = lenient
  }

  /** Makes ready for the next value, whose place is spelled `root`. */
  begin(root: string): void {
    this.reset()
    this.path.reset(root)
    this.identities.reset()
    this.buffers.reset()
    this.functions.reset()
    this.references = []
    this.open.length = 0
  }

  write(value: unknown): void {
    switch (typeof value) {
      case 'string':
        return this.string(value)
      case 'number':
        return this.number(value)
      case 'boolean':
        return this.boolean(value)
      case 'undefined':
        return this.undefined()
      case 'object':
        return value === null ? this.nil() : this.object(value)
      case 'bigint':
        return writeBigint(this, value)
      case 'symbol':
        return this.symbol(value)
      default:
        return this.function(value as Function)
    }
  }

  private object(value: object): void {
    const prototype = Object.getPrototypeOf(value)
    // What remote() gave goes the way of functions, which are not numbered.
    if (prototype !== Object.prototype && prototype !== Array.prototype && unwrap(value) !== null) return this.function(value as Function)
    const known = this.identities.see(value)
    if (known >= 0) return this.back(known)
    if (prototype === Object.prototype) this.fields(value, Object.keys(value))
    else if (prototype === Array.prototype && Array.isArray(value)) this.array(value)
    else writeSpecial(this, value, prototype)
  }

  private back(number: number): void {
    if (this.open.includes(number)) throw this.refuse('a cycle through an object with a registered serializer cannot be serialised')
    this.extension32(extension.back, number)
  }

  /** A map of those own properties. */
  fields(value: object, keys: string[]): void {
    this.mapHeader(keys.length)
    const level = this.path.enter()
    const { steps } = this.path
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!
      steps[level] = key
      this.string(key)
      this.write((value as Record<string, unknown>)[key])
    }
    this.path.leave()
  }

  /** An array that has its number already. */
  array(value: unknown[]): void {
    if (hasNamedProperties(value)) return this.sparse(value)
    const start = this.at
    const mark = this.mark()
    const length = value.length
    this.arrayHeader(length)
    const level = this.path.enter()
    const { steps } = this.path
    let holes = 0
    for (let i = 0; i < length; i++) {
      const element = value[i]
      if (typeof element === 'number') {
        this.number(element)
        continue
      }
      steps[level] = i
      if (element === undefined && !Object.hasOwn(value, i)) {
        this.undefined(1)
        if (++holes <= HOLES_MIN || holes * 2 < i) continue
        this.rollback(mark)
        this.at = start
        return this.sparse(value)
      }
      this.write(element)
    }
    this.path.leave()
  }

  private sparse(value: unknown[]): void {
    const body = this.beginExtension(extension.sparse)
    this.uint32(value.length)
    const keys = Object.keys(value)
    this.fields(value, keys)
    this.endExtension(body)
  }

  private symbol(value: symbol): void {
    const key = Symbol.keyFor(value)
    if (key === undefined) throw this.refuse(`${String(value)} cannot be serialised; only symbols made with Symbol.for can`)
    const body = this.beginExtension(extension.symbol)
    this.raw(Buffer.from(key))
    this.endExtension(body)
  }

  private function(value: Function): void {
    this.extension32(extension.function, this.functionNumber(value, false))
  }

  /** The place of a function or class in the function table. `optional`: the reader can do without. */
  functionNumber(value: Function, optional: boolean): number {
    const known = this.functions.find(value)
    if (known >= 0) {
      if (!optional) this.functions.require(known)
      return known
    }
    const { functions } = this.context
    const what = inspect(value, { depth: 0, compact: true, breakLength: Number.POSITIVE_INFINITY })
    if (functions === null)
      throw this.refuse(
        `${what} cannot be serialised here: functions and classes travel only with tasks and actors; use registerSerializer for instances`,
      )
    return this.functions.add(value, functions.encode(value, this.path.render(), this.references), optional)
  }

  /** The error for a culprit at the present path. */
  refuse(text: string, cause?: unknown): SerializationError {
    return refusal(this.path.render(), text, cause)
  }

  mark(): Mark {
    return {
      at: this.at,
      extended: this.extended,
      identities: this.identities.count,
      references: this.references.length,
      records: this.buffers.records.length,
      regions: this.buffers.regions.length,
      functions: this.functions.count,
      depth: this.path.depth,
    }
  }

  /** Forgets everything written since. */
  rollback(mark: Mark): void {
    this.at = mark.at
    this.extended = mark.extended
    this.identities.truncate(mark.identities)
    this.references.length = mark.references
    this.buffers.records.length = mark.records
    this.buffers.regions.length = mark.regions
    this.functions.truncate(mark.functions)
    this.path.depth = mark.depth
  }
}

/**
 * Whether an array has own enumerable properties that are no elements, as the result of a match has. For long arrays
 * every way to list the keys is slower than to encode the elements, but `inspect` counts elements without listing them;
 * should its words ever change, this only gets slower.
 */
function hasNamedProperties(array: unknown[]): boolean {
  const { length } = array
  if (length > SHORT_ARRAY) {
    const shown = inspect(array, {
      maxArrayLength: 0,
      depth: 0,
      compact: true,
      customInspect: false,
      breakLength: Number.POSITIVE_INFINITY,
    })
    if (shown === `[ ... ${length} more items ]`) return false
  }
  const keys = Object.keys(array)
  const last = keys[keys.length - 1]
  return last !== undefined && last !== String(length - 1) && !/^(0|[1-9]\d*)$/.test(last)
}
