// SPDX-License-Identifier: Apache-2.0
// What travels: a list of records that point at one another by index, in JSON, and after it the encoded values.
//
//   u32 magic and version | u32 JSON bytes | JSON: BundleHead | zeros up to 64 | values, each at a multiple of 64
//
// A function by reference is a bundle whose root is a `reference`; a function by value is one whose root is a
// `function`. A record stands for one value of the sending process, however many functions use it, so identity and
// cycles come out right. All numbers are little-endian.

import type { Interop } from './module-bindings.js'

/** A module that code came from. */
export interface ModuleEntry {
  /** As the engine knew it; '' when it was no module (`new Function`). */
  url: string
  /** The file from its project's root, so that another checkout of the project serves; null when there is no file. */
  relative: string | null
  esm: boolean
  strict: boolean
  /** The module's own variables that captured functions use: name to record. Functions of one module share them. */
  variables: [string, number][]
}

export interface FunctionRecord {
  kind: 'function'
  module: number
  name: string
  text: string
  form: 'plain' | 'member'
  isClass: boolean
  /** Names a class for ever, so that a worker that meets it twice has it once; null for functions. */
  classId: string | null
  /** Where the text starts in the source the user wrote, from 0. */
  line: number
  column: number
  /** Variables between the function and its module: name to record. */
  locals: [string, number][]
  /** Records that a class uses while it is being defined. */
  eager: number[]
  /** Properties put on the function, and on its prototype, after it was made. */
  properties: [string, number][]
  prototype: [string, number][]
  /** For constructor functions whose prototype inherits: the record of the parent. */
  parent: number | null
}

/** An export of a module, wanted as the module's own. */
export interface ReferenceRecord {
  kind: 'reference'
  module: number
  /** '' is the whole of `module.exports`. */
  name: string
  /** sha256 of the module's file, hexadecimal. */
  hash: string
}

/** What a module imported; `name` null is the namespace. */
export interface ImportRecord {
  kind: 'import'
  module: number
  how: 'import' | 'require'
  specifier: string
  name: string | null
  interop: Interop
}

export type BundleRecord =
  | FunctionRecord
  | ReferenceRecord
  | ImportRecord
  /** All of a CommonJS module's exports, found by identity. */
  | { kind: 'exports'; module: number }
  /** The `require` of a module. */
  | { kind: 'require'; module: number }
  | { kind: 'meta'; module: number; field: 'filename' | 'dirname' }
  /** Of the language or of Node, see known-values.ts. */
  | { kind: 'known'; specifier: string | null; path: string[] }
  /** A function that compilers put into the code, see compiler-helpers.ts. */
  | { kind: 'helper'; name: string }
  | { kind: 'symbol'; id: string; description: string | null }
  /** What `remote()` made of a function or class. */
  | { kind: 'remote'; fn: number; options: number }
  /** Null, a boolean, string or number as it is; `undefined` has no `value`. */
  | { kind: 'plain'; value?: null | boolean | string | number }
  /** An encoded value. */
  | { kind: 'value'; offset: number; length: number }

export interface BundleHead {
  root: number
  modules: ModuleEntry[]
  records: BundleRecord[]
}

export interface Bundle extends BundleHead {
  /** Where the offsets of `value` records count from. */
  values: Uint8Array
}

const MAGIC = 0x01_66_72_65 // "erf", version 1
const PREFIX_BYTES = 8
export const VALUE_ALIGNMENT = 64

export function alignUp(bytes: number): number {
  return Math.ceil(bytes / VALUE_ALIGNMENT) * VALUE_ALIGNMENT
}

/** `valueBytes` long zeros follow the head; `fill` writes the values there. */
export function writeBundle(head: BundleHead, valueBytes: number, fill: (target: Uint8Array, offset: number) => void): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(head))
  const start = alignUp(PREFIX_BYTES + json.length)
  const bytes = new Uint8Array(start + valueBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, json.length, true)
  bytes.set(json, PREFIX_BYTES)
  fill(bytes, start)
  return bytes
}

/** Throws a RangeError for bytes that are no bundle. */
export function readBundle(bytes: Uint8Array): Bundle {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < PREFIX_BYTES || view.getUint32(0, true) !== MAGIC) throw new RangeError('these bytes are no function of this version')
  const length = view.getUint32(4, true)
  if (PREFIX_BYTES + length > bytes.length) throw new RangeError('a function was cut short')
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + length))) as BundleHead
  if (!Array.isArray(head.records) || !Array.isArray(head.modules) || !head.records[head.root])
    throw new RangeError('a function without a root')
  return { ...head, values: bytes.subarray(Math.min(bytes.length, alignUp(PREFIX_BYTES + length))) }
}
