// SPDX-License-Identifier: Apache-2.0
// Instances of classes: by a registered serializer, or by their class and their own enumerable fields.

import { createRequire } from 'node:module'

/** How instances of one class travel. */
export interface Serializer<T, D> {
  /** Names the class on the wire; the same in every process. Letters of your package's name in front keep it unique. */
  name: string
  /** Gives data that can travel and says all about the instance. */
  to(value: T): D
  /** Builds an instance from what `to` gave. */
  from(data: D): T
}

export interface Registration {
  name: string
  to(value: object): unknown
  from: (data: unknown) => unknown
}

type Class<T> = abstract new (...args: never[]) => T

const byPrototype = new Map<object, Registration>()
const byName = new Map<string, Registration>()

/**
 * Says how instances of exactly this class travel, in place of "its class and its own enumerable fields". Needed for
 * classes with `#private` fields and for those that hold handles. Register in every process that sends such values;
 * a receiver that has not registered uses the `from` that came with the value. Registering again replaces.
 * Throws TypeError for anything but a class and `{ name, to, from }`.
 * @example
 * registerSerializer(Money, { name: 'shop.Money', to: (m) => m.toCents(), from: (cents) => Money.ofCents(cents) })
 */
export function registerSerializer<T extends object, D>(type: Class<T>, serializer: Serializer<T, D>): void {
  if (typeof type !== 'function' || typeof type.prototype !== 'object') throw new TypeError('registerSerializer needs a class')
  const { name, to, from, ...rest } = serializer
  if (typeof name !== 'string' || name === '') throw new TypeError('registerSerializer needs a name, a string')
  if (typeof to !== 'function' || typeof from !== 'function')
    throw new TypeError(`registerSerializer(${name}) needs the functions to and from`)
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined) throw new TypeError(`registerSerializer(${name}) knows no option ${unknown}`)
  deregisterSerializer(type)
  const registration = { name, to, from } as unknown as Registration
  byPrototype.set(type.prototype, registration)
  byName.set(name, registration)
}

/**
 * Undoes `registerSerializer`. False when the class was not registered.
 * @example
 * deregisterSerializer(Money)
 */
export function deregisterSerializer(type: Class<object>): boolean {
  const registration = byPrototype.get(type.prototype)
  if (registration === undefined) return false
  byPrototype.delete(type.prototype)
  if (byName.get(registration.name) === registration) byName.delete(registration.name)
  return true
}

export function registrationOf(prototype: object): Registration | undefined {
  return byPrototype.size === 0 ? undefined : byPrototype.get(prototype)
}

export function registrationNamed(name: string): Registration | undefined {
  return byName.get(name)
}

const privateFields = new WeakMap<Function, string | null>()

/**
 * A `#private` field or method of instances of the class or of one it extends, such as `Account.#balance`; null when
 * there is none. Nobody can read such a field from outside, and methods that use it fail on an object without.
 */
export function privateFieldOf(type: Function): string | null {
  let known = privateFields.get(type)
  if (known === undefined) {
    const parent = Object.getPrototypeOf(type)
    known = ownPrivateField(type) ?? (typeof parent === 'function' && parent !== Function.prototype ? privateFieldOf(parent) : null)
    privateFields.set(type, known)
  }
  return known
}

interface ClassNode {
  body?: { body: { static?: boolean; key?: { type: string; name: string } }[] }
}

function ownPrivateField(type: Function): string | null {
  const source = Function.prototype.toString.call(type)
  // What compilers make of private fields for older targets: a WeakMap beside the class.
  const lowered = /\b(__privateAdd|_classPrivateFieldInitSpec|__classPrivateFieldSet)\s*\(/.test(source)
  if (lowered) return `${type.name}.#`
  if (!source.includes('#')) return null
  try {
    const { parseExpressionAt } = createRequire(import.meta.url)('acorn') as typeof import('acorn')
    const node = parseExpressionAt(source, 0, { ecmaVersion: 'latest' }) as unknown as ClassNode
    const member = node.body?.body.find(each => each.static !== true && each.key?.type === 'PrivateIdentifier')
    return member === undefined ? null : `${type.name}.#${member.key!.name}`
  } catch {
    return /#[\p{ID_Start}$_]/u.test(source) ? `${type.name}.#` : null
  }
}
