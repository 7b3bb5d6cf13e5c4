// SPDX-License-Identifier: Apache-2.0
// Shows that processes which read one object of the store read the same physical memory.
//
// Linux tells in /proc/self/pagemap what stands behind each page of a process: whether it is a page of a file that all
// share or a private copy, and to root also the number of the physical page. A process reads the store through a mapping
// of the file `segment` that is private (a stray write would stay its own), so the pages present in that mapping are those
// of the objects it is reading now.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import type { Flights } from './flights.ts'

const PAGE_BYTES = 4096

/** The pages of the store one process sees: where each lies in the segment, and which physical page it is (0: not told). */
export interface SeenPages {
  pid: number
  /** Of every value in the table, so that each of its pages was read. */
  sum: number
  offsets: Float64Array
  frames: Float64Array
  /** Pages that are private copies of this process. */
  copies: number
}

/** Reads every column once, then looks which pages of the store this process has before it. Null where the kernel does not tell. */
export function seePages(flights: Flights): SeenPages | null {
  let sum = 0
  for (const name of ['delay', 'distance', 'time'] as const) for (const value of flights.getChild(name)!.toArray()) sum += value
  const seen = { pid: process.pid, sum, offsets: [] as number[], frames: [] as number[], copies: 0 }
  try {
    const maps = readFileSync('/proc/self/maps', 'utf8')
    for (const [, from, to, offset] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) r\S\Sp ([0-9a-f]+) .*\/segment$/gm)) {
      const first = Number.parseInt(from!, 16) / PAGE_BYTES
      for (const { page, low, high } of presentPages(first, Number.parseInt(to!, 16) / PAGE_BYTES)) {
        if ((high & 0x2000_0000) === 0) seen.copies++ // bit 61 is set on a page of a file, clear on a copy
        seen.offsets.push(Number.parseInt(offset!, 16) + (page - first) * PAGE_BYTES)
        seen.frames.push((high & 0x7f_ffff) * 2 ** 32 + low) // bits 0 to 54
      }
    }
  } catch {
    return null
  }
  return { ...seen, offsets: Float64Array.from(seen.offsets), frames: Float64Array.from(seen.frames) }
}

/** One sentence about what several processes have in common. */
export function comparePages(seen: (SeenPages | null)[]): string {
  const told = seen.filter(each => each !== null)
  if (told.length < seen.length) return 'zero-copy: not shown, this system hides /proc/self/pagemap'
  if (told.some(each => each.sum !== told[0]!.sum)) throw new Error('the processes read different numbers')
  const maps = told.map(each => new Map(Array.from(each.offsets, (offset, i) => [offset, each.frames[i]!])))
  const common = [...maps[0]!.keys()].filter(offset => maps.every(map => map.has(offset)))
  const differing = common.filter(offset => maps.some(map => map.get(offset) !== maps[0]!.get(offset))).length
  const copies = told.reduce((sum, each) => sum + each.copies, 0)
  const how = told.some(each => each.frames.some(frame => frame !== 0))
    ? 'by their physical numbers'
    : 'as pages of one file; root would see their numbers'
  const pids = told.map(each => each.pid).join(', ')
  return `zero-copy: processes ${pids} read ${common.length} pages in common (${how}), ${differing} differ, ${copies} are private copies`
}

/** The present pages from page number `first` to `end`, each with its 64-bit entry as two words. */
function* presentPages(first: number, end: number): Generator<{ page: number; low: number; high: number }> {
  const entries = new Uint32Array(2 * 65536)
  const file = openSync('/proc/self/pagemap', 'r')
  try {
    for (let page = first; page < end; ) {
      const bytes = readSync(file, entries, 0, Math.min(entries.byteLength, (end - page) * 8), page * 8)
      if (bytes === 0) return
      for (let i = 0; i < bytes / 8; i++) {
        const high = entries[2 * i + 1]!
        if (high >>> 31 === 1) yield { page: page + i, low: entries[2 * i]!, high } // bit 63: present
      }
      page += bytes / 8
    }
  } finally {
    closeSync(file)
  }
}
