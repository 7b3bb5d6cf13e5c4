// SPDX-License-Identifier: Apache-2.0
// What a document may claim about the tree: every path, file, function, link and script it names is there.

import { posix } from 'node:path'
import type { Source } from './source.js'

const isDocument = ({ path }: Source): boolean => path.endsWith('.md')
const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

interface Span {
  line: number
  text: string
}

/** The text in single backticks, outside fenced blocks. */
function codeSpans(text: string): Span[] {
  let fenced = false
  return text.split('\n').flatMap((line, index) => {
    if (/^\s*(```|~~~)/.test(line)) fenced = !fenced
    return fenced ? [] : [...line.matchAll(/`([^`]+)`/g)].map(match => ({ line: index + 1, text: match[1] ?? '' }))
  })
}

const folders = '(?:native|lib|bindings|bench|test|docs|examples|\\.ci)'
const pathPattern = new RegExp(`^${folders}(?:/[\\w.*@-]+)*/?$`)
const filePattern = /^[\w.-]+\.(?:ts|mjs|cjs|cc|h|md|py|gyp)$/

/** A path from the root, possibly with `*`, or the bare name of a source file. */
export function namedPaths(sources: Source[]): string[] {
  const paths = sources.map(({ path }) => path)
  const names = new Set(paths.map(baseName))
  return sources.filter(isDocument).flatMap(document =>
    codeSpans(document.text).flatMap(({ line, text }) => {
      const isPath = text.includes('/') && pathPattern.test(text)
      const missing = isPath ? !paths.some(matcher(text)) : filePattern.test(text) && !names.has(text)
      return missing ? [`${document.path}:${line}: there is no ${text}`] : []
    }),
  )
}

function matcher(named: string): (path: string) => boolean {
  const bare = named.replace(/\/$/, '')
  const pattern = bare.replace(/[.+^$(){}|[\]\\]/g, '\\$&').replace(/\*+/g, '[^/]*')
  const exact = new RegExp(`^${pattern}(/|$)`)
  return path => exact.test(path)
}

const hopPattern = /`?([\w./-]+\.(?:ts|cc|h))`? → `?([\w.]+)(?:\(\))?`?/g

/** `file.ts → function`: the file exists and declares or calls something of that name. */
export function namedHops(sources: Source[]): string[] {
  return sources.filter(isDocument).flatMap(document =>
    [...document.text.matchAll(hopPattern)].flatMap(match => {
      const [, file = '', name = ''] = match
      const line = document.text.slice(0, match.index).split('\n').length
      const found = sources.filter(({ path }) => path === file || path.endsWith(`/${file}`))
      if (found.length === 0) return [`${document.path}:${line}: there is no ${file}`]
      const last = name.slice(name.lastIndexOf('.') + 1)
      const declared = found.some(({ text }) => new RegExp(`\\b${last}\\b`).test(text))
      return declared ? [] : [`${document.path}:${line}: ${file} has no ${name}`]
    }),
  )
}

/** Links to files of the repository and to headings resolve. */
export function links(sources: Source[]): string[] {
  const byPath = new Map(sources.map(source => [source.path, source]))
  const isThere = (path: string): boolean =>
    byPath.has(path) || sources.some(source => source.path.startsWith(`${path.replace(/\/$/, '')}/`))
  return sources.filter(isDocument).flatMap(document =>
    [...document.text.matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].flatMap(match => {
      const target = match[1] ?? ''
      if (/^[a-z]+:/.test(target)) return []
      const [file = '', anchor] = target.split('#')
      const path = file === '' ? document.path : posix.join(posix.dirname(document.path), file)
      const where = `${document.path}:${document.text.slice(0, match.index).split('\n').length}`
      if (!isThere(path)) return [`${where}: the link to ${target} leads nowhere`]
      const text = byPath.get(path)?.text
      return anchor !== undefined && text !== undefined && !anchors(text).has(anchor) ? [`${where}: ${path} has no heading #${anchor}`] : []
    }),
  )
}

/** The anchors that a forge makes of the headings. */
function anchors(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+\s+(.+)$/gm)].map(match => match[1] ?? '')
  return new Set(
    headings.map(heading =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    ),
  )
}

/** Every `npm run x` names a script of the package. */
export function scripts(sources: Source[]): string[] {
  const manifest = sources.find(({ path }) => path === 'package.json')
  const known = new Set(Object.keys((JSON.parse(manifest?.text ?? '{}') as { scripts?: object }).scripts ?? {}))
  return sources.filter(isDocument).flatMap(document =>
    [...document.text.matchAll(/npm run ([\w:-]+)/g)].flatMap(match => {
      const name = match[1] ?? ''
      return known.has(name) ? [] : [`${document.path}: there is no script ${name}`]
    }),
  )
}

/** Each row of the tables of a document ends with a test, as `path`: “title”; both exist. */
export function namedTests(sources: Source[], path: string): string[] {
  const document = sources.find(source => source.path === path)
  if (document === undefined) return [`${path}: there is no such document`]
  return document.text.split('\n').flatMap((text, i) => {
    if (!text.startsWith('| ') || text.startsWith('| --- ') || text.startsWith('| what ')) return []
    const [, file, title] = /`([^`]+)`: “([^”]+)” \|$/.exec(text) ?? []
    const named = sources.find(source => source.path === file)
    if (file === undefined || title === undefined) return [`${path}:${i + 1}: the row ends with no test`]
    if (named === undefined) return [`${path}:${i + 1}: there is no ${file}`]
    return named.text.includes(`test('${title}'`) || named.text.includes(`test(\`${title}\``)
      ? []
      : [`${path}:${i + 1}: ${file} has no test “${title}”`]
  })
}
