// SPDX-License-Identifier: Apache-2.0
// Which names does a function use that it does not declare itself? A walk over its syntax tree with a chain of scopes.
// Besides the names it tells what of the surroundings the function needs that has no name: the `this`, `arguments`,
// `new.target` or `super` of a function around an arrow function, and `import.meta`.

import {
  type AstNode,
  bodyNames,
  children,
  identifier,
  isClassNode,
  isFunctionNode,
  nodeIn,
  nodesIn,
  parameterNames,
  scopeNames,
} from './ast.js'

export interface FreeNames {
  /** In order of first use. */
  names: Set<string>
  /** The part of `names` that a class uses while it is being defined: static fields and blocks, computed keys. */
  eager: Set<string>
  /** The part of `names` in a class's computed keys: the engine keeps no hold of these for the class. */
  keys: Set<string>
  /** Where `import.meta` starts, as offsets in the parsed text. */
  importMeta: number[]
  /** The function itself uses its own `arguments`. */
  usesArguments: boolean
  /** What is taken from a function around it. */
  outerThis: boolean
  outerArguments: boolean
  outerNewTarget: boolean
  /** `super` of an object literal or class that is not part of the text. */
  outerSuper: boolean
  /** `#name` of a class around it. */
  outerPrivate: boolean
}

interface Scope {
  names: Set<string>
  parent: Scope | null
}

/** What holds at a place in the tree. `args`: whose `arguments` is in reach, the root's, an inner function's, or an outer one. */
interface Place {
  receiver: boolean
  home: boolean
  eager: boolean
  key: boolean
  args: 'root' | 'inner' | 'outer'
}

/** `root` is a function or class node. What a root class extends is left out: the parent is known without its name. */
export function freeNames(root: AstNode): FreeNames {
  const walk = new Walk()
  const place: Place = { receiver: false, home: false, eager: true, key: false, args: 'outer' }
  if (isClassNode(root)) walk.visitClass(root, null, place, true)
  else walk.visitFunction(root, null, place, 'root', false)
  return walk.found
}

class Walk {
  readonly found: FreeNames = {
    names: new Set(),
    eager: new Set(),
    keys: new Set(),
    importMeta: [],
    usesArguments: false,
    outerThis: false,
    outerArguments: false,
    outerNewTarget: false,
    outerSuper: false,
    outerPrivate: false,
  }

  visit(node: AstNode, scope: Scope | null, place: Place): void {
    if (isFunctionNode(node)) return this.visitFunction(node, scope, place, 'inner', false)
    if (isClassNode(node)) return this.visitClass(node, scope, place)
    switch (node.type) {
      case 'Identifier':
        return this.reference(node.name as string, scope, place)
      case 'ThisExpression':
        if (!place.receiver) this.found.outerThis = true
        return
      case 'Super':
        if (!place.home) this.found.outerSuper = true
        return
      case 'MetaProperty':
        if (identifier(nodeIn(node, 'meta')) === 'import') this.found.importMeta.push(node.start)
        else if (!place.receiver) this.found.outerNewTarget = true
        return
      case 'MemberExpression':
        this.visit(nodeIn(node, 'object')!, scope, place)
        if (node.computed || nodeIn(node, 'property')!.type === 'PrivateIdentifier') this.visit(nodeIn(node, 'property')!, scope, place)
        return
      case 'PrivateIdentifier':
        if (!isDeclared(`#${node.name}`, scope)) this.found.outerPrivate = true
        return
      case 'Property':
        return this.visitProperty(node, scope, place)
      case 'LabeledStatement':
        return this.visit(nodeIn(node, 'body')!, scope, place)
      case 'BreakStatement':
      case 'ContinueStatement':
        return
      case 'SwitchStatement':
        this.visit(nodeIn(node, 'discriminant')!, scope, place)
        for (const branch of nodesIn(node, 'cases')) this.visitAll(branch, { names: scopeNames(node), parent: scope }, place)
        return
      default:
        this.visitAll(node, within(node, scope), place)
    }
  }

  private visitAll(node: AstNode, scope: Scope | null, place: Place): void {
    for (const child of children(node)) this.visit(child, scope, place)
  }

  private visitProperty(node: AstNode, scope: Scope | null, place: Place): void {
    if (node.computed) this.visit(nodeIn(node, 'key')!, scope, place)
    const value = nodeIn(node, 'value')!
    if (isFunctionNode(value) && (node.method === true || node.kind !== 'init')) this.visitFunction(value, scope, place, 'inner', true)
    else this.visit(value, scope, place)
  }

  /** Parameters see the parameters; the body sees both. A name the body declares is not yet in reach of the defaults. */
  visitFunction(node: AstNode, scope: Scope | null, outer: Place, args: 'root' | 'inner', home: boolean): void {
    const arrow = node.type === 'ArrowFunctionExpression'
    const place: Place = arrow ? { ...outer, eager: false, key: false } : { receiver: true, home, eager: false, key: false, args }
    const parameters: Scope = { names: parameterNames(node), parent: scope }
    for (const parameter of nodesIn(node, 'params')) this.visit(parameter, parameters, place)
    const body = nodeIn(node, 'body')!
    const inner: Scope = { names: bodyNames(node), parent: parameters }
    if (body.type === 'BlockStatement') this.visitAll(body, inner, place)
    else this.visit(body, inner, place)
  }

  visitClass(node: AstNode, scope: Scope | null, place: Place, isRoot = false): void {
    const inner: Scope = { names: scopeNames(node), parent: scope }
    for (const member of nodesIn(nodeIn(node, 'body')!, 'body')) {
      const key = nodeIn(member, 'key')
      if (key?.type === 'PrivateIdentifier') inner.names.add(`#${key.name}`)
    }
    const parent = nodeIn(node, 'superClass')
    if (parent && !isRoot) this.visit(parent, inner, place)
    for (const member of nodesIn(nodeIn(node, 'body')!, 'body')) {
      if (member.computed) this.visit(nodeIn(member, 'key')!, inner, { ...place, key: isRoot })
      const isStatic = member.static === true || member.type === 'StaticBlock'
      const field: Place = { receiver: true, home: true, eager: place.eager && isStatic, key: false, args: 'inner' }
      const value = nodeIn(member, 'value')
      if (member.type === 'StaticBlock') this.visitAll(member, within(member, inner), field)
      else if (value && member.type === 'MethodDefinition') this.visitFunction(value, inner, place, 'inner', true)
      else if (value) this.visit(value, inner, field)
    }
  }

  private reference(name: string, scope: Scope | null, place: Place): void {
    if (name === 'arguments') {
      if (place.args === 'root') this.found.usesArguments = true
      else if (place.args === 'outer') this.found.outerArguments = true
      return
    }
    if (isDeclared(name, scope)) return
    this.found.names.add(name)
    if (place.eager) this.found.eager.add(name)
    if (place.key) this.found.keys.add(name)
  }
}

function isDeclared(name: string, scope: Scope | null): boolean {
  for (let at = scope; at; at = at.parent) if (at.names.has(name)) return true
  return false
}

function within(node: AstNode, scope: Scope | null): Scope | null {
  const names = scopeNames(node)
  return names.size > 0 ? { names, parent: scope } : scope
}
