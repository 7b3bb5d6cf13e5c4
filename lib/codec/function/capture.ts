// SPDX-License-Identifier: Apache-2.0
// One capture: from a function to the records of everything it needs. Synchronous, so that `.remote()` throws at the call.
//
// A value met again is the same record, and so is a variable of one module met in two functions: in the other process
// the functions share it, as they do here. A record gets its index before what it refers to is captured; that ends cycles.

import { types } from 'node:util'
import { SerializationError } from '../../errors.js'
import { assignedTo } from './assigned.js'
import { isClassNode } from './ast.js'
import type { BundleRecord, FunctionRecord, ModuleEntry, ReferenceRecord } from './bundle.js'
import { CapturedValues, type FunctionContext } from './captured-values.js'
import { isCompilerHelper } from './compiler-helpers.js'
import { classId, originOf, symbolId } from './identity.js'
import { Inspection } from './inspection.js'
import { isRequire, knownValue } from './known-values.js'
import { fileOf, isEntry, pathInProject, requireCache } from './module-files.js'
import { IMPORT_META, isNative, PARENT, portableText } from './parse.js'
import { findCjsReference, findReference, unwrap } from './reference.js'
import { type CallSite, scriptUrl } from './site.js'
import { lookUp, refuseSurroundings, type Subject, subjectOf, type Variable } from './subject.js'

export interface CaptureOptions {
  env: Record<string, unknown> | null
  site: CallSite | null
  context: FunctionContext
  /** Where the root is in a value, for messages; null when it is what `remote()` was given. */
  path: string | null
}

/** Who refers to a value: by what name or path, and on whose behalf. */
interface Referrer {
  name: string
  /** Null for the root. */
  subject: Subject | null
}

export class Capture {
  readonly modules: ModuleEntry[] = []
  readonly records: BundleRecord[] = []
  readonly values: CapturedValues
  private readonly options: CaptureOptions
  private readonly inspection = new Inspection()
  private readonly indices = new Map<unknown, number>()
  /** By module and name; also what `env` gives, by name alone. */
  private readonly variables = new Map<string, number>()
  private readonly moduleIndices = new Map<string, number>()
  private exportsByValue: Map<unknown, string> | null = null
  private rootModule: number | null = null
  /** Whose value is being encoded: functions inside it are captured on its behalf. */
  private encodingFor: Subject | null = null

  constructor(options: CaptureOptions) {
    this.options = options
    this.values = new CapturedValues(options.context, (value, path) => this.object(value, { name: path, subject: this.encodingFor }))
  }

  /** Captures what `remote()` or a value was given; the index of its record. */
  root(fn: Function): number {
    try {
      return this.object(fn, { name: this.options.path ?? fn.name, subject: null })
    } finally {
      this.inspection.close()
    }
  }

  private add(record: BundleRecord): number {
    return this.records.push(record) - 1
  }

  private remember(value: unknown, record: BundleRecord): number {
    const index = this.add(record)
    this.indices.set(value, index)
    return index
  }

  private moduleIndex(url: string, esm: boolean, strict: boolean): number {
    let index = this.moduleIndices.get(url)
    if (index === undefined) {
      const file = fileOf(url)
      index = this.modules.push({ url, relative: file && pathInProject(file), esm, strict, variables: [] }) - 1
      this.moduleIndices.set(url, index)
    }
    return index
  }

  private adoptModule(module: ModuleEntry): number {
    return this.moduleIndex(module.url, module.esm, module.strict)
  }

  /** Anything that a variable can hold. */
  private value(value: unknown, from: Referrer): number {
    const known = this.indices.get(value)
    if (known !== undefined) return known
    if (typeof value === 'symbol') return this.symbol(value)
    if (!isPrimitive(value)) return this.object(value as object, from)
    if (value === undefined) return this.add({ kind: 'plain' })
    const isPlain = typeof value === 'number' ? Number.isFinite(value) && !Object.is(value, -0) : typeof value !== 'bigint'
    return isPlain ? this.add({ kind: 'plain', value: value as null | boolean | string | number }) : this.encoded(value, from)
  }

  private symbol(value: symbol): number {
    const key = Reflect.ownKeys(Symbol).find(name => typeof name === 'string' && Reflect.get(Symbol, name) === value)
    if (typeof key === 'string') return this.remember(value, { kind: 'known', specifier: null, path: ['Symbol', key] })
    if (Symbol.keyFor(value) !== undefined) return this.encoded(value, { name: 'symbol', subject: null })
    return this.remember(value, { kind: 'symbol', id: symbolId(value), description: value.description ?? null })
  }

