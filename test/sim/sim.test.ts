// SPDX-License-Identifier: Apache-2.0
// Random programs on a simulated node, under random courses of events. A failing seed comes again with SIM_SEED=…; SIM_SEEDS=n
// runs that many, from SIM_FROM on.

import { simulate } from './simulate.js'

const FROM = Number(process.env.SIM_FROM ?? 1)
const SEEDS = Number(process.env.SIM_SEEDS ?? 500)

/** Seeds that once failed, with what there was not yet at that time, and what was wrong. */
const regressions: [number, Parameters<typeof simulate>[1], string][] = [
  [57, { allowCancels: false, allowActors: false }, 'a ref of an owner that died before its reader began'],
  [4570, { allowActors: false }, 'a cancelled task runs on, and its arguments are gone'],
]

function run(seed: number, options: Parameters<typeof simulate>[1] = {}): number {
  try {
    return simulate(seed, options)
  } catch (error) {
    throw new Error(`seed=${seed}: ${(error as Error).message}`, { cause: error })
  }
}

suite('simulation', function () {
  this.timeout(0)

  if (process.env.SIM_SEED !== undefined) {
    test(`seed ${process.env.SIM_SEED}`, () => void run(Number(process.env.SIM_SEED)))
    return
  }

  for (const [seed, options, what] of regressions) test(`seed ${seed}: ${what}`, () => void run(seed, options))

  test(`${SEEDS} seeds from ${FROM}`, () => {
    let steps = 0
    for (let seed = FROM; seed < FROM + SEEDS; seed++) steps += run(seed)
    console.log(`      ${steps} steps`)
  })
})
