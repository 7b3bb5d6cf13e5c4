// SPDX-License-Identifier: Apache-2.0
// Modules as files: which project they belong to, which one is the program's entry, and what is in them.

import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const hashes = new Map<string, string>()
const roots = new Map<string, string | null>()

/** The cache that all CommonJS modules of this process share. */
export const requireCache: NodeJS.Dict<NodeJS.Module> = createRequire(import.meta.url).cache

export function fileOf(url: string): string | null {
  return url.startsWith('file:') ? fileURLToPath(url) : null
}

/** sha256 of a file's content, hexadecimal; read once. Throws where the file cannot be read. */
export function fileHash(file: string): string {
  let hash = hashes.get(file)
  if (hash === undefined) {
    hash = process.getBuiltinModule('node:crypto').createHash('sha256').update(readFileSync(file)).digest('hex')
    hashes.set(file, hash)
  }
  return hash
}

/** The nearest directory with a package.json at or above `directory` that is not an installed package; null when there is none. */
export function projectRoot(directory: string): string | null {
  const installed = directory.indexOf(`${sep}node_modules`)
  const from = installed >= 0 ? directory.slice(0, installed) || sep : directory
  let root = roots.get(from)
  if (root === undefined) {
    const above = dirname(from)
    root = existsSync(join(from, 'package.json')) ? from : above === from ? null : projectRoot(above)
    roots.set(from, root)
  }
  return root
}

/** The file from its project's root; null when it belongs to no project. */
export function pathInProject(file: string): string | null {
  const root = projectRoot(dirname(file))
  return root === null ? null : relative(root, file)
}

let relocated: { from: string; to: string } | null = null

/** This process works on a copy of a directory: modules of that are taken from the copy. */
export function relocate(from: string, to: string): void {
  relocated = { from, to }
}

/** Where a module of another process may be here, best first: in the copy this process works on, at the same path, or in this process's checkout of the project. */
export function candidateFiles(url: string, inProject: string | null): string[] {
  const file = fileOf(url)
  const root = projectRoot(process.cwd())
  const files = file === null ? [] : [file]
  if (file !== null && relocated !== null && file.startsWith(relocated.from + sep))
    files.unshift(join(relocated.to, relative(relocated.from, file)))
  if (root !== null && inProject !== null) files.push(join(root, inProject))
  return [...new Set(files)].filter(path => existsSync(path))
}

/** The module's URL here; the URL there when no candidate exists. */
export function localUrl(url: string, inProject: string | null): string {
  const [file] = candidateFiles(url, inProject)
  if (file === undefined || file === fileOf(url)) return url
  return pathToFileURL(file).href
}

/** Whether a file is the one this process was started with: another process that imported it would start the program again. */
export function isEntry(file: string): boolean {
  entry ??= findEntry()
  return entry.has(file)
}

let entry: Set<string> | null = null

function findEntry(): Set<string> {
  const files = new Set<string>()
  const require = createRequire(join(process.cwd(), 'entry.js'))
  if (require.main) files.add(require.main.filename)
  const given = process.argv[1]
  if (given === undefined) return files
  files.add(given)
  try {
    const file = require.resolve(given)
    files.add(file)
    files.add(realpathSync(file))
  } catch {
    // A program started by other means than a file: nothing to protect.
  }
  return files
}