  /** The order matters: what has a name everywhere goes by that name before anything is taken apart. */
  private object(value: object, from: Referrer): number {
    const index = this.indices.get(value)
    if (index !== undefined) return index
    if (unwrap(value)) return this.wrapper(value, from)
    const origin = originOf(value)
    if (origin) return this.remember(value, { ...origin.record, module: this.adoptModule(origin.module) })
    const known = knownValue(value)
    if (known) return this.remember(value, { kind: 'known', ...known })
    if (typeof value === 'function') return this.functionOrClass(value, from)
    const file = this.exportedFrom(value)
    if (file !== null) return this.remember(value, { kind: 'exports', module: this.moduleIndex(scriptUrl(file), false, false) })
    if (types.isModuleNamespaceObject(value)) {
      throw this.refusal(from, 'a module namespace travels only when a static import gives it its name')
    }
    return this.encoded(value, from)
  }

  private wrapper(value: object, from: Referrer): number {
    const parts = this.options.context.remotes?.encode(value) ?? null
    if (!parts) throw this.refusal(from, 'remote functions and actor classes cannot travel here')
    const record: BundleRecord = { kind: 'remote', fn: -1, options: -1 }
    const index = this.remember(value, record)
    record.fn = this.object(parts.fn, from)
    record.options = this.value(parts.options, { ...from, name: `${from.name}.options` })
    return index
  }

  private encoded(value: unknown, from: Referrer): number {
    const record = { kind: 'value' as const, offset: 0, length: 0 }
    const index = typeof value === 'object' ? this.remember(value, record) : this.add(record)
    const outer = this.encodingFor
    this.encodingFor = from.subject
    Object.assign(record, this.values.add(value, from.name, from.subject?.label ?? `\`${from.name}\``))
    this.encodingFor = outer
    return index
  }

  /** The file whose whole `module.exports` a value is; the program's entry excepted. */
  private exportedFrom(value: object): string | null {
    this.exportsByValue ??= new Map(
      Object.entries(requireCache).flatMap(([file, module]): [unknown, string][] =>
        module?.loaded && !isEntry(file) ? [[module.exports, file]] : [],
      ),
    )
    return this.exportsByValue.get(value) ?? null
  }

  private functionOrClass(fn: Function, from: Referrer): number {
    if (isRequire(fn)) {
      const facts = from.subject?.facts
      if (facts) return this.add({ kind: 'require', module: this.moduleIndex(facts.url, facts.esm, facts.strict) })
    }
    if (from.subject && isNative(fn)) throw this.refusal(from, 'a native or bound function has no source that could travel')
    const subject = this.subject(fn, from)
    return this.byReference(subject) ?? this.byValue(subject, from)
  }

  private subject(fn: Function, from: Referrer): Subject {
    const isClass = /^class\b/.test(Function.prototype.toString.call(fn))
    const likely = [from.subject?.facts?.url ?? null, this.options.site?.url ?? null].filter(url => url !== null)
    if (from.subject) return subjectOf(fn, this.inspection, likely, isClass ? 'class' : 'function', ` of ${from.subject.label}`)
    if (this.options.path !== null)
      return subjectOf(fn, this.inspection, likely, isClass ? 'class' : 'function', ` at ${this.options.path}`)
    return subjectOf(fn, this.inspection, likely, isClass ? 'actor class' : 'remote function', '')
  }

  private byReference({ fn, parsed, at, facts }: Subject): number | null {
    if (!at) {
      const found = findCjsReference(fn)
      return (
        found && this.remember(fn, { kind: 'reference', module: this.moduleIndex(scriptUrl(found.file), false, false), ...found.record })
      )
    }
    const found: Omit<ReferenceRecord, 'module'> | null = facts ? findReference(fn, parsed.text, at, facts) : null
    return found && facts && this.remember(fn, { ...found, module: this.moduleIndex(facts.url, facts.esm, facts.strict) })
  }

