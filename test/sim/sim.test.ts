// SPDX-License-Identifier: Apache-2.0
// Random programs on a simulated node, under random courses of events. A failing seed comes again with SEED=…; SIM_SEEDS=n
// runs that many, from SIM_FROM on.

import { simulate } from './simulate.js'

const FROM = Number(process.env.SIM_FROM ?? 1)
const SEEDS = Number(process.env.SIM_SEEDS ?? 1000)

/** Seeds that once failed, whether with cancels, and what was wrong. */
const regressions: [number, boolean, string][] = [
  [57, false, 'a ref of an owner that died before its reader began'],
  [4570, true, 'a cancelled task runs on, and its arguments are gone'],
]

function run(seed: number, cancels = true): number {
  try {
    return simulate(seed, cancels)
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

  for (const [seed, cancels, what] of regressions) test(`seed ${seed}: ${what}`, () => void run(seed, cancels))

  test(`${SEEDS} seeds from ${FROM}`, () => {
    let steps = 0
    for (let seed = FROM; seed < FROM + SEEDS; seed++) steps += run(seed)
    console.log(`      ${steps} steps`)
  })
})
