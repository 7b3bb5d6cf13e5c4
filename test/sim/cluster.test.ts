// SPDX-License-Identifier: Apache-2.0
// Random programs on a simulated cluster under random courses of events. A failing seed comes again with SIM_SEED=…;
// SIM_SEEDS=n runs that many, from SIM_FROM on.

import { runCourse } from './cluster/course.js'

const FROM = Number(process.env.SIM_FROM ?? 1)
const SEEDS = Number(process.env.SIM_SEEDS ?? 1000)

function run(seed: number): number {
  try {
    return runCourse(seed)
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}; again with SIM_SEED=${seed}`, { cause: error })
  }
}

suite('a simulated cluster', function () {
  this.timeout(0)

  if (process.env.SIM_SEED !== undefined) {
    test(`seed ${process.env.SIM_SEED}`, () => void run(Number(process.env.SIM_SEED)))
    return
  }

  test(`${SEEDS} seeds from ${FROM}`, () => {
    let steps = 0
    for (let seed = FROM; seed < FROM + SEEDS; seed++) steps += run(seed)
    console.log(`      ${steps} steps`)
  })
})