  private byValue(subject: Subject, from: Referrer): number {
    const { fn, parsed, facts, place } = subject
    refuseSurroundings(subject)
    if (facts?.url.startsWith('node:')) throw this.refusal(from, 'a function inside Node has no name to find it by elsewhere')
    const unseen = subject.at ? '' : (this.options.site?.url ?? '')
    const module = this.moduleIndex(facts?.url ?? unseen, facts?.esm ?? false, facts?.strict ?? false)
    if (from.subject === null) this.rootModule ??= module
    const assigned = assignedTo(fn, parsed)
    const isClass = isClassNode(parsed.node)
    const name: unknown = Object.getOwnPropertyDescriptor(fn, 'name')?.value
    const record: FunctionRecord = {
      kind: 'function',
      module,
      name: typeof name === 'string' ? name : '',
      text: portableText(parsed, fn.name),
      form: parsed.form,
      isClass,
      classId: isClass || assigned.prototype.length > 0 ? classId(fn) : null,
      line: place ? place.line - 1 : 0,
      column: place ? place.column - 1 : 0,
      locals: [],
      eager: [],
      properties: [],
      prototype: [],
      parent: null,
    }
    const index = this.remember(fn, record)
    for (const free of parsed.free.names) this.capture(free, subject, record, from.subject === null)
    const parent: unknown = isClass ? Object.getPrototypeOf(fn) : null
    if (typeof parent === 'function' && parent !== Function.prototype) {
      const parentIndex = this.object(parent, { name: `the parent of ${fn.name || 'the class'}`, subject })
      record.locals.push([PARENT, parentIndex])
      record.eager.push(parentIndex)
    }
    const property =
      (path: string) =>
      ([key, value]: [string, unknown]): [string, number] => [key, this.value(value, { name: `${path}.${key}`, subject })]
    record.properties = assigned.own.map(property(fn.name))
    record.prototype = assigned.prototype.map(property(`${fn.name}.prototype`))
    record.parent = assigned.parent && this.object(assigned.parent, { name: `${fn.name}.prototype`, subject })
    return index
  }

  /** Notes one free name in the function's record, or in its module's. */
  private capture(name: string, subject: Subject, record: FunctionRecord, isRoot: boolean): void {
    if (name === IMPORT_META && subject.facts?.generated) return
    const { env } = this.options
    const note = (index: number, into: [string, number][]): void => {
      into.push([name, index])
      if (subject.parsed.free.eager.has(name)) record.eager.push(index)
    }
    if (env && Object.hasOwn(env, name) && (isRoot || record.module === this.rootModule)) {
      return note(
        this.shared(`env ${name}`, () => this.value(env[name], { name, subject })),
        record.locals,
      )
    }
    const variable = lookUp(subject, name)
    if (!variable) return
    if (!variable.topLevel) return note(this.variable(name, variable, subject), record.locals)
    const key = `${record.module} ${name}`
    const index = this.shared(key, () => this.variable(name, variable, subject))
    const { variables } = this.modules[record.module]!
    if (!variables.some(([known]) => known === name)) variables.push([name, index])
    if (subject.parsed.free.eager.has(name)) record.eager.push(index)
  }

  private shared(key: string, capture: () => number): number {
    let index = this.variables.get(key)
    if (index === undefined) {
      index = capture()
      this.variables.set(key, index)
    }
    return index
  }

  private variable(name: string, { value, topLevel }: Variable, subject: Subject): number {
    if (isCompilerHelper(name, value)) return this.add({ kind: 'helper', name })
    const { facts } = subject
    if (topLevel && facts && !facts.generated) {
      const module = this.moduleIndex(facts.url, facts.esm, facts.strict)
      const binding = isPrimitive(value) ? null : facts.imports.get(name)
      if (binding) return this.add({ kind: 'import', module, ...binding })
      if (!facts.esm && (name === '__filename' || name === '__dirname')) {
        return this.add({ kind: 'meta', module, field: name === '__filename' ? 'filename' : 'dirname' })
      }
      // Some loaders give a `require` that does not look like the usual one.
      if (!facts.esm && name === 'require' && typeof value === 'function' && 'resolve' in value)
        return this.add({ kind: 'require', module })
      if (!facts.esm && name === 'module' && value === requireCache[facts.file ?? '']) {
        throw this.refusal({ name, subject }, 'the `module` object belongs to its process; take what is needed from it into a constant')
      }
    }
    return this.value(value, { name, subject })
  }

  private refusal({ name, subject }: Referrer, reason: string): SerializationError {
    const message = subject ? `captured variable \`${name}\` of ${subject.label}: ${reason}` : `${name}: ${reason}`
    return new SerializationError(message, name)
  }
}

/** What has no identity is as good by value, also when it was imported. */
function isPrimitive(value: unknown): boolean {
  return (typeof value !== 'object' || value === null) && typeof value !== 'function'
}
