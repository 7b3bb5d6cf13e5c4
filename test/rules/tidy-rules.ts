// SPDX-License-Identifier: Apache-2.0
// The shape of files and what may not stand in them. Each rule takes sources and gives one line per offence.

import { codeOnly, isCode, isTypeScript, lineOf, type Source } from './source.js'

const licence = 'SPDX-License-Identifier: Apache-2.0'

export const topLevelNames = new Set([
  ...['native', 'lib', 'bindings', 'bench', 'test', 'binding.gyp', 'CMakeLists.txt', 'package.json', 'package-lock.json', 'tsconfig.json'],
  ...['docs', 'examples', 'README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'LICENSE'],
])

export const sourceLinesMax = 500
export const testLinesMax = 800
export const functionLinesMax = 70

export function licenceLines(sources: Source[]): string[] {
  return sources
    .filter(({ path, text }) => isCode(path) && !firstCodeLine(text).includes(licence))
    .map(({ path }) => `${path}: the first line is not the licence line (${licence})`)
}

function firstCodeLine(text: string): string {
  const [first = '', second = ''] = text.split('\n', 2)
  return first.startsWith('#!') ? second : first
}

export function fileLengths(sources: Source[]): string[] {
  return sources.flatMap(({ path, text }) => {
    const limit = path.startsWith('test/') ? testLinesMax : sourceLinesMax
    const lines = text.trimEnd().split('\n').length
    return isCode(path) && lines > limit ? [`${path}: ${lines} lines, more than ${limit}`] : []
  })
}

export function allowedTopLevel(sources: Source[]): string[] {
  const names = new Set(sources.map(({ path }) => path.split('/')[0] ?? path))
  return [...names].filter(name => !name.startsWith('.') && !topLevelNames.has(name)).map(name => `${name}: not a name for the top level`)
}

const control = new Set(['if', 'for', 'while', 'switch', 'catch', 'with'])

/** Whether the `{` at `offset` opens the body of a function, judged by what stands before it. */
function opensFunction(code: string, offset: number): boolean {
  const before = code.slice(Math.max(0, offset - 400), offset).trimEnd()
  if (before.endsWith('=>')) return true
  // Strips what may stand between the parameter list and the body: a return type, `const`, `noexcept`.
  const head = before.replace(/\)\s*(?::\s*[^;={}()]+|const|noexcept|override|mutable|->\s*[^;{}()]+|\s)*$/, ')')
  if (!head.endsWith(')')) return false
  let depth = 0
  for (let i = head.length - 1; i >= 0; i--) {
    if (head[i] === ')') depth++
    else if (head[i] === '(' && --depth === 0) return !control.has(/(\w*)\s*$/.exec(head.slice(0, i))?.[1] ?? '')
  }
  return false
}

/** Functions longer than `functionLinesMax`. A mocha suite or a task-describing literal is a list, not a function: only what holds statements counts. */
export function functionLengths(sources: Source[]): string[] {
  return sources.filter(({ path }) => /\.(ts|mjs|cjs|cc|h)$/.test(path)).flatMap(longFunctions)
}

function longFunctions({ path, text }: Source): string[] {
  const code = codeOnly(text)
  const offences: string[] = []
  const open: { line: number; isFunction: boolean }[] = []
  let line = 1
  for (let i = 0; i < code.length; i++) {
    if (code[i] === '\n') line++
    else if (code[i] === '{') open.push({ line, isFunction: opensFunction(code, i) && !isSuite(text, i) })
    else if (code[i] === '}') {
      const start = open.pop()
      const lines = start?.isFunction ? line - start.line + 1 : 0
      if (start && lines > functionLinesMax)
        offences.push(`${path}:${start.line}: a function of ${lines} lines, more than ${functionLinesMax}`)
    }
  }
  return offences
}

