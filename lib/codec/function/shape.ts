// SPDX-License-Identifier: Apache-2.0
// What can be said of a function without running it: how many arguments it takes, and of what kind it is.

import { type AstNode, isClassNode, nodeIn, nodesIn } from './ast.js'
import { freeNames } from './free-names.js'
import { isNative, type ParsedFunction, parseFunction } from './parse.js'

export interface FunctionShape {
  name: string
  /** Parameters before the first default or rest one: the function's `length`. For a class, those of its constructor. */
  requiredArgs: number
  /** null: a rest parameter, or the body uses `arguments`. */
  maxArgs: number | null
  /** For a class: whether any method is async. */
  isAsync: boolean
  isGenerator: boolean
  isClass: boolean
  /** For classes: method name to shape, own and inherited from plain classes; null for functions. */
  methods: Record<string, FunctionShape> | null
}

const shapes = new WeakMap<Function, FunctionShape>()

/** Throws a TypeError with advice for native and bound functions. */
export function shapeOf(fn: Function): FunctionShape {
  let shape = shapes.get(fn)
  if (!shape) {
    const parsed = parseFunction(fn)
    shape = isClassNode(parsed.node) ? classShape(fn, parsed) : functionShape(fn, parsed)
    shapes.set(fn, shape)
  }
  return shape
}

function functionShape(fn: Function, { node, free }: ParsedFunction): FunctionShape {
  return {
    name: fn.name,
    requiredArgs: fn.length,
    maxArgs: free.usesArguments ? null : parameterCount(node),
    isAsync: node.async === true,
    isGenerator: node.generator === true,
    isClass: false,
    methods: null,
  }
}

function parameterCount(node: AstNode): number | null {
  const parameters = nodesIn(node, 'params')
  return parameters.at(-1)?.type === 'RestElement' ? null : parameters.length
}

function classShape(fn: Function, { node }: ParsedFunction): FunctionShape {
  const methods = methodShapes(fn)
  return {
    name: typeof fn.name === 'string' ? fn.name : '',
    requiredArgs: fn.length,
    maxArgs: constructorArguments(fn, node),
    isAsync: Object.values(methods).some(method => method.isAsync),
    isGenerator: false,
    isClass: true,
    methods,
  }
}

/** A class without a constructor passes its arguments on to its parent, of which nothing is known when it is native. */
function constructorArguments(fn: Function, node: AstNode): number | null {
  const members = nodesIn(nodeIn(node, 'body')!, 'body')
  const declared = members.find(member => member.kind === 'constructor')
  if (declared) {
    const value = nodeIn(declared, 'value')!
    return freeNames(value).usesArguments ? null : parameterCount(value)
  }
  const parent: unknown = Object.getPrototypeOf(fn)
  if (!nodeIn(node, 'superClass') || typeof parent !== 'function') return 0
  return isNative(parent) ? null : shapeOf(parent).maxArgs
}

function methodShapes(fn: Function): Record<string, FunctionShape> {
  const methods: Record<string, FunctionShape> = Object.create(null)
  for (let holder: unknown = fn.prototype; isObject(holder) && holder !== Object.prototype; holder = Object.getPrototypeOf(holder)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(holder))) {
      if (name === 'constructor' || name in methods || typeof value !== 'function') continue
      methods[name] = isNative(value) ? nativeShape(name) : shapeOf(value)
    }
  }
  return methods
}

/** Inherited from `Map`, `EventEmitter` and the like: their sources are not there to be read. */
function nativeShape(name: string): FunctionShape {
  return { name, requiredArgs: 0, maxArgs: null, isAsync: false, isGenerator: false, isClass: false, methods: null }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
