// SPDX-License-Identifier: Apache-2.0
// Who may import whom: edges between the files of lib/, and the rules over them.

import { posix } from 'node:path'
import { isTypeScript, lineOf, type Source, withoutComments } from './source.js'

export interface Edge {
  from: string
  line: number
  specifier: string
  /** The file in the repository that it names; null for a package or a `node:` module. */
  target: string | null
  /** Followed while the module is loaded: not erased by the compiler, no program to be started, no `import()`. */
  loads: boolean
}

const importPattern = /^[ \t]*(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\s+from\s+)?(['"])([^'"\n]+)\2/gm
const dynamicPattern = /\b(?:import\(\s*|new URL\(\s*)(['"])([^'"\n]+)\1/g

export function edges({ path, text }: Source): Edge[] {
  const code = withoutComments(text)
  const found: Edge[] = []
  const add = (offset: number, specifier: string, loads: boolean) =>
    found.push({ from: path, line: lineOf(code, offset), specifier, target: resolve(path, specifier), loads })
  for (const match of code.matchAll(importPattern)) add(match.index, match[3] ?? '', match[1] === undefined)
  for (const match of code.matchAll(dynamicPattern)) add(match.index, match[2] ?? '', false)
  return found
}

function resolve(from: string, specifier: string): string | null {
  const named = specifier.startsWith('#lib/') ? `lib/${specifier.slice(5)}` : specifier
  if (named.startsWith('lib/')) return named.replace(/\.js$/, '.ts')
  if (!named.startsWith('.')) return null
  return posix.join(posix.dirname(from), named).replace(/\.js$/, '.ts')
}

const library = (sources: Source[]): Source[] => sources.filter(({ path }) => path.startsWith('lib/') && isTypeScript(path))
const where = (edge: Edge): string => `${edge.from}:${edge.line}`

const coreMayImport = /^lib\/(core\/.+|wire\/messages|ids|errors|options)\.ts$/

export function coreImports(sources: Source[]): string[] {
  return library(sources)
    .filter(({ path }) => path.startsWith('lib/core/'))
    .flatMap(edges)
    .filter(edge => edge.target === null || !coreMayImport.test(edge.target))
    .map(edge => `${where(edge)}: a core imports ${edge.specifier}`)
}

/** Where Node's modules may be imported. `core`, `wire` and the tables of limits and errors stay free of them. */
const nodeAllowed = /^lib\/((native|store|testing)\.ts$|(io|run|codec|cli|api)\/)/

export function nodeImports(sources: Source[], allowed: RegExp = nodeAllowed): string[] {
  return library(sources)
    .filter(({ path }) => !allowed.test(path))
    .flatMap(edges)
    .filter(edge => edge.specifier.startsWith('node:'))
    .map(edge => `${where(edge)}: imports ${edge.specifier}; only the edges may (io, run, codec, cli, api, native, store, testing)`)
}

/** Imports of files that are not there (a compiler says so too, but not of `new URL(...)`). */
export function brokenImports(sources: Source[]): string[] {
  const present = new Set(sources.map(({ path }) => path))
  return library(sources)
    .flatMap(edges)
    .filter(edge => edge.target?.endsWith('.ts') && !present.has(edge.target))
    .map(edge => `${where(edge)}: ${edge.specifier} is not there`)
}

/** Each cycle of imports at load time once, as the list of its files. */
export function importCycles(sources: Source[]): string[] {
  const graph = new Map(library(sources).map(source => [source.path, loadedTargets(source)]))
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' → '))
    if (at >= 0 || done.has(path)) return
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) visit(path, [])
  return cycles
}

const loadedTargets = (source: Source): string[] =>
  edges(source)
    .filter(edge => edge.loads && edge.target !== null)
    .map(edge => edge.target as string)

/** The roots: what package.json exports or runs, and what is started as a process of its own by a path in the code. */
export function deadFiles(sources: Source[], entryPoints: readonly string[]): string[] {
  const byPath = new Map(library(sources).map(source => [source.path, source]))
  const reached = new Set<string>()
  const queue = entryPoints.filter(path => byPath.has(path))
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const source = byPath.get(path)
    if (!source || reached.has(path)) continue
    reached.add(path)
    for (const { target } of edges(source)) if (target !== null) queue.push(target)
  }
  return [...byPath.keys()].filter(path => !reached.has(path)).map(path => `${path}: nothing that is exported or run reaches it`)
}

/** Every file under core that exports a class, which is to say state and the steps that change it, is reached from a unit test through cores alone. */
export function untestedCores(sources: Source[]): string[] {
  const byPath = new Map(sources.map(source => [source.path, source]))
  const reached = new Set<string>()
  const queue = sources.map(({ path }) => path).filter(path => /^test\/unit\/.*\.test\.ts$/.test(path))
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const source = byPath.get(path)
    if (!source || reached.has(path)) continue
    reached.add(path)
    queue.push(...loadedTargets(source).filter(target => /^(test|lib\/core)\//.test(target)))
  }
  return library(sources)
    .filter(({ path, text }) => path.startsWith('lib/core/') && /^export class /m.test(text))
    .filter(({ path }) => !reached.has(path))
    .map(({ path }) => `${path}: no unit test reaches it`)
}
