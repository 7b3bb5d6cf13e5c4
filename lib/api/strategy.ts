// SPDX-License-Identifier: Apache-2.0
// Where a task or actor may run: the options `schedulingStrategy` and `labelSelector`, and what is refused at the call.

import { describeLabels, isLabelValue, RESERVED_LABELS, termProblem } from '../core/policy/labels.js'
import { flag, isRecord, refuseUnknown } from '../run/option-checks.js'
import type { Strategy, Where } from '../wire/messages.js'

/** That node. Made by `nodeAffinity()`. */
export interface NodeAffinity {
  readonly kind: 'nodeAffinity'
  readonly nodeId: string
  readonly soft: boolean
}

export type SchedulingStrategy = 'DEFAULT' | 'SPREAD' | NodeAffinity

export interface PlacementOptions {
  /** 'DEFAULT': here while this node is less than half full, then where there is room. 'SPREAD': on each node in turn. Or one node. */
  schedulingStrategy?: SchedulingStrategy
  /** Labels the node must have, by name: "v", "!v", "in(a,b)" or "!in(a,b)". The negative ones hold also where the label is not there. */
  labelSelector?: Readonly<Record<string, string>>
}

export const PLACEMENT_KEYS = ['schedulingStrategy', 'labelSelector'] as const

/**
 * The scheduling strategy that asks for one node. `soft` (default false): another one when that node is gone or can never
 * serve it; while it is only busy, it is waited for. Hard: `TaskUnschedulableError` or `ActorUnschedulableError` instead.
 * Throws TypeError or RangeError for what is no id of a node.
 * @example const near = remote(work, { schedulingStrategy: nodeAffinity({ nodeId: getRuntimeContext().nodeId }) })
 */
export function nodeAffinity(options: { nodeId: string; soft?: boolean }): NodeAffinity {
  const what = 'nodeAffinity()'
  refuseUnknown(what, options, ['nodeId', 'soft'])
  const { nodeId, soft } = options
  if (typeof nodeId !== 'string') throw new TypeError(`${what}: nodeId must be a string, not ${String(nodeId)}`)
  if (!/^[0-9a-f]{10}$/.test(nodeId))
    throw new RangeError(`${what}: nodeId is ${JSON.stringify(nodeId)}; it must be 10 hex digits, as nodes() gives it`)
  flag(what, 'soft', soft)
  return Object.freeze({ kind: 'nodeAffinity', nodeId, soft: soft ?? false })
}

export function checkPlacement(what: string, { schedulingStrategy, labelSelector }: PlacementOptions): void {
  checkStrategy(what, schedulingStrategy)
  if (labelSelector === undefined) return
  if (!isRecord(labelSelector)) throw new TypeError(`${what}: labelSelector must be an object of strings by name`)
  for (const [name, text] of Object.entries(labelSelector)) {
    const path = `${what}: labelSelector[${JSON.stringify(name)}]`
    if (name === '') throw new RangeError(`${path}: the name of a label must not be empty`)
    if (typeof text !== 'string') throw new TypeError(`${path} must be a string, not ${String(text)}`)
    const problem = termProblem(text)
    if (problem !== null) throw new RangeError(`${path} is ${JSON.stringify(text)}, which ${problem}`)
  }
}

function checkStrategy(what: string, strategy: unknown): void {
  if (strategy === undefined || strategy === 'DEFAULT' || strategy === 'SPREAD') return
  if (typeof strategy === 'string')
    throw new RangeError(`${what}: schedulingStrategy is ${JSON.stringify(strategy)}; it must be 'DEFAULT' or 'SPREAD'`)
  if (!isRecord(strategy) || strategy.kind !== 'nodeAffinity')
    throw new TypeError(`${what}: schedulingStrategy must be 'DEFAULT', 'SPREAD' or what nodeAffinity() gives`)
  // It may have been written by hand, or come with a function that travelled.
  const { nodeId, soft } = strategy as { nodeId?: unknown; soft?: unknown }
  nodeAffinity({ nodeId: nodeId as string, soft: soft as boolean })
}

/** Labels of a node, as `init()` and `start` take them. */
export function checkLabels(what: string, labels: unknown): void {
  if (labels === undefined) return
  if (!isRecord(labels) || Object.values(labels).some(each => typeof each !== 'string'))
    throw new TypeError(`${what}: labels must be an object of strings by name`)
  for (const [name, value] of Object.entries(labels)) {
    if (name === '') throw new RangeError(`${what}: the name of a label must not be empty`)
    if (name.startsWith(RESERVED_LABELS))
      throw new RangeError(`${what}: the label ${name} is given by the system: names with ${RESERVED_LABELS} are its own`)
    if (!isLabelValue(value as string))
      throw new RangeError(`${what}: the label ${name} is ${JSON.stringify(value)}; it must be letters, digits and any of - _ . /`)
  }
}

/** Null: anywhere, by DEFAULT. */
export function whereOf({ schedulingStrategy, labelSelector = {} }: PlacementOptions): Where | null {
  const strategy = strategyOf(schedulingStrategy)
  if (strategy.is === 'default' && Object.keys(labelSelector).length === 0) return null
  return { strategy, labels: { ...labelSelector } }
}

function strategyOf(given: SchedulingStrategy | undefined): Strategy {
  if (given === undefined || given === 'DEFAULT') return { is: 'default' }
  if (given === 'SPREAD') return { is: 'spread' }
  return { is: 'node', nodeId: given.nodeId, soft: given.soft }
}

/** For the key of a scheduling class: equal places have equal texts. Empty for anywhere. */
export function describeWhere(where: Where | null): string {
  if (where === null) return ''
  const { strategy } = where
  const labels = describeLabels(where.labels)
  const parts = [
    strategy.is === 'node' ? `node:${strategy.nodeId}${strategy.soft ? '?' : ''}` : strategy.is === 'default' ? '' : strategy.is,
  ]
  return [...parts, labels === '' ? '' : `labels:${labels}`].filter(part => part !== '').join(' ')
}
