// SPDX-License-Identifier: Apache-2.0
// Where a task or actor may run: the options `schedulingStrategy` and `labelSelector`, and what is refused at the call.

import { describeLabels, isLabelValue, RESERVED_LABELS, termProblem } from '../core/policy/labels.js'
import { flag, isRecord, refuseUnknown } from '../run/option-checks.js'
import type { Amounts, Strategy, Where } from '../wire/messages.js'
import { checkFits, checkGroupStrategy, type PlacementGroupStrategy } from './bundles.js'

/** That node. Made by `nodeAffinity()`. */
export interface NodeAffinity {
  readonly kind: 'nodeAffinity'
  readonly nodeId: string
  readonly soft: boolean
}

export type SchedulingStrategy = 'DEFAULT' | 'SPREAD' | NodeAffinity | PlacementGroupStrategy

export interface PlacementOptions {
  /** 'DEFAULT': here while this node is less than half full, then where there is room. 'SPREAD': on each node in turn. Or one node, or a bundle of a placement group. */
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
  if (isGroupStrategy(schedulingStrategy))
    throw new TypeError(`${what}: a placement group decides on which nodes it is, so labelSelector cannot be given with it`)
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
  if (isGroupStrategy(strategy)) return checkGroupStrategy(what, strategy)
  if (!isRecord(strategy) || strategy.kind !== 'nodeAffinity')
    throw new TypeError(`${what}: schedulingStrategy must be 'DEFAULT', 'SPREAD' or what nodeAffinity() or placementGroupStrategy() gives`)
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

/**
 * Null: anywhere, by DEFAULT. `captured`: the placement group of the task or actor that submits it, where that captures what
 * it submits; whoever says where it may run escapes that.
 */
export function whereOf({ schedulingStrategy, labelSelector }: PlacementOptions, captured: string | null): Where | null {
  if (schedulingStrategy === undefined && labelSelector === undefined && captured !== null)
    return { strategy: { is: 'group', groupId: captured, bundle: -1, capture: true }, labels: {} }
  const strategy = strategyOf(schedulingStrategy)
  if (strategy.is === 'default' && Object.keys(labelSelector ?? {}).length === 0) return null
  return { strategy, labels: { ...labelSelector } }
}

/** Throws RangeError for what fits no bundle of the placement group that it is to run in. */
export function checkRoom(what: string, { schedulingStrategy }: PlacementOptions, need: Amounts): void {
  if (isGroupStrategy(schedulingStrategy)) checkFits(what, schedulingStrategy, need)
}

function isGroupStrategy(strategy: unknown): strategy is PlacementGroupStrategy {
  return isRecord(strategy) && strategy.kind === 'placementGroup'
}

function strategyOf(given: SchedulingStrategy | undefined): Strategy {
  if (given === undefined || given === 'DEFAULT') return { is: 'default' }
  if (given === 'SPREAD') return { is: 'spread' }
  if (isGroupStrategy(given)) {
    const { groupId, bundleIndex, captureChildTasks } = given
    return { is: 'group', groupId, bundle: bundleIndex, capture: captureChildTasks }
  }
  return { is: 'node', nodeId: given.nodeId, soft: given.soft }
}

function describeStrategy(strategy: Strategy): string {
  switch (strategy.is) {
    case 'default':
      return ''
    case 'spread':
      return 'spread'
    case 'node':
      return `node:${strategy.nodeId}${strategy.soft ? '?' : ''}`
    case 'group':
      return `group:${strategy.groupId}:${strategy.bundle}${strategy.capture ? '+' : ''}`
  }
}

/** For the key of a scheduling class: equal places have equal texts. Empty for anywhere. */
export function describeWhere(where: Where | null): string {
  if (where === null) return ''
  const { strategy } = where
  const labels = describeLabels(where.labels)
  return [describeStrategy(strategy), labels === '' ? '' : `labels:${labels}`].filter(part => part !== '').join(' ')
}
