// SPDX-License-Identifier: Apache-2.0
// What a node offers: the options that init(), `eagleray start` and clusters of tests share, and what is refused of them.

import { limits } from '../options.js'
import { count, flag } from '../run/option-checks.js'
import { checkLabels } from './strategy.js'
import { checkResources, type ResourceOptions } from './task-options.js'

export interface NodeOptions extends ResourceOptions {
  labels?: Record<string, string>
  objectStoreBytes?: number
  spill?: boolean
  spillDir?: string
}

/** Their names: what is decided where a node is started. */
export const NODE_KEYS = ['numCpus', 'numGpus', 'memoryBytes', 'resources', 'labels', 'objectStoreBytes', 'spill', 'spillDir'] as const

/** Throws TypeError or RangeError for what cannot be, before anything is started. */
export function checkNodeOptions(what: string, options: NodeOptions): void {
  checkResources(what, options)
  checkLabels(what, options.labels)
  count(what, 'objectStoreBytes', options.objectStoreBytes, limits.storeBytesMin, limits.storeBytesMax)
  flag(what, 'spill', options.spill)
  const { spillDir } = options
  if (spillDir !== undefined && (typeof spillDir !== 'string' || spillDir === ''))
    throw new TypeError(`${what}: spillDir must be the path of a directory`)
  if (spillDir !== undefined && options.spill === false) throw new TypeError(`${what}: spillDir is given, and spill is false`)
}
