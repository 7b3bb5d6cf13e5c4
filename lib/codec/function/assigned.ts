// SPDX-License-Identifier: Apache-2.0
// What was put on a function after it was made, and so is not in its source: `fn.limit = 3`, `Old.prototype.go = …`.

import { type AstNode, children, identifier, isClassNode, isFunctionNode, nodeIn, nodesIn } from './ast.js'
import type { ParsedFunction } from './parse.js'

export interface Assigned {
  own: [string, unknown][]
  prototype: [string, unknown][]
  /** The function whose prototype the prototype inherits from, where that was arranged by hand (`util.inherits`). */
  parent: Function | null
}

export function assignedTo(fn: Function, { node }: ParsedFunction): Assigned {
  const declared = isClassNode(node) ? staticNames(node) : new Set<string>()
  const own = enumerable(fn).filter(([key]) => !declared.has(key))
  const made: unknown = fn.prototype
  if (typeof made !== 'object' || made === null || node.generator === true) return { own, prototype: [], parent: null }
  const above: unknown = Object.getPrototypeOf(made)
  const parent = isClassNode(node) || above === Object.prototype || above === null ? null : (above as { constructor?: unknown }).constructor
  return { own, prototype: enumerable(made), parent: typeof parent === 'function' ? parent : null }
}

function enumerable(holder: object): [string, unknown][] {
  return Object.entries(Object.getOwnPropertyDescriptors(holder)).flatMap(([key, d]): [string, unknown][] => {
    return d.enumerable && 'value' in d ? [[key, d.value]] : []
  })
}

/** Static fields, and what static blocks put on `this`: evaluating the class again makes them again. */
function staticNames(node: AstNode): Set<string> {
  const names = new Set<string>()
  for (const member of nodesIn(nodeIn(node, 'body')!, 'body')) {
    const key = nodeIn(member, 'key')
    if (member.type === 'StaticBlock') noteAssignments(member, names)
    else if (member.static === true && key && !member.computed) names.add(identifier(key) ?? String(key.value))
  }
  return names
}

function noteAssignments(node: AstNode, names: Set<string>): void {
  const target = node.type === 'AssignmentExpression' ? nodeIn(node, 'left')! : null
  if (target?.type === 'MemberExpression' && !target.computed && nodeIn(target, 'object')!.type === 'ThisExpression') {
    names.add(identifier(nodeIn(target, 'property')) ?? '')
  }
  for (const child of children(node)) if (!isFunctionNode(child)) noteAssignments(child, names)
}
