// SPDX-License-Identifier: Apache-2.0
// One function while its variables are looked up: where it stands, what is around it, and how messages call it.

import { SerializationError } from '../../errors.js'
import type { AstNode } from './ast.js'
import type { Inspected, Inspection, Scope } from './inspection.js'
import type { ModuleFacts } from './module-facts.js'
import { type ParsedFunction, parseFunction } from './parse.js'
import { moduleOf } from './scripts.js'
import { asWritten, type CallSite, shortPlace, userFrames } from './site.js'

export interface Subject {
  fn: Function
  parsed: ParsedFunction
  /** Null when this process has no inspector. */
  at: Inspected | null
  facts: ModuleFacts | null
  /** The syntax around it in its module, outermost first; null when unknown. Parses the module. */
  around: () => AstNode[] | null
  /** Where it starts in the source the user wrote, where that is known. */
  place: CallSite | null
  /** "remote function `score` (file.ts:12)". */
  label: string
}

/** What a free name stands for. `topLevel`: a variable of the module, which other functions of the module share. */
export interface Variable {
  value: unknown
  topLevel: boolean
}

/** `likely` are URLs of modules it may stand in; `title` is put before its name, `rest` after its place. */
export function subjectOf(fn: Function, inspection: Inspection, likely: readonly string[], title: string, rest: string): Subject {
  const parsed = parseFunction(fn)
  const at = inspection.inspect(fn)
  const facts = at ? moduleOf(at, parsed.text, likely, inspection) : null
  const around = (): AstNode[] | null => (at && facts ? facts.around(facts.offset(at.line, at.column), parsed.text) : null)
  const place = at && facts && !facts.generated ? asWritten(facts.url, at.line + 1, at.column + 1) : null
  const name = fn.name ? ` \`${fn.name}\`` : ''
  return { fn, parsed, at, facts, around, place, label: `${title}${name}${place ? ` (${shortPlace(place)})` : ''}${rest}` }
}

/** Refuses what a function takes from its surroundings without naming it. */
export function refuseSurroundings({ parsed, facts, around, label }: Subject): void {
  const { free } = parsed
  if (free.outerSuper) throw new SerializationError(`${label} uses \`super\` of an object or class that does not travel with it`)
  if (free.outerPrivate) throw new SerializationError(`${label} uses a private name of a class that does not travel with it`)
  if (free.outerArguments) throw new SerializationError(`${label} uses \`arguments\` of the function around it; use named parameters`)
  if (free.outerNewTarget) throw new SerializationError(`${label} uses \`new.target\` of the function around it`)
  if (!free.outerThis) return
  const nodes = around()
  if (nodes && facts?.isInsideFunction(nodes)) {
    throw new SerializationError(`${label} uses \`this\` of the function around it; keep it in a constant first, or pass it as an argument`)
  }
}

/** Null: no variable but a global, or none at all, which the function will find out when it runs, as it would here. */
export function lookUp(subject: Subject, name: string): Variable | null {
  const { parsed, at, facts, label } = subject
  if (!at) {
    if (name in globalThis) return null
    throw new SerializationError(
      `captured variable \`${name}\` of ${label}: this process has no inspector to look it up; give it with \`env: { ${name} }\``,
      name,
    )
  }
  const scope = at.scopes.find(({ variables }) => Object.hasOwn(variables, name))
  if (!scope) {
    if (!parsed.free.keys.has(name) || name in globalThis) return null
    throw new SerializationError(
      `captured variable \`${name}\` of ${label} is used in a computed key, where it cannot be looked up; give it with \`env: { ${name} }\``,
      name,
    )
  }
  const topLevel = isTopLevel(subject, scope, name)
  let value: unknown
  try {
    value = scope.variables[name]
  } catch (cause) {
    throw notYet(name, label, cause)
  }
  if (value === undefined && topLevel && isPending(facts, name)) throw notYet(name, label, undefined)
  return { value, topLevel }
}

/** An ES module has a scope of its own; the variables of other modules are those of a function around all of their code. */
function isTopLevel({ facts, around }: Subject, scope: Scope, name: string): boolean {
  if (scope.kind === 'module' || !facts || facts.esm) return scope.kind === 'module'
  const nodes = around()
  return nodes !== null && facts.isTopLevel(name, nodes)
}

/** Older engines show `undefined` for what is not initialised: then the place that runs now, before the declaration, tells. */
function isPending(facts: ModuleFacts | null, name: string): boolean {
  if (!facts || facts.generated) return false
  return userFrames().some(({ url, line, column }) => {
    if (url !== facts.url || !facts.runsAtEvaluation(line - 1, column - 1)) return false
    return facts.isDeclaredAfter(name, facts.offset(line - 1, column - 1))
  })
}

function notYet(name: string, label: string, cause: unknown): SerializationError {
  const message = `captured variable \`${name}\` of ${label} is not initialised yet; call .remote() after its declaration has run`
  return new SerializationError(message, name, { cause })
}
