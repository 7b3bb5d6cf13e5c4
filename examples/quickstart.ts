// SPDX-License-Identifier: Apache-2.0
// The quickstart: `npm start`. Delays of 200,000 flights, computed by all cores on one copy of the table.
//
// A task is a function that runs in another process: `remote(fn)` makes it one, `.remote(…)` starts it and gives a ref at
// once, `get(ref)` waits for the value. An actor is a class whose instance lives in a process of its own.

import { get, init, put, remote, shutdown } from 'eagleray'
import { type Flights, loadFlights, merge, RESAMPLES, report, resample, type Summary, summarise } from './flights.ts'
import { comparePages, seePages } from './shared-pages.ts'

const PARTS = 16

/** Keeps state between calls: how far the work is. */
class Progress {
  parts = 0
  flights = 0
  late = 0

  add(part: Summary): void {
    this.parts += 1
    this.flights += part.flights.reduce((sum, count) => sum + count, 0)
    this.late += part.late.reduce((sum, count) => sum + count, 0)
  }

  totals() {
    return { parts: this.parts, flights: this.flights, late: this.late }
  }

  /** The pages of the table this process sees: for the proof at the end. */
  pages(flights: Flights) {
    return seePages(flights)
  }
}

// Tasks are ordinary functions; here those of flights.ts, which a plain loop could call as well.
const countPart = remote(summarise)
const mergeParts = remote(merge)
const resamplePart = remote(resample)
const pagesOf = remote(seePages)

const started = performance.now()
const { sessionDir } = await init()
console.log(`session in ${sessionDir}, ready after ${since(started)}`)

const table = loadFlights()
const flights = put(table) // one copy, into shared memory
console.log(`table of ${table.numRows} flights put once: ${bytesOf(table)} bytes\n`)

const working = performance.now()
const progress = remote(Progress).remote()

// The table is an argument of every task, and no task copies it: each reads its range through a view.
let level = range(PARTS).map(i => countPart.remote(flights, ...share(i, table.numRows)))
const means = range(PARTS).map(i => resamplePart.remote(flights, ...share(i, RESAMPLES)))

// A ref may be an argument before its value is there: the actor gets each part as soon as it is counted.
for (const part of level) progress.add.remote(part)

// Reduce in a tree, which is handed out at once for the same reason.
while (level.length > 1) level = range(level.length / 2).map(i => mergeParts.remote(level[2 * i]!, level[2 * i + 1]!))

const summary = await get(level[0]!)
const drawn = await get(means)
const answers = { summary, means: Float64Array.from(drawn.flatMap(part => [...part])) }
const took = since(working)
console.log(report(answers))

const totals = await get(progress.totals.remote())
console.log(`\nthe actor counted ${totals.flights} flights in ${totals.parts} parts, ${totals.late} of them late`)
console.log(`${PARTS} counts, ${PARTS - 1} merges, ${RESAMPLES} resamples in ${PARTS} tasks: ${took}`)

// Three processes look at the table: a worker, the actor's process and this one.
const view = await get(flights)
const seen = await get([pagesOf.remote(flights), progress.pages.remote(flights)])
console.log(comparePages([...seen, seePages(view)]))

await shutdown()

/** The i-th of PARTS shares of `count` things: from (included), to (excluded). */
function share(i: number, count: number): [from: number, to: number] {
  return [Math.floor((i * count) / PARTS), Math.floor(((i + 1) * count) / PARTS)]
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i)
}

function bytesOf(flights: Flights): number {
  return flights.batches.reduce((sum, batch) => sum + batch.data.children.reduce((bytes, column) => bytes + column.byteLength, 0), 0)
}

function since(start: number): string {
  return `${(performance.now() - start).toFixed(0)} ms`
}
