// SPDX-License-Identifier: Apache-2.0
// Measures one row with tinybench the way Ray's own benchmark measures its rows: warm up for a second, then several
// rounds of a fixed time, each giving operations by elapsed time. The row's figure is the median of the rounds.

import { Bench } from 'tinybench'
import { lessIsBetter, type Measured, median, type Row } from './row.js'

export interface Timing {
  rounds: number
  roundMs: number
  warmupMs: number
}

export async function measure(row: Row, timing: Timing): Promise<Measured> {
  const running = await row.prepare()
  try {
    const sample = repeated(running.run, row.inner ?? 1)
    await round(sample, row.name, timing.warmupMs)
    const rounds: number[] = []
    for (let i = 0; i < timing.rounds; i++) {
      const perSecond = ((row.inner ?? 1) * row.multiplier * 1000) / (await round(sample, row.name, timing.roundMs))
      rounds.push(lessIsBetter(row.unit) ? (row.unit === 'us' ? 1e6 : 1e3) / perSecond : perSecond)
    }
    return { name: row.name, group: row.group, unit: row.unit, value: median(rounds), rounds }
  } finally {
    await running.stop?.()
  }
}

/** Mean milliseconds a sample over `timeMs`. */
async function round(sample: () => unknown, name: string, timeMs: number): Promise<number> {
  const bench = new Bench({ time: timeMs, iterations: 1, warmup: false, throws: true })
  bench.add(name, sample)
  const [task] = await bench.run()
  const result = task?.result
  if (result?.state !== 'completed') throw new Error(`${name} ended in state ${result?.state}`)
  return result.latency.mean
}

function repeated(run: () => unknown, inner: number): () => unknown {
  if (inner === 1) return run
  return async () => {
    for (let i = 0; i < inner; i++) {
      const pending = run()
      if (pending instanceof Promise) await pending
    }
  }
}