const isSuite = (text: string, offset: number): boolean => /^\s*suite\(/.test(text.slice(text.lastIndexOf('\n', offset) + 1, offset))

/** What a core may not call, and what stands there instead. */
export const bannedInCore: readonly (readonly [RegExp, string])[] = [
  [/\bDate\b/, 'the `now` parameter'],
  [/\bMath\.random\b/, 'an injected random source'],
  [/\bcrypto\./, 'an injected random source'],
  [/\bset(Timeout|Interval|Immediate)\b/, '`deadline()`'],
  [/\bqueueMicrotask\b/, 'an effect'],
  [/\bprocess\.(env|pid|hrtime|nextTick|memoryUsage|on|exit)\b/, 'an input of the shell'],
  [/\bperformance\b/, 'the `now` parameter'],
  [/\bWeakRef\b/, 'an explicit release event'],
  [/\bFinalizationRegistry\b/, 'an explicit release event'],
  [/(?<![#.\w])await\b/, 'an effect and the event that answers it'],
  [/\bPromise\b/, 'an effect and the event that answers it'],
  [/\bconsole\./, 'an effect'],
]

export function coreCalls(sources: Source[]): string[] {
  return sources
    .filter(({ path }) => path.startsWith('lib/core/') && isTypeScript(path))
    .flatMap(({ path, text }) => {
      const code = codeOnly(text)
      return bannedInCore.flatMap(([pattern, instead]) => {
        const match = pattern.exec(code)
        return match ? [`${path}:${lineOf(code, match.index)}: \`${match[0]}\` in a core; use ${instead}`] : []
      })
    })
}

/** Spelled in pieces so that this file does not offend against itself. */
const machinePaths: readonly RegExp[] = [
  new RegExp(`/${'work'}/|/${'root'}/|/${'home'}/[a-z]|\\.${'library'}\\b|\\.\\./${'shared'}\\b`),
  new RegExp(`${'registry'}\\.(npmjs|yarnpkg)|${'npmjs'}\\.(org|com)/`),
]

export function machinePathsAndHosts(sources: Source[]): string[] {
  return offencesBy(sources, machinePaths, match => `\`${match}\` is of one machine or a registry`)
}

const unfinished: readonly RegExp[] = [new RegExp(`\\b(${'TO'}DO|${'FIX'}ME|${'XX'}X|${'HA'}CK)\\b`)]

export function unfinishedWork(sources: Source[]): string[] {
  return offencesBy(
    sources.filter(({ path }) => isCode(path) || path.endsWith('.md')),
    unfinished,
    match => `\`${match}\` is left`,
  )
}

/** A test may skip itself where an `if` finds that the platform lacks what it tests; nothing else is switched off. */
export function narrowedTests(sources: Source[]): string[] {
  const tests = sources.filter(({ path }) => path.startsWith('test/') && isTypeScript(path))
  const patterns = [/\b(suite|test|describe|it)\.(only|skip)\b/, /^(?!.*\bif \().*\bthis\.skip\(/m, /\bx(it|describe)\(/]
  return offencesBy(
    tests.map(({ path, text }) => ({ path, text: codeOnly(text) })),
    patterns,
    match => `\`${match}\` switches tests off`,
  )
}

/** C++ sources that no build lists and headers that nobody includes. */
export function deadNative(sources: Source[]): string[] {
  const native = sources.filter(({ path }) => /^(native|bindings)\//.test(path))
  const lists = sources
    .filter(({ path }) => /(^|\/)(CMakeLists\.txt|sources\.txt|bindings\.txt|tests\.txt)$|\.gyp$/.test(path))
    .map(({ text }) => text)
    .join('\n')
  const includes = new Set(sources.flatMap(({ text }) => [...text.matchAll(/#include "([^"]+)"/g)].map(([, name]) => baseName(name ?? ''))))
  return native.flatMap(({ path }) => {
    if (path.endsWith('.cc')) return lists.includes(baseName(path)) ? [] : [`${path}: in no list of sources`]
    if (path.endsWith('.h')) return includes.has(baseName(path)) ? [] : [`${path}: included by nobody`]
    return []
  })
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

function offencesBy(sources: Source[], patterns: readonly RegExp[], say: (match: string) => string): string[] {
  return sources.flatMap(({ path, text }) =>
    patterns.flatMap(pattern => {
      const match = pattern.exec(text)
      return match ? [`${path}:${lineOf(text, match.index)}: ${say(match[0])}`] : []
    }),
  )
}
