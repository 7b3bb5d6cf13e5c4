// SPDX-License-Identifier: Apache-2.0
// Loads what code refers to by name: exports of its modules and what those modules imported. All of it happens before
// the code is built, which is then synchronous; what was loaded once is kept.

import { createRequire, isBuiltin, Module } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { SerializationError } from '../../errors.js'
import { OWN_ENTRIES } from '../../own-files.js'
import type { BundleRecord, ImportRecord, ModuleEntry, ReferenceRecord } from './bundle.js'
import { rememberOrigin } from './identity.js'
import { toEsm } from './interop.js'
import { candidateFiles, fileHash, fileOf, localUrl, requireCache } from './module-files.js'
import { unwrap } from './reference.js'
import { scriptThatImports } from './script-imports.js'

/** Records that need a module. */
export type LoadedRecord = ImportRecord | ReferenceRecord | Extract<BundleRecord, { kind: 'exports' }>

const loaded = new Map<string, { value: unknown }>()
const loading = new Map<string, Promise<void>>()
const importers = new Map<string, (specifier: string) => Promise<Record<string, unknown>>>()

export function needsLoading(record: BundleRecord): record is LoadedRecord {
  return record.kind === 'import' || record.kind === 'reference' || record.kind === 'exports'
}

/** The value, once `load` has resolved for the same record. */
export function loadedValue(record: LoadedRecord, module: ModuleEntry): unknown {
  const found = loaded.get(keyOf(record, module))
  if (!found) throw new SerializationError(`${describe(record, module)} was not loaded`)
  return found.value
}

/** Null when it is loaded already. */
export function load(record: LoadedRecord, module: ModuleEntry): Promise<void> | null {
  const key = keyOf(record, module)
  if (loaded.has(key)) return null
  let pending = loading.get(key)
  if (!pending) {
    pending = loadNow(record, module)
      .then(value => {
        loaded.set(key, { value })
        if (record.kind !== 'exports') rememberOrigin(value, { record, module: { ...module, variables: [] } })
      })
      .finally(() => loading.delete(key))
    loading.set(key, pending)
  }
  return pending
}

function keyOf(record: LoadedRecord, module: ModuleEntry): string {
  const { kind, name = null, hash = '', how = '', specifier = '', interop = '' } = record as Partial<ImportRecord & ReferenceRecord>
  return JSON.stringify([kind, module.url, name, hash, how, specifier, interop])
}

function describe(record: LoadedRecord, { url }: ModuleEntry): string {
  if (record.kind === 'import') return `${record.name === null ? '' : `\`${record.name}\` of `}'${record.specifier}', imported by ${url},`
  return record.kind === 'reference' ? `\`${record.name}\` of ${url}` : `module ${url}`
}

async function loadNow(record: LoadedRecord, module: ModuleEntry): Promise<unknown> {
  if (record.kind === 'reference') return loadReference(record, module)
  const parent = localUrl(module.url, module.relative)
  try {
    if (record.kind === 'exports') return await requireFrom(parent, fileOf(parent)!)
    return await loadImport(record, parent)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new SerializationError(`${describe(record, module)} could not be loaded: ${reason}`, '', { cause })
  }
}

async function loadImport({ how, specifier, name, interop }: ImportRecord, parent: string): Promise<unknown> {
  const base = parent.startsWith('file:') ? parent : pathToFileURL(`${process.cwd()}/`).href
  if (how === 'require') {
    const exports = toEsm(await requireFrom(base, specifier), interop) as Record<string, unknown>
    return name === null ? exports : exports[name]
  }
  const namespace = await importFrom(base, specifier)
  if (name === null) return namespace
  if (!(name in namespace)) throw new TypeError(`there is no export of the name \`${name}\``)
  return namespace[name]
}

/** This package is always the one that runs here: two copies in one process would not know each other. */
const OWN_SPECIFIERS: Record<string, string> = { eagleray: 'index.js', 'eagleray/store': 'store.js', 'eagleray/testing': 'testing.js' }

/** A module of this package as it runs here, for `import` and `require`: loaders of TypeScript would make a `require`d copy of their own. */
async function ownModule(url: string): Promise<Record<string, unknown>> {
  const file = fileURLToPath(url)
  if (requireCache[file]?.loaded !== true) {
    const exports = (await import(url)) as Record<string, unknown>
    requireCache[file] = Object.assign(new Module(file), { filename: file, loaded: true, exports })
  }
  return requireCache[file]!.exports as Record<string, unknown>
}

async function requireFrom(parent: string, specifier: string): Promise<unknown> {
  await ownModule(`${OWN_ENTRIES}index.js`)
  return createRequire(parent)(specifier)
}

/** Imports a module as a file at `parent` (a file: URL) would. */
export function importFrom(parent: string, specifier: string): Promise<Record<string, unknown>> {
  const own = Object.hasOwn(OWN_SPECIFIERS, specifier) ? OWN_SPECIFIERS[specifier]! : null
  if (own !== null) return ownModule(OWN_ENTRIES + own)
  if (isBuiltin(specifier)) return import(specifier)
  let importer = importers.get(parent)
  if (!importer) {
    importer = scriptThatImports('specifier => import(specifier)', { filename: parent }).runInThisContext() as typeof importer & {}
    importers.set(parent, importer)
  }
  return importer(specifier)
}

async function loadReference(record: ReferenceRecord, module: ModuleEntry): Promise<Function> {
  const files = candidateFiles(module.url, module.relative)
  const file = files.find(candidate => fileHash(candidate) === record.hash)
  if (file === undefined) throw mismatch(record, module, files)
  const url = file === fileOf(module.url) ? module.url : pathToFileURL(file).href
  const exports: unknown = url.startsWith(OWN_ENTRIES)
    ? await ownModule(url)
    : module.esm
      ? await import(url)
      : await requireFrom(url, file)
  const value = record.name === '' ? exports : (exports as Record<string, unknown>)[record.name]
  const fn = unwrap(value) ?? value
  if (typeof fn !== 'function') throw new SerializationError(`${describe(record, module)} is no function in ${file}`)
  return fn
}

function mismatch(record: ReferenceRecord, module: ModuleEntry, files: string[]): SerializationError {
  const what = describe(record, module)
  if (files.length === 0) {
    return new SerializationError(
      `${what}: the module is not here, neither at that path nor as ${module.relative} in the project of ${process.cwd()}`,
    )
  }
  const here = files.map(file => `${file} (sha256 ${fileHash(file).slice(0, 12)}…)`).join(' and ')
  const there = `${fileOf(module.url)} (sha256 ${record.hash.slice(0, 12)}…)`
  return new SerializationError(
    `${what}: ${here} is not the same source as ${there} was when the function was sent; bring them to the same version`,
  )
}
