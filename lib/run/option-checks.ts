// SPDX-License-Identifier: Apache-2.0
// The checks that options of every kind share. All throw TypeError for a wrong type and RangeError for a wrong amount,
// and begin with `what` was called.

/** Of the contract, but for more than one machine or for a later version: refused with a text of its own. */
const NOT_YET = ['generatorBackpressure']

/** Throws TypeError for what is no object of options, and for options there are none of. */
export function refuseUnknown(what: string, options: object, known: readonly string[]): void {
  if (!isRecord(options)) throw new TypeError(`${what}: options must be an object, not ${describeOptions(options)}`)
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    if (NOT_YET.includes(key)) throw new TypeError(`${what}: the option ${key} is not supported by this version of eagleray`)
    throw new TypeError(`${what}: unknown option ${key}. There are: ${known.join(', ')}`)
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function describeOptions(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}

export function number(what: string, name: string, value: unknown): number {
  if (typeof value !== 'number' || Number.isNaN(value)) throw new TypeError(`${what}: ${name} must be a number, not ${String(value)}`)
  return value
}

export function count(what: string, name: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): void {
  if (value === undefined) return
  const amount = number(what, name, value)
  if (Number.isInteger(amount) && amount >= least && amount <= most) return
  const range = most === Number.MAX_SAFE_INTEGER ? `, ${least} or more` : ` from ${least} to ${most}`
  throw new RangeError(`${what}: ${name} is ${amount}; it must be a whole number${range}`)
}

export function flag(what: string, name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean') throw new TypeError(`${what}: ${name} must be true or false, not ${String(value)}`)
}

export function checkName(what: string, name: unknown, option = 'name'): void {
  if (name === undefined) return
  if (typeof name !== 'string') throw new TypeError(`${what}: ${option} must be a string, not ${String(name)}`)
  if (name.trim() === '') throw new RangeError(`${what}: ${option} must not be empty`)
}

/** Throws also for options there are none of. */
export function checkTimeout(what: string, options: { timeoutMs?: number }, known: readonly string[]): void {
  refuseUnknown(what, options, known)
  if (options.timeoutMs === undefined) return
  const timeoutMs = number(what, 'timeoutMs', options.timeoutMs)
  if (timeoutMs < 0) throw new RangeError(`${what}: timeoutMs is ${timeoutMs}; it must be 0 or more milliseconds`)
}
