// SPDX-License-Identifier: Apache-2.0
// What cannot travel, why, and what to do instead.

import { createRequire } from 'node:module'
import { types } from 'node:util'
import { SerializationError } from '../errors.js'

const HERE_ONLY = 'it belongs to this process; open it where it is used, for example in the task or in the constructor of an actor'
const ASYNC_BODY = 'read it first, and pass what it holds'

/** Classes of Node that hold a handle, by name; each is confirmed by `instanceof` before it is blamed. */
const byModule: Record<string, [names: string[], hint: string]> = {
  stream: [['Stream'], HERE_ONLY],
  net: [['Server', 'BlockList'], HERE_ONLY],
  http: [['Agent'], HERE_ONLY],
  dgram: [['Socket'], HERE_ONLY],
  child_process: [['ChildProcess'], HERE_ONLY],
  worker_threads: [['Worker', 'MessagePort', 'MessageChannel', 'BroadcastChannel'], HERE_ONLY],
  crypto: [['KeyObject', 'X509Certificate'], 'export it, and pass the exported form'],
  fs: [['Dir', 'FSWatcher', 'StatWatcher'], HERE_ONLY],
  readline: [['Interface'], HERE_ONLY],
  async_hooks: [['AsyncLocalStorage', 'AsyncResource'], HERE_ONLY],
}
const byGlobal: Record<string, string> = {
  Blob: ASYNC_BODY,
  Response: ASYNC_BODY,
  Request: ASYNC_BODY,
  FormData: 'pass its entries as an array',
  Headers: 'pass its entries as an array',
  AbortController: 'cancel the task instead',
  EventTarget: HERE_ONLY,
  Event: HERE_ONLY,
  ReadableStream: ASYNC_BODY,
  WritableStream: HERE_ONLY,
  TransformStream: HERE_ONLY,
  WebSocket: HERE_ONLY,
  TextDecoder: HERE_ONLY,
  TextEncoder: HERE_ONLY,
  CryptoKey: 'export it, and pass the exported form',
}

const load = createRequire(import.meta.url)

/** The SerializationError of a culprit at `path`. */
export function refusal(path: string, text: string, cause?: unknown): SerializationError {
  return new SerializationError(`${path}: ${text}`, path, cause === undefined ? {} : { cause })
}

/** Why an object of no known class cannot travel, as a sentence; null when nothing speaks against it. */
export function whyRefused(value: object): string | null {
  if (types.isPromise(value)) return 'a Promise cannot be serialised; await it first'
  if (types.isWeakMap(value) || types.isWeakSet(value)) return `${aName(value)} cannot be serialised; nobody can see what it holds`
  if (types.isGeneratorObject(value))
    return 'a generator cannot be serialised; collect its values in an array first, or stream them from a task'
  if (types.isModuleNamespaceObject(value)) return 'a module cannot be serialised; import it where it is used'
  if (types.isExternal(value)) return 'a pointer of a native library cannot be serialised'
  const hint = nodeHint(value)
  if (hint !== null) return `${aName(value)} cannot be serialised; ${hint}`
  const type = constructorOf(value)
  if (type === null)
    return 'an object made with Object.create cannot be serialised, for its prototype is no class; spread it into a plain object'
  if (/\[native code\]\s*}$/.test(Function.prototype.toString.call(type))) return `${aName(value)} cannot be serialised`
  return null
}

/** The class an object is a direct instance of; null when its prototype is not that of a class. */
export function constructorOf(value: object): Function | null {
  const prototype = Object.getPrototypeOf(value)
  const type: unknown = prototype !== null && Object.hasOwn(prototype, 'constructor') ? prototype.constructor : null
  return typeof type === 'function' && type.prototype === prototype ? type : null
}

/** The name of an object's class, and of nothing that could throw. */
export function nameOf(value: object): string {
  try {
    const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
    return typeof name === 'string' && name !== '' ? name : 'object'
  } catch {
    return 'Proxy'
  }
}

export function aName(value: object): string {
  const name = nameOf(value)
  return `${/^[AEIOU]/i.test(name) && !name.startsWith('URL') ? 'an' : 'a'} ${name}`
}

function nodeHint(value: object): string | null {
  const names = new Set<string>()
  for (let each = Object.getPrototypeOf(value); each !== null; each = Object.getPrototypeOf(each)) {
    const name: unknown = Object.hasOwn(each, 'constructor') ? each.constructor?.name : undefined
    if (typeof name === 'string') names.add(name)
  }
  for (const name of names) {
    const type: unknown = (globalThis as Record<string, unknown>)[name]
    if (Object.hasOwn(byGlobal, name) && typeof type === 'function' && value instanceof type) return byGlobal[name]!
  }
  for (const [module, [classes, hint]] of Object.entries(byModule)) {
    for (const name of classes) {
      if (!names.has(name)) continue
      const type: unknown = load(`node:${module}`)[name]
      if (typeof type === 'function' && value instanceof type) return hint
    }
  }
  return isUnexported(value, names) ? HERE_ONLY : null
}

/** Timers and file handles, whose classes Node does not export. */
function isUnexported(value: object, names: Set<string>): boolean {
  if (names.has('Timeout')) {
    const timer = setTimeout(() => {}, 0)
    clearTimeout(timer)
    if (value.constructor === timer.constructor) return true
  }
  if (names.has('Immediate')) {
    const immediate = setImmediate(() => {})
    clearImmediate(immediate)
    if (value.constructor === immediate.constructor) return true
  }
  return names.has('FileHandle') && 'fd' in value && 'createReadStream' in value
}
