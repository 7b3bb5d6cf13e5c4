// SPDX-License-Identifier: Apache-2.0
// From a bundle back to a function: first everything is loaded that needs a promise, then everything is built in one go.
//
// Order of building: all functions are created first (a function needs its variables only when called). Then values are
// decoded and classes defined, each on demand, because a class may extend another, use a value in a static field, and
// a value may hold instances of a class. Whenever a class is about to be defined, the variables known so far are filled
// in; at the end all of them are.

import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Bundle, type BundleRecord, type FunctionRecord, type ModuleEntry, readBundle } from './bundle.js'
import { type FunctionContext, RebuiltValues } from './captured-values.js'
import { type CompiledFunction, type CompiledModule, compileModule } from './compile.js'
import { compilerHelper } from './compiler-helpers.js'
import { classOf, rememberClass, rememberSource, symbolOf } from './identity.js'
import { resolveKnown } from './known-values.js'
import { loadersFor } from './late-loaders.js'
import { load, loadedValue, needsLoading } from './load.js'
import { fileOf, localUrl } from './module-files.js'

/** Loads what the code needs; null when nothing is left to load. */
export function prepareFunction(bytes: Uint8Array, context: FunctionContext): Promise<void> | null {
  const bundle = readBundle(bytes)
  const loaders = loadersFor(bundle)
  if (loaders !== null) return loaders.then(() => prepareFunction(bytes, context) ?? undefined)
  const values = new RebuiltValues(context, () => null)
  const pending: Promise<void>[] = []
  for (const record of bundle.records) {
    const promise = needsLoading(record)
      ? load(record, bundle.modules[record.module]!)
      : record.kind === 'value'
        ? values.prepare(valueBytes(bundle, record))
        : null
    if (promise) pending.push(promise)
  }
  return pending.length > 0 ? Promise.all(pending).then(() => undefined) : null
}

/** Builds the function. Everything must have been loaded by `prepareFunction`. */
export function buildFunction(bytes: Uint8Array, context: FunctionContext): Function {
  const bundle = readBundle(bytes)
  const root = bundle.records[bundle.root]!
  if (root.kind === 'function' && root.classId !== null) {
    const known = classOf(root.classId)
    if (known) return known
  }
  const build = new Build(bundle, context)
  const fn = build.root()
  if (root.kind === 'function') rememberSource(fn, { bytes: bytes.slice(), references: build.references })
  return fn
}

function valueBytes(bundle: Bundle, { offset, length }: { offset: number; length: number }): Uint8Array {
  return bundle.values.subarray(offset, offset + length)
}

class Build {
  private readonly bundle: Bundle
  private readonly context: FunctionContext
  private readonly values: RebuiltValues
  private readonly live: unknown[] = []
  private readonly done = new Set<number>()
  private readonly inProgress = new Set<number>()
  private readonly compiled = new Map<number, CompiledFunction>()
  private readonly modules: { entry: ModuleEntry; code: CompiledModule }[] = []

  constructor(bundle: Bundle, context: FunctionContext) {
    this.bundle = bundle
    this.context = context
    this.values = new RebuiltValues(context, index => this.ensure(index))
  }

  get references(): object[] {
    return this.values.references
  }

  root(): Function {
    const { records, root } = this.bundle
    for (const [i, record] of records.entries()) this.adoptKnown(record, i)
    this.compileModules()
    const inOrder = records.map((_, i) => i).sort((a, b) => lineOf(records[a]!) - lineOf(records[b]!))
    for (const i of inOrder) this.ensure(i)
    this.fill()
    for (const [i, record] of records.entries()) this.assign(record, i)
    return this.live[root] as Function
  }

  /** A class that this process has already is that class. */
  private adoptKnown(record: BundleRecord, index: number): void {
    if (record.kind !== 'function' || record.classId === null) return
    const known = classOf(record.classId)
    if (!known) return
    this.live[index] = known
    this.done.add(index)
  }

  private compileModules(): void {
    const { modules, records } = this.bundle
    modules.forEach((entry, m) => {
      const members = records.flatMap((record, i) => (record.kind === 'function' && record.module === m && !this.done.has(i) ? [i] : []))
      if (members.length === 0) return
      const url = localUrl(entry.url, entry.relative)
      const functions = members.map(i => records[i] as FunctionRecord)
      const variables = entry.variables.map(([name]) => name)
      const code = compileModule({ url, esm: entry.esm, strict: entry.strict, variables, functions }, metaOf(url))
      this.modules.push({ entry, code })
      for (const [k, fn] of code.functions.entries()) this.compiled.set(members[k]!, fn)
    })
    for (const [index, code] of this.compiled) {
      const record = records[index] as FunctionRecord
      if (record.isClass) continue
      this.live[index] = named(code.create(), record)
      if (record.classId !== null) rememberClass(record.classId, this.live[index] as Function)
      this.done.add(index)
    }
  }

