// SPDX-License-Identifier: Apache-2.0
// GPUs as bookkeeping: the ids given to the task or actor of this process, and the variable that tells libraries of them.

import { fromAmounts } from '../core/resources.js'
import type { Amounts } from '../wire/messages.js'

let gpuIds: string[] = []
let assigned: Record<string, number> = {}

let kept: string | null = null

/**
 * A runtime environment names CUDA_VISIBLE_DEVICES itself: the value stays as it is, whatever ids are handed out. Where
 * that differs, the output says so, once for each difference.
 */
export function keepVisibleDevices(): void {
  kept = process.env.CUDA_VISIBLE_DEVICES ?? ''
}

let told = ''

/** Sets the ids, and CUDA_VISIBLE_DEVICES to the same: none is '' where the node has GPUs, whose ids belong to others. On a node without any the variable stays as it is. */
export function setAccelerators(ids: string[], nodeHasGpus: boolean): void {
  gpuIds = ids
  const named = ids.join(',')
  if (kept !== null) {
    if (ids.length > 0 && named !== kept && named !== told) {
      process.stderr.write(
        `eagleray: CUDA_VISIBLE_DEVICES stays ${JSON.stringify(kept)}, as runtimeEnv.envVars says; the GPUs given here are ${named} (getGpuIds())\n`,
      )
      told = named
    }
    return
  }
  if (ids.length > 0 || nodeHasGpus) process.env.CUDA_VISIBLE_DEVICES = named
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
