// SPDX-License-Identifier: Apache-2.0
// Pi by throwing darts: the share of random points of the unit square that fall into the quarter circle is pi / 4.
// Many independent tasks, no data: the smallest program that uses all cores.

import { get, remote, shutdown } from 'eagleray'

const TASKS = 64
const DARTS = 500_000

/** Random numbers in [0, 1) that are the same in every run (mulberry32). */
function randomFrom(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

// The function runs in another process; `randomFrom`, which it uses, travels with it.
const countHits = remote((seed: number, darts: number): number => {
  const random = randomFrom(seed)
  let hits = 0
  for (let dart = 0; dart < darts; dart++) {
    const x = random()
    const y = random()
    if (x * x + y * y < 1) hits++
  }
  return hits
})

// `.remote()` returns at once: all tasks are handed out before the first has ended.
const refs = Array.from({ length: TASKS }, (_, task) => countHits.remote(task, DARTS))
const hits = await get(refs)

const pi = (4 * hits.reduce((sum, each) => sum + each, 0)) / (TASKS * DARTS)
console.log(`pi is about ${pi} (${TASKS * DARTS} darts in ${TASKS} tasks)`)

await shutdown()
