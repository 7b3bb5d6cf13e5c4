// SPDX-License-Identifier: Apache-2.0
// What a node offers: what the user said, else what the machine has. Runs in the driver, so that wrong figures are
// errors of `init()` before any process is started.

import { readdirSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { largestOf, STEPS, toAmounts } from '../core/resources.js'
import type { Amounts } from '../wire/messages.js'

export interface ResourceOptions {
  /** Default: the CPUs this process may use. */
  numCpus?: number | undefined
  /** Default: as many as CUDA_VISIBLE_DEVICES names, else as many as the machine has. */
  numGpus?: number | undefined
  /** Default: the memory of the machine or container, less the object store. */
  memoryBytes?: number | undefined
  resources?: Record<string, number> | undefined
  objectStoreBytes?: number | undefined
}

export interface NodeResources {
  total: Amounts
  gpuIds: string[]
}

/** Throws RangeError when there are fewer visible GPUs than asked for, or a count is negative or not a number. */
export function nodeResources(options: ResourceOptions, env: NodeJS.ProcessEnv): NodeResources {
  const { numCpus = availableParallelism(), resources = {} } = options
  const gpuIds = findGpus(options.numGpus, env.CUDA_VISIBLE_DEVICES)
  const storeBytes = options.objectStoreBytes ?? Math.floor(0.3 * machineMemory())
  const memory = options.memoryBytes ?? Math.max(0, machineMemory() - storeBytes)
  for (const [name, value] of Object.entries({ numCpus, memoryBytes: memory, objectStoreBytes: storeBytes, ...resources })) {
    const most = largestOf(name.endsWith('Bytes') && !(name in resources) ? 'memory' : name)
    if (!(typeof value === 'number' && value >= 0 && value <= most))
      throw new RangeError(`${name} must be a number from 0 to ${most}, it is ${value}`)
  }
  for (const name of ['CPU', 'GPU', 'memory', 'objectStoreMemory']) {
    if (name in resources) throw new RangeError(`resources may not name ${name}: use numCpus, numGpus, memoryBytes or objectStoreBytes`)
  }
  const total = toAmounts({ ...resources, CPU: numCpus, memory, objectStoreMemory: storeBytes })
  if (gpuIds.length > 0) total.GPU = gpuIds.length * STEPS
  return { total, gpuIds }
}

/** Bytes of memory of the machine, or of the container where that has less. */
export function machineMemory(): number {
  const constrained = process.constrainedMemory?.() ?? 0
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}

function findGpus(wanted: number | undefined, visible: string | undefined): string[] {
  if (wanted !== undefined && !(Number.isInteger(wanted) && wanted >= 0)) {
    throw new RangeError(`numGpus must be a whole number not below 0, it is ${wanted}`)
  }
  if (visible !== undefined) {
    const ids = visibleIds(visible)
    if (wanted !== undefined && wanted > ids.length) {
      throw new RangeError(`numGpus is ${wanted}, and CUDA_VISIBLE_DEVICES=${JSON.stringify(visible)} names ${ids.length}`)
    }
    return ids.slice(0, wanted ?? ids.length)
  }
  return Array.from({ length: wanted ?? devicesPresent() }, (_, index) => `${index}`)
}

/** As CUDA reads it: nothing counts from the first entry on that is no device. */
function visibleIds(visible: string): string[] {
  const ids = visible.split(',').map(id => id.trim())
  const end = ids.findIndex(id => id === '' || id === '-1' || id === 'NoDevFiles')
  return end < 0 ? ids : ids.slice(0, end)
}

function devicesPresent(): number {
  try {
    return readdirSync('/dev').filter(name => /^nvidia\d+$/.test(name)).length
  } catch {
    return 0
  }
}
