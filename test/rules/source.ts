// SPDX-License-Identifier: Apache-2.0
// The repository as data: every file git tracks or would track, with its text, for the rules to judge.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Source {
  /** Relative to the root of the repository, with forward slashes. */
  path: string
  text: string
}

export const root = fileURLToPath(new URL('../..', import.meta.url))

const textual = /\.(ts|mts|cts|mjs|cjs|js|cc|h|py|md|json|txt|yml|yaml|gyp|html|css)$|(^|\/)(CMakeLists\.txt|LICENSE|run|\.[a-z]+)$/

/** Every file that is committed or about to be. Binary files come with an empty text. */
export function repository(): Source[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  return listed
    .split('\n')
    .filter(path => path !== '' && existsSync(join(root, path)) && statSync(join(root, path)).isFile())
    .map(path => ({ path, text: textual.test(path) ? readFileSync(join(root, path), 'utf8') : '' }))
}

export const isCode = (path: string): boolean => /\.(ts|mjs|cjs|cc|h|py)$/.test(path)
export const isTypeScript = (path: string): boolean => path.endsWith('.ts')

const lexemes =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`|(?<=[=(,:[!&|?{;\n]\s*)\/(?![*/])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g

/** The text with comments, strings and regular expressions blanked out, character for character, so that offsets and lines stay. */
export function codeOnly(text: string): string {
  return text.replace(lexemes, match => match.replace(/[^\n]/g, ' '))
}

/** The text with comments blanked out and strings kept. */
export function withoutComments(text: string): string {
  return text.replace(lexemes, match => (match.startsWith('//') || match.startsWith('/*') ? match.replace(/[^\n]/g, ' ') : match))
}

export function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}
