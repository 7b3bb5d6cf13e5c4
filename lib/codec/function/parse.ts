// SPDX-License-Identifier: Apache-2.0
// A function's own text and syntax tree. The text is what `toString` gives: JavaScript as the engine runs it, so types
// are gone and what a compiler added (`__name(…)`) is in it. Methods come as `name() {…}`, which only parses inside an
// object literal.

import { createRequire } from 'node:module'
import { type AstNode, nodeIn, nodesIn } from './ast.js'
import { type FreeNames, freeNames } from './free-names.js'

export interface ParsedFunction {
  text: string
  /** `member`: a method, getter or setter; its text stands inside `({` and `})`. */
  form: 'plain' | 'member'
  /** The function or class. Offsets count from the start of `text`, plus `prefix`. */
  node: AstNode
  /** The key of a computed member, to be replaced by a constant; null when the key is a plain name. */
  computedKey: AstNode | null
  prefix: number
  free: FreeNames
}

const parsed = new WeakMap<Function, ParsedFunction>()

type Acorn = typeof import('acorn')

let parser: Acorn | null = null

/** Loaded when the first function is taken apart: most workers only ever put some together. */
export function acorn(): Acorn {
  parser ??= createRequire(import.meta.url)('acorn') as Acorn
  return parser
}

/** Parses a whole module or script. Throws acorn's SyntaxError. */
export function parseSource(source: string, esm: boolean): AstNode {
  return acorn().parse(source, {
    ecmaVersion: 'latest',
    sourceType: esm ? 'module' : 'script',
    allowReturnOutsideFunction: true,
    allowAwaitOutsideFunction: esm,
    allowHashBang: true,
  }) as unknown as AstNode
}

/** Throws a TypeError for what has no source: native and bound functions. */
export function parseFunction(fn: Function): ParsedFunction {
  const known = parsed.get(fn)
  if (known) return known
  const text = Function.prototype.toString.call(fn)
  if (isNativeText(text)) throw new TypeError(nativeAdvice(fn))
  const result = parseText(text, fn.name)
  parsed.set(fn, result)
  return result
}

export function isNative(fn: Function): boolean {
  return !parsed.has(fn) && isNativeText(Function.prototype.toString.call(fn))
}

function isNativeText(text: string): boolean {
  return /\{\s*\[native code\]\s*\}\s*$/.test(text)
}

function nativeAdvice(fn: Function): string {
  const name = fn.name || 'anonymous'
  return name.startsWith('bound ')
    ? `\`${name}\` is a bound function and has no source that could travel; pass an arrow function that calls it`
    : `\`${name}\` is a native function and has no source that could travel; pass an arrow function that calls it`
}

function parseText(text: string, name: string): ParsedFunction {
  const plain = tryParse(`(${text})`)
  if (plain instanceof Error === false) {
    const node = nodeIn(nodesIn(plain, 'body')[0]!, 'expression')!
    return { text, form: 'plain', node, computedKey: null, prefix: 1, free: freeNames(node) }
  }
  const member = tryParse(`({${text}})`)
  if (member instanceof Error) {
    throw new TypeError(`the source of \`${name || 'anonymous'}\` does not stand alone (${plain.message})`)
  }
  const property = nodesIn(nodeIn(nodesIn(member, 'body')[0]!, 'expression')!, 'properties')[0]!
  const node = nodeIn(property, 'value')!
  return { text, form: 'member', node, computedKey: property.computed ? nodeIn(property, 'key') : null, prefix: 2, free: freeNames(node) }
}

/** `import.meta`, `super` and private names are let through: whether they can be had is decided later, with a better message. */
function tryParse(code: string): AstNode | Error {
  try {
    return acorn().parse(code, {
      ecmaVersion: 'latest',
      sourceType: 'script',
      allowImportExportEverywhere: true,
      allowSuperOutsideMethod: true,
      checkPrivateFields: false,
    }) as unknown as AstNode
  } catch (error) {
    return error as Error
  }
}

/** `import.meta` as a variable of the same length, so that columns stay. */
export const IMPORT_META = '$importMeta'

/** Stands for what a class extends: the parent itself travels, whatever expression gave it. */
export const PARENT = '__eagleray_parent'

/** The text to compile in another process. */
export function portableText(parsed: ParsedFunction, name: string): string {
  const edits = parsed.free.importMeta.map(start => ({ start, end: start + 'import.meta'.length, text: IMPORT_META }))
  const key = parsed.computedKey
  if (key) edits.push({ start: key.start, end: key.end, text: JSON.stringify(name) })
  const parent = nodeIn(parsed.node, 'superClass')
  if (parent && parent.type !== 'Literal') edits.push({ start: parent.start, end: parent.end, text: PARENT })
  let text = parsed.text
  for (const edit of edits.sort((a, b) => b.start - a.start)) {
    text = text.slice(0, edit.start - parsed.prefix) + edit.text + text.slice(edit.end - parsed.prefix)
  }
  return text
}