  /** The value of a record, built now if it is not there yet. A class that is being defined is undefined until it is. */
  private ensure(index: number): unknown {
    if (this.done.has(index) || this.inProgress.has(index)) return this.live[index]
    this.inProgress.add(index)
    this.live[index] = this.build(this.bundle.records[index]!, index)
    this.inProgress.delete(index)
    this.done.add(index)
    return this.live[index]
  }

  private build(record: BundleRecord, index: number): unknown {
    const module = 'module' in record ? this.bundle.modules[record.module]! : null
    const url = module ? localUrl(module.url, module.relative) : ''
    switch (record.kind) {
      case 'function':
        return this.defineClass(record, index)
      case 'import':
      case 'reference':
      case 'exports':
        return loadedValue(record, module!)
      case 'require':
        return createRequire(url.startsWith('file:') ? url : pathToFileURL(`${process.cwd()}/`))
      case 'meta':
        return record.field === 'filename' ? fileOf(url) : dirname(fileOf(url) ?? '')
      case 'known':
        return resolveKnown(record)
      case 'helper':
        return compilerHelper(record.name)
      case 'symbol':
        return symbolOf(record.id, record.description)
      case 'plain':
        return record.value
      case 'value':
        return this.values.decode(valueBytes(this.bundle, record))
      case 'remote':
        if (!this.context.remotes) throw new RangeError('remote functions cannot be rebuilt here')
        return this.context.remotes.decode(this.ensure(record.fn) as Function, this.ensure(record.options))
    }
  }

  private defineClass(record: FunctionRecord, index: number): Function {
    const reached = new Set<number>([index])
    for (const needed of record.eager) this.ensureReachable(needed, record, reached)
    this.fill()
    const defined = named(this.compiled.get(index)!.create(), record)
    rememberClass(record.classId!, defined)
    return defined
  }

  /** What a class needs while it is defined, also through the functions it may call then; not classes that come after it. */
  private ensureReachable(index: number, of: FunctionRecord, reached: Set<number>): void {
    if (reached.has(index)) return
    reached.add(index)
    const record = this.bundle.records[index]!
    const isLater = record.kind === 'function' && record.isClass && record.module === of.module && record.line > of.line
    if (isLater && !of.eager.includes(index)) return
    this.ensure(index)
    if (record.kind !== 'function' || record.isClass) return
    for (const [, variable] of record.locals) this.ensureReachable(variable, of, reached)
    for (const [, variable] of this.bundle.modules[record.module]!.variables) this.ensureReachable(variable, of, reached)
  }

  /** Gives every function the variables that are there by now. */
  private fill(): void {
    for (const { entry, code } of this.modules) code.fill(this.environment(entry.variables))
    for (const [index, code] of this.compiled) code.fill(this.environment((this.bundle.records[index] as FunctionRecord).locals))
  }

  private environment(variables: [string, number][]): Record<string, unknown> {
    const environment: Record<string, unknown> = Object.create(null)
    for (const [name, index] of variables) environment[name] = this.live[index]
    return environment
  }

  private assign(record: BundleRecord, index: number): void {
    if (record.kind !== 'function' || !this.compiled.has(index)) return
    const fn = this.live[index] as Function & { prototype: object }
    if (record.parent !== null) Object.setPrototypeOf(fn.prototype, (this.live[record.parent] as { prototype: object }).prototype)
    for (const [key, value] of record.properties) define(fn, key, this.live[value])
    for (const [key, value] of record.prototype) define(fn.prototype, key, this.live[value])
  }
}

function define(holder: object, key: string, value: unknown): void {
  Object.defineProperty(holder, key, { value, writable: true, enumerable: true, configurable: true })
}

/** Names inferred from a variable are not in the text. */
function named(fn: Function, { name }: FunctionRecord): Function {
  const own = Object.getOwnPropertyDescriptor(fn, 'name')
  const inferred = !own || (own.configurable === true && typeof own.value === 'string')
  if (inferred && fn.name !== name) Object.defineProperty(fn, 'name', { value: name, configurable: true })
  return fn
}

/** Source order is the order in which classes were defined. */
function lineOf(record: BundleRecord): number {
  return record.kind === 'function' ? record.line : -1
}

/** What `import.meta` was, as far as it has a meaning in another process. */
function metaOf(url: string): object {
  const filename = fileOf(url)
  const resolve = (specifier: string): string => {
    if (/^(node|file|data):/.test(specifier)) return specifier
    if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, url).href
    return pathToFileURL(createRequire(url).resolve(specifier)).href
  }
  return filename === null ? { url } : { url, filename, dirname: dirname(filename), resolve }
}
