// SPDX-License-Identifier: Apache-2.0
// By reference: does the module that defines a function export it, so that another process can import it from there?

import { type AstNode, identifier, nodeIn, nodesIn } from './ast.js'
import type { ReferenceRecord } from './bundle.js'
import type { Inspected } from './inspection.js'
import type { ModuleFacts } from './module-facts.js'
import { fileHash, isEntry, requireCache } from './module-files.js'
import { userFrames } from './site.js'

/** `remote(fn)` and `remote(Class)` give wrappers; under this key a wrapper holds what it wraps. */
export const WRAPPED: unique symbol = Symbol.for('eagleray.remote') as never

/** What a wrapper wraps, or null for anything else. */
export function unwrap(value: unknown): Function | null {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return null
  const inner = (value as { [WRAPPED]?: unknown })[WRAPPED]
  return typeof inner === 'function' ? inner : null
}

/**
 * The export to import, or null when the function must go by value: it is not exported, its module is the program's
 * entry (importing it would run the program again), or its module is still being evaluated (importing it would get to
 * the same call again, without end).
 */
export function findReference(fn: Function, text: string, at: Inspected, facts: ModuleFacts): Omit<ReferenceRecord, 'module'> | null {
  const file = facts.file
  if (file === null || facts.generated || isEntry(file)) return null
  const name = facts.esm ? exportName(fn, text, at, facts) : cjsExportName(fn, file)
  if (name === null || (facts.esm && isEvaluating(facts))) return null
  return { kind: 'reference', name, hash: fileHash(file) }
}

/** Without an inspector only CommonJS exports can be found. */
export function findCjsReference(fn: Function): { file: string; record: { name: string; hash: string } } | null {
  for (const [file, module] of Object.entries(requireCache)) {
    if (!module?.loaded || file.includes('/node_modules/') || isEntry(file)) continue
    const name = exportedAs(fn, module.exports)
    if (name !== null) return { file, record: { name, hash: fileHash(file) } }
  }
  return null
}

function exportName(fn: Function, text: string, at: Inspected, facts: ModuleFacts): string | null {
  const variables = at.scopes.find(scope => scope.kind === 'module')?.variables ?? {}
  for (const { name, local, expression } of facts.exports) {
    if (local !== null && holds(variables, local, fn)) return name
    if (expression && standsIn(expression, facts.offset(at.line, at.column), text, facts)) return name
  }
  return null
}

function holds(variables: Record<string, unknown>, name: string, fn: Function): boolean {
  try {
    const value = Object.hasOwn(variables, name) ? variables[name] : undefined
    return value === fn || unwrap(value) === fn
  } catch {
    return false // Not initialised yet.
  }
}

/** A module runs once, so what stands at its top level is one function: the place tells which. */
function standsIn(expression: AstNode, offset: number, text: string, facts: ModuleFacts): boolean {
  if (offset < expression.start || offset >= expression.end) return false
  const given = isRemoteCall(expression) ? nodesIn(expression, 'arguments')[0] : expression
  return given !== undefined && facts.source.slice(given.start, given.end) === text
}

function isRemoteCall(expression: AstNode): boolean {
  if (expression.type !== 'CallExpression') return false
  const callee = nodeIn(expression, 'callee')!
  return (identifier(callee) ?? identifier(nodeIn(callee, 'property'))) === 'remote'
}

function isEvaluating(facts: ModuleFacts): boolean {
  return userFrames().some(frame => frame.url === facts.url && facts.runsAtEvaluation(frame.line - 1, frame.column - 1))
}

function cjsExportName(fn: Function, file: string): string | null {
  const module = requireCache[file]
  return module?.loaded ? exportedAs(fn, module.exports) : null
}

function exportedAs(fn: Function, exports: unknown): string | null {
  if (exports === fn || unwrap(exports) === fn) return ''
  if ((typeof exports !== 'object' && typeof exports !== 'function') || exports === null) return null
  for (const name of Object.keys(exports)) {
    try {
      const value = (exports as Record<string, unknown>)[name]
      if (value === fn || unwrap(value) === fn) return name
    } catch {
      // An accessor that throws exports nothing.
    }
  }
  return null
}
