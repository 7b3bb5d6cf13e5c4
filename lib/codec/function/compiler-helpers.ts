// SPDX-License-Identifier: Apache-2.0
// Functions that compilers and coverage tools put into the user's code under fixed names. The other process brings its
// own: what they refer to in this one (a whole coverage map) is of no use there.

type AnyFunction = (...args: never[]) => unknown

function keepName<T extends object>(target: T, name: string): T {
  return Object.defineProperty(target, 'name', { value: name, configurable: true })
}

function publicField(target: object, key: PropertyKey, value: unknown): unknown {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  return value
}

/** Answers every read, call and count of coverage code with itself, and records nothing. */
function silentCounters(): unknown {
  const answer = (_: unknown, key: PropertyKey): unknown => (key === Symbol.toPrimitive ? () => 0 : silent)
  const silent: unknown = new Proxy(() => undefined, { get: answer, set: () => true, apply: () => silent })
  return silent
}

const HELPERS: Record<string, AnyFunction> = { __name: keepName as AnyFunction, __publicField: publicField as AnyFunction }
const COVERAGE = /^cov_[0-9a-z]+$/

export function isCompilerHelper(name: string, value: unknown): boolean {
  return typeof value === 'function' && (Object.hasOwn(HELPERS, name) || COVERAGE.test(name))
}

export function compilerHelper(name: string): unknown {
  return Object.hasOwn(HELPERS, name) ? HELPERS[name] : silentCounters()
}
