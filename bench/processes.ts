// SPDX-License-Identifier: Apache-2.0
// What a process and everything it started hold in memory, from /proc.

import { readdirSync, readFileSync } from 'node:fs'

/** `pid` and all its descendants that are alive. */
export function processTree(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = parentOf(Number(name))
    if (parent !== null) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const found: number[] = []
  const queue = [pid]
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    found.push(next)
    queue.push(...(children.get(next) ?? []))
  }
  return found
}

function parentOf(pid: number): number | null {
  const stat = read(`/proc/${pid}/stat`)
  // The name stands in parentheses and may hold anything; the fields after it do not.
  return stat === null ? null : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

/** Proportional set size in MB: a page shared by n processes counts 1/n in each, so shared memory is counted once. */
export function residentMegabytes(pids: readonly number[]): number {
  const kib = pids.map(pid => Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? 0))
  return (kib.reduce((sum, value) => sum + value, 0) * 1024) / 1e6
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null // It ended in between.
  }
}
