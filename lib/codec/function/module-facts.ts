// SPDX-License-Identifier: Apache-2.0
// What the source of one module tells: which of its names are imports, which are exports, and whether a name that a
// function uses belongs to the module or to something between. The source is the one that runs, so it is JavaScript
// also where the user wrote TypeScript.

import { fileURLToPath } from 'node:url'
import {
  type AstNode,
  bodyNames,
  children,
  identifier,
  isClassNode,
  isFunctionNode,
  lexicalNames,
  nodeIn,
  nodesIn,
  parameterNames,
  scopeNames,
} from './ast.js'
import { type ExportBinding, exportBindings, type ImportBinding, importBindings } from './module-bindings.js'
import { parseSource } from './parse.js'

/** The name of the function that code rebuilt from another process stands in (see compile.ts); it plays the part of a module. */
export const GENERATED_MODULE = '__eagleray_module'

export class ModuleFacts {
  readonly url: string
  readonly source: string
  readonly esm: boolean
  /** Compiled by this package from what another process sent: `url` is where the text came from, not what it is. */
  readonly generated: boolean
  /** The number of the source's first line. */
  private readonly firstLine: number
  private tree: AstNode | null | undefined
  private imported: Map<string, ImportBinding> | null = null
  private exported: ExportBinding[] | null = null
  private lineStarts: number[] | null = null

  constructor(url: string, source: string, esm: boolean, generated: boolean, firstLine = 0) {
    this.url = url
    this.source = source
    this.esm = esm
    this.generated = generated
    this.firstLine = firstLine
  }

  /** The file, or null for scripts that are none (`node -e`, a REPL). */
  get file(): string | null {
    return this.url.startsWith('file:') ? fileURLToPath(this.url) : null
  }

  /** Null when the source does not parse, as with syntax newer than the parser: then nothing is known but the text. */
  get program(): AstNode | null {
    if (this.tree === undefined) {
      try {
        this.tree = parseSource(this.source, this.esm)
      } catch {
        this.tree = null
      }
    }
    return this.tree
  }

  /** Local name to what it is imported as. */
  get imports(): Map<string, ImportBinding> {
    this.imported ??= this.generated ? new Map() : importBindings(this.statements)
    return this.imported
  }

  get exports(): ExportBinding[] {
    this.exported ??= this.esm && !this.generated ? exportBindings(this.statements) : []
    return this.exported
  }

  /** The directive at the top, or module code. */
  get strict(): boolean {
    return this.esm || this.statements.some(s => s.directive === 'use strict')
  }

  /** The statements at the top of the module, also where a loader put all of them into one function. */
  get statements(): AstNode[] {
    const top = this.program ? nodesIn(this.program, 'body') : []
    const wrapper = this.wrapper
    return wrapper ? [...top, ...nodesIn(nodeIn(wrapper, 'body')!, 'body')] : top
  }

  /** Offset of a position that counts from 0. */
  offset(line: number, column: number): number {
    if (!this.lineStarts) {
      this.lineStarts = [0]
      for (const match of this.source.matchAll(/\r\n|[\n\r\u2028\u2029]/g)) this.lineStarts.push(match.index + match[0].length)
    }
    return (this.lineStarts[line - this.firstLine] ?? this.source.length) + column
  }

  /** The nodes around the function whose text is `text` and which holds `offset`, outermost first; null when it is not found. */
  around(offset: number, text: string): AstNode[] | null {
    if (!this.program) return null
    const path = pathTo(this.program, offset)
    for (let i = path.length - 1; i >= 0; i--) {
      const { start, end } = path[i]!
      if (this.source.slice(start, end).endsWith(text)) return path.slice(0, i)
    }
    return null
  }

  /** Whether a name used inside those nodes belongs to the module itself. */
  isTopLevel(name: string, around: AstNode[]): boolean {
    const wrapper = this.wrapper
    return !around.some(node => node !== wrapper && node !== (wrapper && nodeIn(wrapper, 'body')) && declares(node, name))
  }

  /** Whether the nodes lie inside a function or class, so that they have a `this` of their own. */
  isInsideFunction(around: AstNode[]): boolean {
    const wrapper = this.wrapper
    return around.some(node => node !== wrapper && (isClassNode(node) || (isFunctionNode(node) && node.type !== 'ArrowFunctionExpression')))
  }

  /** Whether the place (from 0) is code that runs while the module is evaluated, and not inside a function. */
  runsAtEvaluation(line: number, column: number): boolean {
    if (!this.program) return false
    const wrapper = this.wrapper
    return !pathTo(this.program, this.offset(line, column)).some(node => node !== wrapper && isFunctionNode(node))
  }

  /** Whether `let`, `const` or `class` at the top declares the name at or after an offset. */
  isDeclaredAfter(name: string, offset: number): boolean {
    return this.statements.some(statement => {
      const names = new Set<string>()
      lexicalNames([statement], names)
      const hoisted = (nodeIn(statement, 'declaration') ?? statement).type === 'FunctionDeclaration'
      return statement.end > offset && !hoisted && names.has(name)
    })
  }

  /** tsx puts a CommonJS module into `(() => {…})()`; rebuilt code stands in a named function. */
  private get wrapper(): AstNode | null {
    if (this.esm || !this.program) return null
    for (const statement of nodesIn(this.program, 'body')) {
      if (statement.type !== 'ExpressionStatement') continue
      const expression = nodeIn(statement, 'expression')!
      const callee = expression.type === 'CallExpression' ? nodeIn(expression, 'callee')! : expression
      if (callee.type === 'ArrowFunctionExpression' && callee !== expression && nodeIn(callee, 'body')!.type === 'BlockStatement')
        return callee
      if (callee.type === 'FunctionExpression' && identifier(nodeIn(callee, 'id')) === GENERATED_MODULE) return callee
    }
    return null
  }
}

function declares(node: AstNode, name: string): boolean {
  if (!isFunctionNode(node)) return scopeNames(node).has(name)
  return parameterNames(node).has(name) || bodyNames(node).has(name)
}

/** The chain of nodes that hold an offset, outermost first. */
function pathTo(root: AstNode, offset: number): AstNode[] {
  const path: AstNode[] = []
  let at: AstNode | undefined = root
  while (at) {
    path.push(at)
    at = children(at).find(child => child.start <= offset && offset < child.end)
  }
  return path
}
