// SPDX-License-Identifier: Apache-2.0
// Random programs on a simulated node, under random courses of events. A failing seed comes again with SEED=…; SIM_SEEDS=n
// runs that many, from SIM_FROM on.

import { simulate } from './simulate.js'

const FROM = Number(process.env.SIM_FROM ?? 1)
const SEEDS = Number(process.env.SIM_SEEDS ?? 1000)

/** Seeds that once failed, with what was wrong. */
const regressions: [number, string][] = [[57, 'a ref of an owner that died before its reader began']]

function run(seed: number): number {
  try {
    return simulate(seed)
  } catch (error) {
    throw new Error(`seed=${seed}: ${(error as Error).message}`, { cause: error })
  }
}

suite('simulation', function () {
  this.timeout(0)

  if (process.env.SEED !== undefined) {
    test(`seed ${process.env.SEED}`, () => void run(Number(process.env.SEED)))
    return
  }

  for (const [seed, what] of regressions) test(`seed ${seed}: ${what}`, () => void run(seed))

  test(`${SEEDS} seeds from ${FROM}`, () => {
    let steps = 0
    for (let seed = FROM; seed < FROM + SEEDS; seed++) steps += run(seed)
    console.log(`      ${steps} steps`)
  })
})
