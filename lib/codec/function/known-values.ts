// SPDX-License-Identifier: Apache-2.0
// Values that every process has of its own: what is reachable from `globalThis` (`Math.floor`, `Object.prototype`) and
// what Node's built-in modules export. They travel by name.

import { builtinModules, createRequire } from 'node:module'

/** `specifier` null: a path from `globalThis`. Else a path into the exports of that built-in module. */
export interface KnownValue {
  specifier: string | null
  path: string[]
}

type Table = Map<unknown, KnownValue>

/** Three tables, each made when first asked for: the code of most programs only ever needs the first. */
let objects: Table | null = null
let engineFunctions: Table | null = null
let nodeFunctions: Table | null = null
let modulesLoaded = 0

/** How any process can find this very value of the language or of Node; null for the user's own values. */
export function knownValue(value: object): KnownValue | null {
  const loaded = (process as unknown as { moduleLoadList?: string[] }).moduleLoadList ?? []
  if (loaded.length !== modulesLoaded) objects = nodeFunctions = null
  modulesLoaded = loaded.length
  if (typeof value !== 'function') {
    objects ??= readObjects(loaded)
    return objects.get(value) ?? objects.get(defaultOfNamespace(value)) ?? null
  }
  if (isEngineFunction(value)) {
    engineFunctions ??= readGlobalFunctions(true)
    const known = engineFunctions.get(value)
    if (known) return known
  }
  nodeFunctions ??= readNodeFunctions(loaded)
  return nodeFunctions.get(value) ?? null
}

/** The value in this process. */
export function resolveKnown(known: KnownValue): unknown {
  let value: unknown = known.specifier === null ? globalThis : process.getBuiltinModule(known.specifier)
  for (const key of known.path) value = (value as Record<string, unknown>)[key]
  return value
}

/** The `require` of some module: all of them share one cache. */
export function isRequire(value: unknown): boolean {
  if (typeof value !== 'function' || !('resolve' in value) || !('cache' in value)) return false
  return value.cache === createRequire(import.meta.url).cache
}

/** `import * as fs from 'node:fs'` gives a namespace object around the same exports. */
function defaultOfNamespace(value: unknown): unknown {
  return Object.prototype.toString.call(value) === '[object Module]' ? (value as { default?: unknown }).default : undefined
}

/** Only modules that are loaded already: a value of any other cannot be in the user's hands, and loading has side effects. */
function builtins(loaded: string[]): [specifier: string, exports: unknown][] {
  const names = new Set(loaded.map(entry => entry.replace(/^NativeModule /, '')))
  const here = builtinModules.filter(name => !name.startsWith('_') && names.has(name))
  return here.map(name => [`node:${name}`, process.getBuiltinModule(`node:${name}`)])
}

function readObjects(loaded: string[]): Table {
  const table: Table = new Map([[globalThis, { specifier: null, path: [] }]])
  for (const [name, value] of dataProperties(globalThis)) {
    if (NODE_NAMES.has(name)) note(table, value, { specifier: null, path: [name] })
    if (typeof value !== 'function' || !(NODE_NAMES.has(name) || isEngineFunction(value))) continue
    note(table, Object.getOwnPropertyDescriptor(value, 'prototype')?.value, { specifier: null, path: [name, 'prototype'] })
  }
  for (const [specifier, exports] of builtins(loaded)) {
    note(table, exports, { specifier, path: [] })
    for (const [key, value] of dataProperties(exports)) if (typeof value !== 'function') note(table, value, { specifier, path: [key] })
  }
  return table
}

/** Functions on `globalThis`, on what stands there, and on prototypes: of the engine, or of Node. */
function readGlobalFunctions(ofEngine: boolean): Table {
  const table: Table = new Map()
  for (const [name, value] of dataProperties(globalThis)) {
    if (!ofEngine && !NODE_NAMES.has(name)) continue
    noteFunction(table, value, [name])
    for (const [key, member] of dataProperties(value)) {
      noteFunction(table, member, [name, key])
      if (key !== 'prototype') continue
      for (const [method, fn] of dataProperties(member)) if (method !== 'constructor') noteFunction(table, fn, [name, key, method])
    }
  }
  return table
}

function readNodeFunctions(loaded: string[]): Table {
  const table = readGlobalFunctions(false)
  for (const [specifier, exports] of builtins(loaded)) {
    if (typeof exports === 'function') note(table, exports, { specifier, path: [] })
    for (const [key, value] of dataProperties(exports)) if (typeof value === 'function') note(table, value, { specifier, path: [key] })
  }
  return table
}

/** Globals of the language that are objects, and those of Node that a fresh process has too; not what the user put there. */
const NODE_NAMES = new Set(
  (
    'Math JSON Reflect Atomics Intl WebAssembly console process performance crypto navigator ' +
    'setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask structuredClone atob btoa fetch ' +
    'AbortController AbortSignal Blob BroadcastChannel Buffer DOMException Event EventTarget FormData Headers MessageChannel MessagePort ' +
    'Performance ReadableStream Request Response TextDecoder TextEncoder TransformStream URL URLSearchParams WebSocket WritableStream'
  ).split(' '),
)

function isEngineFunction(fn: Function): boolean {
  return Function.prototype.toString.call(fn).endsWith('{ [native code] }')
}

function noteFunction(table: Table, value: unknown, path: string[]): void {
  if (typeof value === 'function') note(table, value, { specifier: null, path })
}

function note(found: Table, value: unknown, known: KnownValue): void {
  const identifiable = (typeof value === 'object' && value !== null) || typeof value === 'function'
  if (identifiable && !found.has(value)) found.set(value, known)
}

/** Own properties that are plain values: reading an accessor could warn or do work. */
function dataProperties(holder: unknown): [string, unknown][] {
  if ((typeof holder !== 'object' && typeof holder !== 'function') || holder === null) return []
  return Object.entries(Object.getOwnPropertyDescriptors(holder)).flatMap(([key, d]): [string, unknown][] =>
    'value' in d ? [[key, d.value]] : [],
  )
}
