// SPDX-License-Identifier: Apache-2.0
// Rebuilds a value from a payload that encode.ts wrote; see extensions.ts. Any bytes give a value or a WireError.

import { EaglerayError, WireError } from '../errors.js'
import type { RegionReader } from './buffers.js'
import type { CodecContext } from './context.js'
import { readExtension } from './decode-rich.js'
import type { FunctionEntry } from './envelope.js'
import { HOLE, Reader } from './reader.js'

/** Elements from which on an array is worth preparing for. */
const MANY = 16

export class ValueReader extends Reader {
  readonly context: CodecContext
  /** Everything with identity, by number, as far as it is read. */
  things: unknown[] = []
  regions: RegionReader | null = null
  private functions: FunctionEntry[] = []
  private loaded: (Function | undefined)[] = []
  private numbered = false

  constructor(context: CodecContext) {
    super()
    this.context = context
  }

  /** Reads a value of plain MessagePack in `bytes[start, end)`. */
  readPlain(bytes: Uint8Array, start: number, end: number): unknown {
    this.open(bytes, start, end)
    try {
      return this.value()
    } catch (error) {
      throw asWireError(error)
    } finally {
      this.close()
    }
  }

  /** Reads a value with extensions, which has these functions and regions. */
  readRich(bytes: Uint8Array, start: number, end: number, functions: FunctionEntry[], regions: RegionReader): unknown {
    this.numbered = true
    this.functions = functions
    this.regions = regions
    try {
      return this.readPlain(bytes, start, end)
    } finally {
      // Nothing of the value is kept alive by its reader.
      this.numbered = false
      this.things = []
      this.functions = []
      this.loaded = []
      this.regions = null
    }
  }

  value(): unknown {
    const tag = this.byte()
    if (tag < 0x80) return tag
    if (tag < 0x90) return this.object(tag & 0x0f)
    if (tag < 0xa0) return this.array(tag & 0x0f)
    const scalar = this.scalar(tag)
    if (scalar !== undefined) return scalar
    switch (tag) {
      case 0xdc:
        return this.array(this.big16())
      case 0xdd:
        return this.array(this.big32())
      case 0xde:
        return this.object(this.big16())
      case 0xdf:
        return this.object(this.big32())
      case 0xc4:
        return this.bytesOf(this.byte())
      case 0xc5:
        return this.bytesOf(this.big16())
      case 0xc6:
        return this.bytesOf(this.big32())
      default:
        return this.extended(tag)
    }
  }

  /** `bin`, which other writers may use. */
  private bytesOf(length: number): Uint8Array {
    const start = this.take(length)
    return new Uint8Array(this.bytes.subarray(start, start + length))
  }

  private extended(tag: number): unknown {
    const length = this.extensionLength(tag)
    if (length < 0) throw new WireError(`a value begins with ${tag}`)
    const type = this.byte()
    const end = this.at + length
    if (end > this.end) throw new WireError('a value is cut off')
    if (!this.numbered) throw new WireError('a plain value has an extension')
    const value = readExtension(this, type, end)
    if (this.at > end) throw new WireError('a value exceeds the space it was given')
    this.at = end
    return value
  }

  private object(announced: number): object {
    const object = {}
    if (this.numbered) this.things.push(object)
    this.entries(object as Record<string, unknown>, announced)
    return object
  }

  private entries(object: Record<string, unknown>, announced: number): void {
    for (let left = this.count(announced, 2); left > 0; left--) {
      const key = this.key()
      const value = this.value()
      if (key === '__proto__') define(object, key, value)
      else object[key] = value
    }
  }

  private array(announced: number): unknown[] {
    const length = this.count(announced, 1)
    const array: unknown[] = []
    if (this.numbered) this.things.push(array)
    if (length > MANY) this.expectMany()
    for (let i = 0; i < length; i++) {
      const value = this.value()
      if (value !== HOLE) array.push(value)
      else array.length++
    }
    return array
  }

  /** The number of the thing now begun; set `things[number]` before anything inside it is read. */
  reserve(): number {
    return this.things.push(undefined) - 1
  }

  /** A map, as own properties of an object of any class: no setter of the class runs. */
  fieldsInto(object: object): void {
    const tag = this.byte()
    const announced = tag >= 0x80 && tag < 0x90 ? tag & 0x0f : tag === 0xde ? this.big16() : tag === 0xdf ? this.big32() : -1
    if (announced < 0) throw new WireError('a value has no fields where they are due')
    for (let left = this.count(announced, 2); left > 0; left--) {
      const key = this.key()
      define(object, key, this.value())
    }
  }

  /** A function or class of the function table. */
  functionAt(index: number): Function {
    const known = this.loaded[index]
    if (known !== undefined) return known
    const entry = this.functions[index]
    if (entry === undefined) throw new WireError(`a value has no function ${index}`)
    if (this.context.functions === null) throw new WireError('a value holds a function, and nothing here can load one')
    const loaded = this.context.functions.decode(entry.bytes)
    this.loaded[index] = loaded
    return loaded
  }

  /** As `functionAt`; null when it cannot be loaded here. */
  optionalFunction(index: number): Function | null {
    if (this.functions[index] === undefined) throw new WireError(`a value has no function ${index}`)
    try {
      return this.functionAt(index)
    } catch {
      return null
    }
  }
}

/** Whatever reading throws that is no error of ours (a RangeError of a constructor, a stack that is full) is the bytes' fault. */
export function asWireError(error: unknown): Error {
  if (error instanceof EaglerayError) return error
  const tooDeep = error instanceof RangeError && /call stack/i.test(error.message)
  return new WireError(tooDeep ? 'the value is nested too deep to be read here' : `a malformed value: ${String(error)}`, { cause: error })
}

function define(object: object, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, writable: true, configurable: true, enumerable: true })
}
