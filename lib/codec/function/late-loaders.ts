// SPDX-License-Identifier: Apache-2.0
// Loaders of TypeScript that this process was to be started with, but gets only when it first has to load a module of the
// user's: to register one takes longer than the rest of a worker's start, and most workers never import a file.
//
// Built-in modules, this package and installed packages are JavaScript and need none. Everything else may be TypeScript,
// or import it: code that imports by itself (`import()`, `require`) as well.

import { createRequire, isBuiltin } from 'node:module'
import { isAbsolute, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { OWN_CODE } from '../../own-files.js'
import type { Bundle, BundleRecord } from './bundle.js'

/** What Node takes a loader by: `tsx`, a path, or a URL. */
let late: readonly string[] = []
/** Where names among them are found from. */
let from = process.cwd()
let registered: Promise<void> | null = null

/** Only for loaders that can be imported at any time. */
export function loadLate(specifiers: readonly string[], directory: string): void {
  late = specifiers
  from = directory
}

/** Null when the code needs no loader, or they are there. */
export function loadersFor({ records, modules }: Bundle): Promise<void> | null {
  if (late.length === 0) return null
  const urlOf = (record: BundleRecord): string => ('module' in record ? modules[record.module]!.url : '')
  return records.some(record => mayNeedLoader(record, urlOf(record))) ? registerLoaders() : null
}

/** Registers them, once. */
export async function registerLoaders(): Promise<void> {
  registered ??= (async () => {
    const require = createRequire(join(from, 'worker.js'))
    for (const specifier of late) {
      const isUrl = specifier.startsWith('file:')
      await import(isUrl ? specifier : pathToFileURL(isAbsolute(specifier) ? specifier : require.resolve(specifier)).href)
    }
    late = []
  })()
  return registered
}

function mayNeedLoader(record: BundleRecord, url: string): boolean {
  switch (record.kind) {
    case 'function':
      return /\b(import|require)\b/.test(record.text)
    case 'require':
      return true
    case 'reference':
    case 'exports':
      return !url.startsWith(OWN_CODE) && !isInstalled(url)
    case 'import':
      return !isBuiltin(record.specifier) && !/^eagleray(\/|$)/.test(record.specifier) && !isPackage(record.specifier, url)
    default:
      return false
  }
}

/** Whether it is JavaScript of an installed package, as Node by itself finds it. */
function isPackage(specifier: string, parent: string): boolean {
  if (!parent.startsWith('file:') || /^[./#]|^file:/.test(specifier)) return false
  try {
    return isInstalled(createRequire(parent).resolve(specifier))
  } catch {
    return false
  }
}

function isInstalled(place: string): boolean {
  return place.includes('/node_modules/') && /\.([cm]?js|json|node)$/.test(place)
}
