// SPDX-License-Identifier: Apache-2.0
// What this process remembers of functions and classes that came or went, so that one thing stays one thing.
//
// A class gets an id for ever when it first travels by value. A worker that meets the id twice has one class, and the
// process it came from gets its own class back, so `instanceof` holds everywhere. Nothing here keeps a class alive.

import type { BundleRecord, ModuleEntry } from './bundle.js'

/** How a value that was loaded from a module came here, so that it can leave the same way. */
export interface Origin {
  record: Extract<BundleRecord, { kind: 'import' | 'reference' }>
  module: ModuleEntry
}

/** What a rebuilt function was rebuilt from. */
export interface Source {
  bytes: Uint8Array
  references: object[]
}

let process64 = ''
let nextId = 0

/** Unique among all processes. */
function freshId(): string {
  if (process64 === '') process64 = process.getBuiltinModule('node:crypto').randomBytes(8).toString('hex')
  return `${process64}.${nextId++}`
}

const classIds = new WeakMap<Function, string>()
const classes = new Map<string, WeakRef<Function>>()
const forgotten = new FinalizationRegistry<string>(id => {
  if (!classes.get(id)?.deref()) classes.delete(id)
})
const origins = new WeakMap<object, Origin>()
const sources = new WeakMap<Function, Source>()
const symbolIds = new Map<symbol, string>()
const symbols = new Map<string, symbol>()

/** The id of a class, given now if it has none. */
export function classId(fn: Function): string {
  const known = classIds.get(fn)
  if (known !== undefined) return known
  const id = freshId()
  rememberClass(id, fn)
  return id
}

export function rememberClass(id: string, fn: Function): void {
  classIds.set(fn, id)
  classes.set(id, new WeakRef(fn))
  forgotten.register(fn, id)
}

/** The class of that id, if this process has it. */
export function classOf(id: string): Function | null {
  return classes.get(id)?.deref() ?? null
}

/** Unique symbols live as long as the process: code made of them may come again at any time. */
export function symbolId(symbol: symbol): string {
  const known = symbolIds.get(symbol)
  if (known !== undefined) return known
  const id = freshId()
  symbolIds.set(symbol, id)
  symbols.set(id, symbol)
  return id
}

export function symbolOf(id: string, description: string | null): symbol {
  const known = symbols.get(id)
  if (known !== undefined) return known
  const symbol = Symbol(description ?? undefined)
  symbolIds.set(symbol, id)
  symbols.set(id, symbol)
  return symbol
}

export function originOf(value: object): Origin | null {
  return origins.get(value) ?? null
}

/** The first way a value came stays its origin. Primitives have none: they travel as what they are. */
export function rememberOrigin(value: unknown, origin: Origin): void {
  if ((typeof value === 'object' && value !== null) || typeof value === 'function') {
    if (!origins.has(value)) origins.set(value, origin)
  }
}

export function sourceOf(fn: Function): Source | null {
  return sources.get(fn) ?? null
}

export function rememberSource(fn: Function, source: Source): void {
  sources.set(fn, source)
}
