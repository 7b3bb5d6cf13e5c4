// SPDX-License-Identifier: Apache-2.0
// Captured values that are neither functions nor modules go through the value codec. Functions inside them become
// records of the same bundle, so a class and its instances captured together stay together; inside a value's bytes such
// a function is its record's index, and so is a wrapper made by `remote()`.

import { SerializationError } from '../../errors.js'
import type { CodecContext, FunctionCodec, ReferenceCodec } from '../context.js'
import { Decoder, Encoder, writeEncoded } from '../value.js'
import { alignUp } from './bundle.js'
import { unwrap } from './reference.js'

/** How remote functions and actor classes travel inside code: as what they wrap and the options they were given. */
export interface RemoteCodec {
  /** Null when `wrapper` is none. */
  encode(wrapper: object): { fn: Function; options: unknown } | null
  decode(fn: Function, options: unknown): object
}

/** What capturing and rebuilding ask of the runtime. */
export interface FunctionContext extends CodecContext {
  remotes?: RemoteCodec | null
}

/** First byte of a wrapper's wire form where references stand; the runtime's own kinds are below it. */
const REMOTE_KIND = 0xff

export class CapturedValues {
  /** Refs and handles met in values. */
  readonly references: object[] = []
  private readonly context: CodecContext
  private readonly parts: { bytes: Uint8Array; offset: number }[] = []
  private length = 0

  /** `record` captures a function or wrapper and gives the index of its record. */
  constructor(context: FunctionContext, record: (value: object, path: string) => number) {
    const functions: FunctionCodec = {
      encode: (fn, path) => indexBytes(record(fn, path)),
      prepare: () => null,
      decode: () => {
        throw new TypeError('a capture decodes nothing')
      },
    }
    const references: ReferenceCodec = {
      encode: value => {
        if (unwrap(value)) return Uint8Array.of(REMOTE_KIND, ...indexBytes(record(value, '')))
        const bytes = context.references?.encode(value) ?? null
        if (bytes) this.references.push(value)
        return bytes
      },
      decode: functions.decode,
    }
    this.context = { references, functions }
  }

  get byteLength(): number {
    return this.length
  }

  /** `name` is where paths start; `label` names the function that captured the value. */
  add(value: unknown, name: string, label: string): { offset: number; length: number } {
    const bytes = this.encode(value, name, label)
    const offset = this.length
    this.parts.push({ bytes, offset })
    this.length = alignUp(offset + bytes.length)
    return { offset, length: bytes.length }
  }

  writeTo(target: Uint8Array, start: number): void {
    for (const { bytes, offset } of this.parts) target.set(bytes, start + offset)
  }

  /** An encoder of its own each time: one value's functions may capture another value while the first is being written. */
  private encode(value: unknown, name: string, label: string): Uint8Array {
    try {
      const encoded = new Encoder(this.context).encode(value, name)
      const bytes = new Uint8Array(encoded.byteLength)
      writeEncoded(encoded, bytes, 0)
      return bytes
    } catch (error) {
      if (!(error instanceof SerializationError) || error.message.startsWith('captured variable')) throw error
      const path = error.path || name
      const reason = error.message.startsWith(`${path}: `) ? error.message.slice(path.length + 2) : error.message
      throw new SerializationError(`captured variable \`${path}\` of ${label}: ${reason}`, path, { cause: error })
    }
  }
}

/** The other side: values that refer to records of their bundle. `live` gives a record's value, building it if need be. */
export class RebuiltValues {
  /** Refs and handles met in values. */
  readonly references: object[] = []
  private readonly decoder: Decoder

  constructor(context: FunctionContext, live: (index: number) => unknown) {
    this.decoder = new Decoder({
      functions: { encode: refuse, prepare: () => null, decode: bytes => live(readIndex(bytes)) as Function },
      references: {
        encode: refuse,
        decode: bytes => {
          if (bytes[0] === REMOTE_KIND) return live(readIndex(bytes.subarray(1))) as object
          if (!context.references) throw new RangeError('captured references cannot be read here')
          const reference = context.references.decode(bytes)
          this.references.push(reference)
          return reference
        },
      },
    })
  }

  /** Null when the value needs nothing loaded. */
  prepare(bytes: Uint8Array): Promise<void> | null {
    return this.decoder.prepare(bytes)
  }

  /** Copied out: code outlives the message it came in. */
  decode(bytes: Uint8Array): unknown {
    return this.decoder.decode(bytes, false)
  }
}

function refuse(): never {
  throw new TypeError('a rebuild encodes nothing')
}

function indexBytes(index: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, index, true)
  return bytes
}

function readIndex(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true)
}
