// SPDX-License-Identifier: Apache-2.0
// Label selectors: by name of a label "v", "!v", "in(a,b)" or "!in(a,b)"; all must hold. The negative ones hold also of a
// node that does not have the label.

import type { NodeState } from './node-state.js'

/** Every node has it, with its id as value. */
export const NODE_ID_LABEL = 'eagleray.io/node-id'
/** Names that begin with this are given by the system. */
export const RESERVED_LABELS = 'eagleray.io/'

interface Term {
  readonly name: string
  readonly values: readonly string[]
  readonly negative: boolean
}

/** Whether a node is selected. */
export type Selector = (node: Pick<NodeState, 'nodeId' | 'labels'>) => boolean

export function selector(labels: Record<string, string>): Selector {
  const terms = Object.entries(labels).map(([name, text]) => term(name, text))
  if (terms.length === 0) return () => true
  return node => terms.every(each => holds(each, labelOf(node, each.name)))
}

/** What is wrong with the text of a term; null when nothing is. */
export function termProblem(text: string): string | null {
  const body = text.startsWith('!') ? text.slice(1) : text
  if (body === '') return 'is empty'
  const list = /^in\((.*)\)$/.exec(body)
  if (list !== null) return values(list[1] as string).some(value => !VALUE.test(value)) ? 'names a value that is none' : null
  return VALUE.test(body) ? null : 'is neither "v", "!v", "in(a,b)" nor "!in(a,b)"'
}

/** What may be the value of a label: letters, digits, `-`, `_`, `.` and `/`. */
const VALUE = /^[\w./-]+$/

export function isLabelValue(text: string): boolean {
  return VALUE.test(text)
}

function term(name: string, text: string): Term {
  const negative = text.startsWith('!')
  const body = negative ? text.slice(1) : text
  const list = /^in\((.*)\)$/.exec(body)
  return { name, negative, values: list === null ? [body] : values(list[1] as string) }
}

function values(list: string): string[] {
  return list.split(',').map(each => each.trim())
}

function holds({ values: wanted, negative }: Term, value: string | undefined): boolean {
  return negative !== (value !== undefined && wanted.includes(value))
}

/** Those it was given and those that every node has. */
export function allLabels({ nodeId, labels }: Pick<NodeState, 'nodeId' | 'labels'>): Record<string, string> {
  return { ...labels, [NODE_ID_LABEL]: nodeId }
}

function labelOf({ nodeId, labels }: Pick<NodeState, 'nodeId' | 'labels'>, name: string): string | undefined {
  return name === NODE_ID_LABEL ? nodeId : Object.hasOwn(labels, name) ? labels[name] : undefined
}

/** For people and for class keys: `zone=in(a,b),!x=y`, in order of the names. */
export function describeLabels(labels: Record<string, string>): string {
  return Object.keys(labels)
    .sort()
    .map(name => `${name}=${labels[name]}`)
    .join(',')
}
