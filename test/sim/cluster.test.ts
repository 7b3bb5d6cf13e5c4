// SPDX-License-Identifier: Apache-2.0
// Random programs on a simulated cluster under random courses of events. A failing seed comes again with SIM_SEED=…;
// SIM_SEEDS=n runs that many, from SIM_FROM on; SIM_NODES=n has so many nodes in each,
// and SIM_SET='{…}' sets anything of test/sim/cluster/settings.ts.

import assert from 'node:assert/strict'
import { runCourse } from './cluster/course.js'
import { keptSeeds, MUCH_VANISHES, NODES_DIE } from './seeds/kept.js'

const { SIM_SEED, SIM_NODES, SIM_SET = '{}' } = process.env
const FROM = Number(process.env.SIM_FROM ?? 1)
const SEEDS = Number(process.env.SIM_SEEDS ?? 2000)
const more = { ...JSON.parse(SIM_SET), ...(SIM_NODES === undefined ? {} : { nodes: Number(SIM_NODES) }) }

/** Gives the number of steps. */
function run(seed: number, settings: Parameters<typeof runCourse>[1] = more): number {
  try {
    return runCourse(seed, settings)
  } catch (error) {
    const set = Object.keys(settings ?? {}).length === 0 ? '' : `SIM_SET='${JSON.stringify(settings)}' `
    const again = `${set}SIM_SEED=${seed} npx mocha test/sim/cluster.test.ts`
    throw new Error(`seed ${seed}: ${(error as Error).message}\nAgain: ${again}\nKeep it in test/sim/seeds/kept.ts.`, { cause: error })
  }
}

suite('a simulated cluster', function () {
  this.timeout(0)

  if (SIM_SEED !== undefined) {
    test(`seed ${SIM_SEED}`, () => console.log(`      ${run(Number(SIM_SEED))} steps`))
    return
  }

  for (const [seed, what, settings] of keptSeeds) test(`seed ${seed}, which failed once: ${what}`, () => void run(seed, settings ?? more))

  test('a seed is one course of events', () => {
    const seeds = Array.from({ length: 10 }, (_, i) => FROM + i)
    const first = seeds.map(seed => run(seed))
    assert.deepEqual(
      seeds.map(seed => run(seed)),
      first,
    )
  })

  test(`${SEEDS} seeds from ${FROM}`, () => {
    let steps = 0
    for (let seed = FROM; seed < FROM + SEEDS; seed++) steps += run(seed)
    console.log(`      ${steps} steps`)
  })

  const loads = [
    ['where much vanishes', MUCH_VANISHES],
    ['where nodes die', NODES_DIE],
  ] as const
  for (const [what, settings] of loads)
    test(`${SEEDS / 4} seeds from ${FROM}, ${what}`, () => {
      for (let seed = FROM; seed < FROM + SEEDS / 4; seed++) run(seed, { ...settings, ...more })
    })

  test('100 nodes', () => void run(2, { nodes: 100 }))
})
