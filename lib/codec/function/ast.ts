// SPDX-License-Identifier: Apache-2.0
// The few questions asked of a syntax tree: what are a node's children, and which names does a pattern, a block or a
// function declare. Trees come from acorn; only the fields named here are relied on.

/** A node of an ESTree syntax tree. */
export interface AstNode {
  type: string
  start: number
  end: number
  [field: string]: unknown
}

export function isNode(value: unknown): value is AstNode {
  return typeof value === 'object' && value !== null && typeof (value as AstNode).type === 'string'
}

export function isFunctionNode(node: AstNode): boolean {
  return node.type === 'FunctionDeclaration' || node.type === 'FunctionExpression' || node.type === 'ArrowFunctionExpression'
}

export function isClassNode(node: AstNode): boolean {
  return node.type === 'ClassDeclaration' || node.type === 'ClassExpression'
}

/** The node in a field, or null. */
export function nodeIn(node: AstNode, field: string): AstNode | null {
  const value = node[field]
  return isNode(value) ? value : null
}

/** The nodes in a list field; holes of array patterns are left out. */
export function nodesIn(node: AstNode, field: string): AstNode[] {
  const value = node[field]
  return Array.isArray(value) ? value.filter(isNode) : []
}

/** Every direct child, in source order of the fields. */
export function children(node: AstNode): AstNode[] {
  const found: AstNode[] = []
  for (const field in node) {
    const value = node[field]
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) found.push(item)
    } else if (isNode(value)) found.push(value)
  }
  return found
}

/** The identifier's name, or null when the node is no identifier. */
export function identifier(node: AstNode | null): string | null {
  return node?.type === 'Identifier' ? (node.name as string) : null
}

/** The names a binding pattern declares. */
export function patternNames(pattern: AstNode, into: Set<string>): void {
  switch (pattern.type) {
    case 'Identifier':
      into.add(pattern.name as string)
      break
    case 'ObjectPattern':
      for (const property of nodesIn(pattern, 'properties')) {
        const target = nodeIn(property, 'value') ?? nodeIn(property, 'argument')
        if (target) patternNames(target, into)
      }
      break
    case 'ArrayPattern':
      for (const element of nodesIn(pattern, 'elements')) patternNames(element, into)
      break
    case 'AssignmentPattern':
      patternNames(nodeIn(pattern, 'left')!, into)
      break
    case 'RestElement':
      patternNames(nodeIn(pattern, 'argument')!, into)
      break
  }
}

function declarationNames(declaration: AstNode, into: Set<string>): void {
  for (const declarator of nodesIn(declaration, 'declarations')) patternNames(nodeIn(declarator, 'id')!, into)
}

/** What `var` hoists to the top of a function, and, as sloppy mode does, functions declared in its blocks. */
export function hoistedNames(node: AstNode, into: Set<string>): void {
  if (node.type === 'VariableDeclaration' && node.kind === 'var') declarationNames(node, into)
  if (node.type === 'FunctionDeclaration') into.add(identifier(nodeIn(node, 'id')) ?? '')
  if (isFunctionNode(node) || isClassNode(node)) return
  for (const child of children(node)) hoistedNames(child, into)
}

/** What the statements of one block declare for that block. */
export function lexicalNames(statements: AstNode[], into: Set<string>): void {
  for (const statement of statements) {
    const declaration = statement.type.startsWith('Export') ? (nodeIn(statement, 'declaration') ?? statement) : statement
    if (declaration.type === 'VariableDeclaration' && declaration.kind !== 'var') declarationNames(declaration, into)
    else if (isClassNode(declaration) || declaration.type === 'FunctionDeclaration') {
      const name = identifier(nodeIn(declaration, 'id'))
      if (name !== null) into.add(name)
    } else if (declaration.type === 'ImportDeclaration') {
      for (const specifier of nodesIn(declaration, 'specifiers')) patternNames(nodeIn(specifier, 'local')!, into)
    }
  }
}

/** The names a function's parameters declare, with its own name and `arguments`. */
export function parameterNames(fn: AstNode): Set<string> {
  const names = new Set<string>()
  if (fn.type !== 'ArrowFunctionExpression') names.add('arguments')
  if (fn.type === 'FunctionExpression') {
    const own = identifier(nodeIn(fn, 'id'))
    if (own !== null) names.add(own)
  }
  for (const parameter of nodesIn(fn, 'params')) patternNames(parameter, names)
  return names
}

/** The names declared by a function's body. */
export function bodyNames(fn: AstNode): Set<string> {
  const names = new Set<string>()
  const body = nodeIn(fn, 'body')
  if (body?.type !== 'BlockStatement') return names
  for (const statement of nodesIn(body, 'body')) hoistedNames(statement, names)
  lexicalNames(nodesIn(body, 'body'), names)
  return names
}

/** The names a node that opens a scope (and is no function) declares for what is inside it; empty for any other node. */
export function scopeNames(node: AstNode): Set<string> {
  const names = new Set<string>()
  switch (node.type) {
    case 'BlockStatement':
      lexicalNames(nodesIn(node, 'body'), names)
      break
    case 'StaticBlock':
      for (const statement of nodesIn(node, 'body')) hoistedNames(statement, names)
      lexicalNames(nodesIn(node, 'body'), names)
      break
    case 'ForStatement':
    case 'ForInStatement':
    case 'ForOfStatement': {
      const head = nodeIn(node, node.type === 'ForStatement' ? 'init' : 'left')
      if (head) lexicalNames([head], names)
      break
    }
    case 'SwitchStatement':
      for (const branch of nodesIn(node, 'cases')) lexicalNames(nodesIn(branch, 'consequent'), names)
      break
    case 'CatchClause': {
      const parameter = nodeIn(node, 'param')
      if (parameter) patternNames(parameter, names)
      break
    }
    case 'ClassDeclaration':
    case 'ClassExpression': {
      const own = identifier(nodeIn(node, 'id'))
      if (own !== null) names.add(own)
      break
    }
  }
  return names
}
