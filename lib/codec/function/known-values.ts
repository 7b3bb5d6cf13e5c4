// SPDX-License-Identifier: Apache-2.0
// Values that every process has of its own: what is reachable from `globalThis` (`Math.floor`, `Object.prototype`) and
// what Node's built-in modules export. They travel by name.

import { builtinModules, createRequire, isBuiltin } from 'node:module'

/** `specifier` null: a path from `globalThis`. Else a path into the exports of that built-in module. */
export interface KnownValue {
  specifier: string | null
  path: string[]
}

let globals: Map<unknown, KnownValue> | null = null
let builtins: Map<unknown, KnownValue> | null = null
let builtinsLoaded = 0

/** How any process can find this very value of the language or of Node; null for the user's own values. */
export function knownValue(value: unknown): KnownValue | null {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return null
  globals ??= readGlobals()
  const fromGlobal = globals.get(value)
  if (fromGlobal) return fromGlobal
  const loaded = loadedModules()
  if (!builtins || loaded.length !== builtinsLoaded) {
    builtins = readBuiltins(loaded)
    builtinsLoaded = loaded.length
  }
  return builtins.get(value) ?? builtins.get(defaultOfNamespace(value)) ?? null
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
function loadedModules(): string[] {
  const list = (process as unknown as { moduleLoadList?: string[] }).moduleLoadList ?? []
  const names = new Set(list.map(entry => entry.replace(/^NativeModule /, '')))
  return builtinModules.filter(name => !name.startsWith('_') && names.has(name) && isBuiltin(name))
}

function readBuiltins(names: string[]): Map<unknown, KnownValue> {
  const found = new Map<unknown, KnownValue>()
  for (const name of names) {
    const specifier = `node:${name}`
    const exports: unknown = process.getBuiltinModule(specifier)
    note(found, exports, { specifier, path: [] })
    for (const [key, value] of dataProperties(exports)) note(found, value, { specifier, path: [key] })
  }
  return found
}

function readGlobals(): Map<unknown, KnownValue> {
  const found = new Map<unknown, KnownValue>([[globalThis, { specifier: null, path: [] }]])
  for (const [name, value] of dataProperties(globalThis)) {
    if (!isStandard(name, value)) continue
    note(found, value, { specifier: null, path: [name] })
    for (const [key, member] of dataProperties(value)) {
      if (key === 'prototype') {
        note(found, member, { specifier: null, path: [name, key] })
        for (const [method, fn] of dataProperties(member)) if (method !== 'constructor') noteFunction(found, fn, [name, key, method])
      } else noteFunction(found, member, [name, key])
    }
  }
  return found
}

/** The globals a fresh Node process has too; what the user put on `globalThis` is not among them. */
function isStandard(name: string, value: unknown): boolean {
  if (typeof value === 'function') return /^[A-Z]/.test(name) ? isEngineFunction(value) : isEngineFunction(value) || NODE_FUNCTIONS.has(name)
  return NODE_OBJECTS.has(name)
}

const NODE_OBJECTS = new Set(['Math', 'JSON', 'Reflect', 'Atomics', 'Intl', 'WebAssembly', 'console', 'process', 'performance', 'crypto', 'navigator'])
const NODE_FUNCTIONS = new Set(
  'setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask structuredClone atob btoa fetch'.split(' '),
)
const NODE_CLASSES = new Set(
  ('AbortController AbortSignal Blob BroadcastChannel Buffer DOMException Event EventTarget FormData Headers MessageChannel MessagePort ' +
    'Performance ReadableStream Request Response TextDecoder TextEncoder TransformStream URL URLSearchParams WebSocket WritableStream').split(' '),
)

function isEngineFunction(fn: Function): boolean {
  return NODE_CLASSES.has(fn.name) || Function.prototype.toString.call(fn).endsWith('{ [native code] }')
}

/** A method the user added to a standard class is the user's. */
function noteFunction(found: Map<unknown, KnownValue>, value: unknown, path: string[]): void {
  if (typeof value !== 'function') return
  const ofNode = NODE_CLASSES.has(path[0]!) || NODE_OBJECTS.has(path[0]!)
  if (ofNode || isEngineFunction(value)) note(found, value, { specifier: null, path })
}

function note(found: Map<unknown, KnownValue>, value: unknown, known: KnownValue): void {
  const identifiable = (typeof value === 'object' && value !== null) || typeof value === 'function'
  if (identifiable && !found.has(value)) found.set(value, known)
}

/** Own properties that are plain values: reading an accessor could warn or do work. */
function dataProperties(holder: unknown): [string, unknown][] {
  if ((typeof holder !== 'object' && typeof holder !== 'function') || holder === null) return []
  return Object.entries(Object.getOwnPropertyDescriptors(holder)).flatMap(([key, d]): [string, unknown][] => ('value' in d ? [[key, d.value]] : []))
}
