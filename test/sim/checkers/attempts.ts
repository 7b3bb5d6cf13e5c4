// SPDX-License-Identifier: Apache-2.0
// Checker: a task fails with the death of its worker, or of its node, only where that has died and all its retries are used up.

import type { Ends } from './ends.js'

const CRASHED = /^WorkerCrashedError: the worker ([0-9a-f]{24}) that ran \S+ died .*; attempts: (\d+)/
const NODE_DIED = /^NodeDiedError: the node ([0-9a-f]{10}) died .*; attempts: (\d+)/

/** What is wrong with a task failing so that may be run again so often (-1: without limit), as words; null when nothing is. */
export function deathProblem(text: string, retries: number, ends: Ends): string | null {
  const crash = CRASHED.exec(text)
  const died = crash ?? NODE_DIED.exec(text)
  if (died === null) return null
  const [, id, attempts] = died as unknown as [string, string, string]
  if (retries === -1) return `attempts: a task that may be run again without limit failed: ${text}`
  if (Number(attempts) <= retries) return `attempts: a task that may be run again ${retries} times failed after ${attempts}: ${text}`
  const isOver = crash === null ? ends.has(id) : ends.isOver(id)
  return isOver ? null : `attempts: it lives: ${text}`
}
