// SPDX-License-Identifier: Apache-2.0
// The imports and exports of a module, from its top-level statements.

import { type AstNode, identifier, lexicalNames, nodeIn, nodesIn, patternNames } from './ast.js'

/** What `require`d values are passed through by compilers before they are bound. */
export type Interop = 'toESM' | 'toESMNode' | 'default' | 'star' | null

export interface ImportBinding {
  how: 'import' | 'require'
  specifier: string
  /** The exported name; null: the namespace, or all of `module.exports`. */
  name: string | null
  interop: Interop
}

export interface ExportBinding {
  name: string
  /** The module's variable that is exported; null for an unnamed default export. */
  local: string | null
  /** An unnamed default export: where it stands. */
  expression: AstNode | null
}

/** `import` declarations, and variables that hold `require('…')`, `await import('…')` or a member of them. */
export function importBindings(statements: AstNode[]): Map<string, ImportBinding> {
  const found = new Map<string, ImportBinding>()
  for (const statement of statements) {
    if (statement.type === 'ImportDeclaration') noteImport(statement, found)
    const declaration = statement.type === 'ExportNamedDeclaration' ? nodeIn(statement, 'declaration') : statement
    if (declaration?.type !== 'VariableDeclaration') continue
    for (const declarator of nodesIn(declaration, 'declarations')) noteDeclarator(declarator, found)
  }
  return found
}

/** Data modules (`with { type: 'json' }`) are left out: their content travels as a value. */
function noteImport(statement: AstNode, found: Map<string, ImportBinding>): void {
  if (nodesIn(statement, 'attributes').length > 0) return
  const specifier = nodeIn(statement, 'source')!.value as string
  for (const part of nodesIn(statement, 'specifiers')) {
    const imported = nodeIn(part, 'imported')
    const name = part.type === 'ImportDefaultSpecifier' ? 'default' : imported ? literalName(imported) : null
    found.set(identifier(nodeIn(part, 'local'))!, { how: 'import', specifier, name, interop: null })
  }
}

function noteDeclarator(declarator: AstNode, found: Map<string, ImportBinding>): void {
  const target = nodeIn(declarator, 'id')!
  const source = importedBy(nodeIn(declarator, 'init'))
  if (!source) return
  const local = identifier(target)
  if (local !== null) found.set(local, source)
  else if (target.type === 'ObjectPattern' && source.name === null) {
    for (const property of nodesIn(target, 'properties')) {
      const key = identifier(nodeIn(property, 'key'))
      const name = identifier(nodeIn(property, 'value'))
      if (property.type === 'Property' && !property.computed && key !== null && name !== null) found.set(name, { ...source, name: key })
    }
  }
}

const INTEROP: Record<string, Interop> = {
  __toESM: 'toESM',
  __importStar: 'star',
  __importDefault: 'default',
  _interop_require_default: 'default',
  _interopRequireDefault: 'default',
  _interop_require_wildcard: 'star',
  _interopRequireWildcard: 'star',
}

function importedBy(init: AstNode | null): ImportBinding | null {
  if (!init) return null
  if (init.type === 'MemberExpression' && !init.computed) {
    const whole = importedBy(nodeIn(init, 'object'))
    return whole && whole.name === null && whole.interop === null ? { ...whole, name: identifier(nodeIn(init, 'property')) } : null
  }
  if (init.type === 'AwaitExpression') {
    const call = nodeIn(init, 'argument')!
    const specifier = call.type === 'ImportExpression' && !nodeIn(call, 'options') ? literal(nodeIn(call, 'source')) : null
    return specifier === null ? null : { how: 'import', specifier, name: null, interop: null }
  }
  if (init.type !== 'CallExpression') return null
  const callee = identifier(nodeIn(init, 'callee')) ?? ''
  const args = nodesIn(init, 'arguments')
  if (callee === 'require' && args.length === 1) {
    const specifier = literal(args[0]!)
    return specifier === null ? null : { how: 'require', specifier, name: null, interop: null }
  }
  const helper = Object.hasOwn(INTEROP, callee) ? INTEROP[callee]! : null
  const inner = helper ? importedBy(args[0] ?? null) : null
  if (inner?.how !== 'require' || inner.name !== null || inner.interop !== null) return null
  return { ...inner, interop: helper === 'toESM' && args.length > 1 ? 'toESMNode' : helper }
}

/** What an ES module exports of its own; re-exports of other modules are theirs. */
export function exportBindings(statements: AstNode[]): ExportBinding[] {
  const found: ExportBinding[] = []
  for (const statement of statements) {
    const declaration = nodeIn(statement, 'declaration')
    if (statement.type === 'ExportDefaultDeclaration' && declaration) {
      const named = declaration.type.endsWith('Declaration') ? identifier(nodeIn(declaration, 'id')) : identifier(declaration)
      found.push({ name: 'default', local: named, expression: named === null ? declaration : null })
    } else if (statement.type === 'ExportNamedDeclaration' && declaration) {
      for (const name of declared(declaration)) found.push({ name, local: name, expression: null })
    } else if (statement.type === 'ExportNamedDeclaration' && !nodeIn(statement, 'source')) {
      for (const part of nodesIn(statement, 'specifiers')) {
        found.push({ name: literalName(nodeIn(part, 'exported')!), local: identifier(nodeIn(part, 'local')), expression: null })
      }
    }
  }
  return found
}

function declared(declaration: AstNode): Set<string> {
  const names = new Set<string>()
  lexicalNames([declaration], names)
  for (const declarator of nodesIn(declaration, 'declarations')) patternNames(nodeIn(declarator, 'id')!, names)
  return names
}

function literal(node: AstNode | null): string | null {
  return node?.type === 'Literal' && typeof node.value === 'string' ? node.value : null
}

/** Export names may be identifiers or strings. */
function literalName(node: AstNode): string {
  return identifier(node) ?? literal(node) ?? ''
}
