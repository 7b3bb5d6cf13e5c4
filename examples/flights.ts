// SPDX-License-Identifier: Apache-2.0
// The data and the arithmetic of the quickstart: 200,000 flights, their delays by hour and distance, and how sure the
// averages are. Nothing here knows of eagleray: the same functions run in a plain loop (`plainAnswers`) and in tasks.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type Float32, type Int16, type Table, tableFromIPC } from 'apache-arrow'

/** One row a flight: minutes of delay (negative: early), miles flown, hour of departure (0 to 24). */
export type Flights = Table<{ delay: Int16; distance: Int16; time: Float32 }>

/** Counts by cell; a cell is one block of three hours and one band of distance. Whole numbers, so that order does not matter. */
export interface Summary {
  flights: Float64Array
  minutes: Float64Array
  late: Float64Array
}

/** What the program finds out. `means` holds, for each resample, the mean delay of each block of hours. */
export interface Answers {
  summary: Summary
  means: Float64Array
}

const BLOCKS = 8
const BANDS = [0, 250, 500, 1000, 2000]
const LATE_MINUTES = 15

/** How often the flights are drawn again to see how much the averages vary. */
export const RESAMPLES = 200

/** Reads the table that the npm package `vega-datasets` ships. */
export function loadFlights(): Flights {
  const main = createRequire(import.meta.url).resolve('vega-datasets') // …/vega-datasets/build/…
  return tableFromIPC(readFileSync(join(dirname(main), '../data/flights-200k.arrow')))
}

/** Counts the rows `from` (included) to `to` (excluded). */
export function summarise(flights: Flights, from: number, to: number): Summary {
  const { delay, distance, time } = columns(flights)
  const cells = BLOCKS * BANDS.length
  const summary = { flights: new Float64Array(cells), minutes: new Float64Array(cells), late: new Float64Array(cells) }
  for (let row = from; row < to; row++) {
    const miles = distance[row]!
    let band = BANDS.length - 1
    while (miles < BANDS[band]!) band--
    const cell = blockOf(time[row]!) * BANDS.length + band
    summary.flights[cell]! += 1
    summary.minutes[cell]! += delay[row]!
    if (delay[row]! > LATE_MINUTES) summary.late[cell]! += 1
  }
  return summary
}

/** Adds two summaries. */
export function merge(a: Summary, b: Summary): Summary {
  const add = (x: Float64Array, y: Float64Array) => x.map((value, cell) => value + y[cell]!)
  return { flights: add(a.flights, b.flights), minutes: add(a.minutes, b.minutes), late: add(a.late, b.late) }
}

/**
 * The bootstrap: draws as many flights as there are, with repetition, and takes the mean delay of each block of hours.
 * Resample number k always draws the same flights, whoever computes it. Gives those of `from` (included) to `to` (excluded).
 */
export function resample(flights: Flights, from: number, to: number): Float64Array {
  const { delay, time } = columns(flights)
  const rows = delay.length
  const block = Uint8Array.from(time, blockOf)
  const means = new Float64Array((to - from) * BLOCKS)
  for (let k = from; k < to; k++) {
    const count = new Float64Array(BLOCKS)
    const minutes = new Float64Array(BLOCKS)
    let state = k + 1
    for (let draw = 0; draw < rows; draw++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      const row = Math.floor((state / 2 ** 32) * rows)
      count[block[row]!]! += 1
      minutes[block[row]!]! += delay[row]!
    }
    for (let b = 0; b < BLOCKS; b++) means[(k - from) * BLOCKS + b] = minutes[b]! / count[b]!
  }
  return means
}

/** The same answers without any parallelism. */
export function plainAnswers(flights: Flights): Answers {
  return { summary: summarise(flights, 0, flights.numRows), means: resample(flights, 0, RESAMPLES) }
}

/** The answers as text. */
export function report({ summary, means }: Answers): string {
  const lines = ['departure   flights   mean delay   95 % sure it lies in   late (> 15 min)']
  for (let block = 0; block < BLOCKS; block++) {
    const cells = BANDS.map((_, band) => block * BANDS.length + band)
    const own = Float64Array.from({ length: means.length / BLOCKS }, (_, k) => means[k * BLOCKS + block]!).sort()
    const low = own[Math.floor(own.length * 0.025)]!
    const high = own[Math.ceil(own.length * 0.975) - 1]!
    const hours = `${String(block * 3).padStart(2, '0')}-${String(block * 3 + 3).padStart(2, '0')} h`
    lines.push(line(hours, summary, cells, `${low.toFixed(2)} to ${high.toFixed(2)}`))
  }
  lines.push('', 'distance    flights   mean delay                          late (> 15 min)')
  BANDS.forEach((miles, band) => {
    const cells = Array.from({ length: BLOCKS }, (_, block) => block * BANDS.length + band)
    lines.push(line(`${miles}+ mi`, summary, cells, ''))
  })
  return lines.join('\n')
}

function line(title: string, summary: Summary, cells: number[], interval: string): string {
  const sum = (counts: Float64Array) => cells.reduce((total, cell) => total + counts[cell]!, 0)
  const flights = sum(summary.flights)
  const mean = (sum(summary.minutes) / flights).toFixed(2)
  const late = ((100 * sum(summary.late)) / flights).toFixed(1)
  return `${title.padEnd(10)}${String(flights).padStart(9)}${mean.padStart(9)} min${interval.padStart(22)}${late.padStart(17)} %`
}

function columns(flights: Flights) {
  return {
    delay: flights.getChild('delay')!.toArray(),
    distance: flights.getChild('distance')!.toArray(),
    time: flights.getChild('time')!.toArray(),
  }
}

function blockOf(time: number): number {
  return Math.min(BLOCKS - 1, Math.floor(time / 3))
}
