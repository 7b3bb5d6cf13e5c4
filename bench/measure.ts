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
    const sample = await sampleOf(row, running.run)
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
  bench.add(name, sample, { async: sample.constructor.name === 'AsyncFunction' })
  const [task] = await bench.run()
  const result = task?.result
  if (result?.state !== 'completed') throw new Error(`${name} ended in state ${result?.state}`)
  return result.latency.mean
}

/** One sample. Which of the two it is, is found by one call, so that tinybench need not guess and a synchronous row is not awaited. */
async function sampleOf(row: Row, run: () => unknown): Promise<() => unknown> {
  const inner = row.inner ?? 1
  const first = run()
  await first
  if (first instanceof Promise) {
    return async () => {
      for (let i = 0; i < inner; i++) await run()
    }
  }
  return () => {
    for (let i = 0; i < inner; i++) run()
  }
}
