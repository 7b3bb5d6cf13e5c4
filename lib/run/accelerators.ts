// SPDX-License-Identifier: Apache-2.0
// GPUs as bookkeeping: the ids given to the task or actor of this process, and the variable that tells libraries of them.

import { fromAmounts } from '../core/resources.js'
import type { Amounts } from '../wire/messages.js'

let gpuIds: string[] = []
let assigned: Record<string, number> = {}

/** Sets the ids, and CUDA_VISIBLE_DEVICES to the same: none is '' where the node has GPUs, whose ids belong to others. On a node without any the variable stays as it is. */
export function setAccelerators(ids: string[], nodeHasGpus: boolean): void {
  gpuIds = ids
  if (ids.length > 0 || nodeHasGpus) process.env.CUDA_VISIBLE_DEVICES = ids.join(',')
}

export function setAssignedResources(amounts: Amounts): void {
  assigned = fromAmounts(amounts)
}

export function assignedGpuIds(): string[] {
  return [...gpuIds]
}

export function assignedResources(): Record<string, number> {
  return { ...assigned }
}
