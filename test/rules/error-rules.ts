// SPDX-License-Identifier: Apache-2.0
// Every error that a user can meet is provoked by a test: some test asserts that what came is an instance of it.

import { codeOnly, type Source } from './source.js'

/** Classes that nothing in this version raises, with what has to come first. One that a test provokes must not stand here. */
export const raisedLater: Readonly<Record<string, string>> = {}

/** Classes that are only the base of others. */
const bases = new Set(['EaglerayError', 'ActorError'])

/** Tests of how errors travel make them themselves; that provokes nothing. */
const provokes = (path: string): boolean => /^test\/(e2e|unit)\/.*\.test\.ts$/.test(path) && !/^test\/unit\/(codec\/|errors\.)/.test(path)

export function unprovokedErrors(sources: Source[], later: Readonly<Record<string, string>> = raisedLater): string[] {
  const errors = sources.find(({ path }) => path === 'lib/errors.ts')
  if (errors === undefined) return []
  const classes = [...errors.text.matchAll(/^export class (\w+)/gm)].map(([, name]) => name as string).filter(name => !bases.has(name))
  const tests = sources.filter(({ path }) => provokes(path)).map(({ text }) => codeOnly(text))
  const offences = Object.keys(later)
    .filter(name => !classes.includes(name))
    .map(name => `${name}: in the list of those raised later, and there is no such class`)
  for (const name of classes) {
    const provoked = tests.some(code => asserts(code, name))
    if (provoked && name in later) offences.push(`${name}: a test provokes it, so it is not one raised later`)
    if (!provoked && !(name in later)) offences.push(`${name}: no test provokes it`)
  }
  return offences
}

/** `instanceof X`, but not `!(e instanceof X)`; or `rejects(…, X)` and `throws(…, X)`. */
function asserts(code: string, name: string): boolean {
  const is = new RegExp(`(?<!!\\([\\w.]+ )\\binstanceof (\\w+\\.)?${name}\\b`)
  const comes = new RegExp(`\\b(rejects|throws)\\([^;]*?,\\s*(\\w+\\.)?${name}\\b`)
  return is.test(code) || comes.test(code)
}
