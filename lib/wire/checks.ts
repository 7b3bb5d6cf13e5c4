// SPDX-License-Identifier: Apache-2.0
// Whether a field of a message is what its kind says. Everybody who hears a message relies on this alone: a number that would
// never end a loop, or an id that names nothing, is refused here and nowhere else.

import { isNodeId, isOwnedId, isWorkerId } from '../ids.js'
import { limits } from '../options.js'

export type Check = (field: unknown) => boolean

/** A field as a table says it: "name:kind", or "name:kind?" where it may be null. */
export interface Field {
  name: string
  kind: string
  check: Check
}

export const isRecord = (field: unknown): field is Record<string, unknown> =>
  typeof field === 'object' && field !== null && !Array.isArray(field) && !(field instanceof Uint8Array)

const isInteger = Number.isSafeInteger as Check
const from =
  (least: number, most = Number.MAX_SAFE_INTEGER): Check =>
  field =>
    isInteger(field) && (field as number) >= least && (field as number) <= most
const text =
  (check: (text: string) => boolean): Check =>
  field =>
    typeof field === 'string' && check(field)
const listOf =
  (check: Check): Check =>
  field =>
    Array.isArray(field) && field.every(check)
const valuesOf =
  (check: Check): Check =>
  field =>
    isRecord(field) && Object.values(field).every(check)
const pairOf =
  (first: Check, second: Check): Check =>
  field =>
    Array.isArray(field) && field.length === 2 && first(field[0]) && second(field[1])

const isCount = from(0)
const isString = text(() => true)
const isWorker = text(isWorkerId)
const isNode = text(isNodeId)
const isOwned = text(isOwnedId)
/** Of one class, at one node. */
const isWant = from(0, limits.wantMax)
const isAmounts = valuesOf(isCount)

/** The kinds of fields that are no records. */
const simple: Record<string, Check> = {
  boolean: field => typeof field === 'boolean',
  string: isString,
  strings: listOf(isString),
  texts: valuesOf(isString),
  bytes: field => field instanceof Uint8Array,
  /** Of anything; the reader looks. */
  list: field => Array.isArray(field),

  integer: isInteger,
  count: isCount,
  counts: listOf(isCount),
  'count-pairs': listOf(pairOf(isCount, isCount)),
  positive: from(1),
  /** -1: none. */
  limit: from(-1),
  wanted: isWant,
  wanteds: listOf(isWant),
  amounts: isAmounts,
  amountses: listOf(isAmounts),
  /** What is left of amounts: of what more was promised than there is, less than nothing. */
  balances: valuesOf(Number.isFinite as Check),

  worker: isWorker,
  workers: listOf(isWorker),
  /** Empty: not known. */
  driver: field => field === '' || isWorker(field),
  daemons: listOf(each => each === null || isWorker(each)),
  node: isNode,
  nodes: listOf(isNode),
  /** A process or a whole node. */
  dead: field => isWorker(field) || isNode(field),
  id: isOwned,
  ids: listOf(isOwned),
  watchers: listOf(pairOf(isOwned, isWorker)),
}

/** The kinds of fields that there are: those above, and what is made of them. */
export class Kinds {
  readonly #checks = new Map(Object.entries(simple))

  add(name: string, check: Check): void {
    this.#checks.set(name, check)
  }

  /** A record with these fields. Its plural: a list of such. */
  addRecord(name: string, fields: string): void {
    const list = this.#fieldsOf(fields)
    const check: Check = field => isRecord(field) && list.every(each => each.check(field[each.name]))
    this.add(name, check)
    this.add(`${name}s`, listOf(check))
  }

  /** One of several records, which their `is` tells apart. */
  addUnion(name: string, members: Readonly<Record<string, string>>): void {
    this.add(name, isOneOf(this.tableOf(members)))
  }

  tableOf(members: Readonly<Record<string, string>>): Map<string, Field[]> {
    return new Map(Object.entries(members).map(([is, fields]) => [is, this.#fieldsOf(fields)]))
  }

  #fieldsOf(fields: string): Field[] {
    return fields === '' ? [] : fields.split(' ').map(each => this.#fieldOf(each))
  }

  #fieldOf(field: string): Field {
    const [name, kind] = field.split(':') as [string, string]
    const check = this.#checks.get(kind.replace('?', ''))
    if (check === undefined) throw new TypeError(`there is no kind of field ${kind}`)
    return { name, kind, check: kind.endsWith('?') ? value => value === null || check(value) : check }
  }
}

export function isOneOf(members: ReadonlyMap<string, readonly Field[]>): Check {
  return field => {
    if (!isRecord(field) || typeof field.is !== 'string') return false
    return members.get(field.is)?.every(each => each.check(field[each.name])) ?? false
  }
}

/** Whether nothing is inside more than `levels` others: what is too deep could be read and never written again. */
export function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return true
  if (levels === 0) return false
  for (const each of Array.isArray(value) ? value : Object.values(value)) if (!isShallow(each, levels - 1)) return false
  return true
}
