// SPDX-License-Identifier: Apache-2.0
// How much memory is used, read from the kernel's files: of the machine, and of the cgroups (version 2) that this process
// is in where they have a limit. What counts is whichever is fuller.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { MemoryTotals } from '../core/node/events.js'

const CGROUP_ROOT = '/sys/fs/cgroup'

export class MemoryGauge {
  readonly #proc: string
  readonly #cgroups: readonly string[]

  /** `cgroup`: the one directory to look at instead of those this process is in. */
  constructor(cgroup: string | null, proc = '/proc') {
    this.#proc = proc
    this.#cgroups = cgroup === null ? ownCgroups(proc) : [cgroup]
  }

  /** Null where the kernel does not tell. */
  totals(): MemoryTotals | null {
    const kernelKills = this.kernelKills()
    let fullest: MemoryTotals | null = null
    for (const usage of [this.#machine(), ...this.#cgroups.map(cgroupUsage)]) {
      if (usage === null) continue
      if (fullest === null || usage.usedBytes / usage.totalBytes > fullest.usedBytes / fullest.totalBytes)
        fullest = { ...usage, kernelKills }
    }
    return fullest
  }

  /** Memory that only this process has, in RAM or swapped: views over the store are not counted. 0 for one that is gone. */
  sizeOf(pid: number): number {
    const status = read(join(this.#proc, `${pid}`, 'status'))
    return 1024 * ((field(status, 'RssAnon:') ?? 0) + (field(status, 'VmSwap:') ?? 0))
  }

  #machine(): Omit<MemoryTotals, 'kernelKills'> | null {
    const info = read(join(this.#proc, 'meminfo'))
    const [total, available] = [field(info, 'MemTotal:'), field(info, 'MemAvailable:')]
    if (total === null || available === null) return null
    return { usedBytes: (total - available) * 1024, totalBytes: total * 1024, where: 'the machine' }
  }

  /** Processes ended by the kernel's memory killer since always: of the own cgroup where it counts, else of the machine. */
  kernelKills(): number {
    for (const cgroup of this.#cgroups) {
      const count = field(read(join(cgroup, 'memory.events')), 'oom_kill ')
      if (count !== null) return count
    }
    return field(read(join(this.#proc, 'vmstat')), 'oom_kill ') ?? 0
  }
}

/** The cgroup of this process and those it is in, innermost first. */
function ownCgroups(proc: string): string[] {
  const path = /^0::(\/.*)$/m.exec(read(join(proc, 'self', 'cgroup')))?.[1]
  const found: string[] = []
  for (let at = path ?? '/'; ; at = dirname(at)) {
    found.push(join(CGROUP_ROOT, at))
    if (at === '/') return found
  }
}

/** What it uses without the cache of files, which the kernel takes back when it needs room; null when it has no limit. */
function cgroupUsage(cgroup: string): Omit<MemoryTotals, 'kernelKills'> | null {
  const totalBytes = Number.parseInt(read(join(cgroup, 'memory.max')), 10)
  const current = Number.parseInt(read(join(cgroup, 'memory.current')), 10)
  if (!(totalBytes > 0 && current >= 0)) return null
  const stat = read(join(cgroup, 'memory.stat'))
  const cache = (field(stat, 'active_file ') ?? 0) + (field(stat, 'inactive_file ') ?? 0)
  return { usedBytes: Math.max(0, current - cache), totalBytes, where: `the cgroup ${cgroup}` }
}

/** The number behind a name, and what delimits that, at the start of a line. */
function field(text: string, name: string): number | null {
  const at = text.startsWith(name) ? 0 : text.indexOf(`\n${name}`) + 1
  if (at === 0 && !text.startsWith(name)) return null
  const number = Number.parseInt(text.slice(at + name.length), 10)
  return Number.isNaN(number) ? null : number
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
