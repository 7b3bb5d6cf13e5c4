// SPDX-License-Identifier: Apache-2.0
// npm run sim:scale: 1,000,000 tasks on 1,000 nodes. Others: --nodes 100 --tasks 20000 --cpus 16 --taskMs 100 --drivers 20

import { parseArgs } from 'node:util'
import { runScale } from './run.js'
import type { Scale } from './world.js'

const defaults: Scale = { nodes: 1000, cpus: 16, tasks: 1_000_000, taskMs: 100, drivers: 20, localMs: 0.05, linkMs: 0.5, startMs: 50 }
const options = Object.fromEntries(
  Object.entries(defaults).map(([name, value]) => [name, { type: 'string', default: String(value) }] as const),
)
const { values } = parseArgs({ options })
const scale = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)])) as unknown as Scale

const startedAt = performance.now()
console.log(`${scale.tasks} tasks of ${scale.taskMs} ms from ${scale.drivers} drivers on ${scale.nodes} nodes with ${scale.cpus} CPUs each`)
const figures = runScale(scale, text => console.log(`  ${text}`))
const { makespanMs, idealMs, firstMs, atHead, atHeadWork, asked, granted } = figures
console.log(`makespan ${makespanMs.toFixed(0)} ms, ideal ${idealMs} ms: ${(makespanMs / idealMs).toFixed(3)} times`)
console.log(
  `messages a task: ${atHead.toFixed(5)} at the head (${atHeadWork.toFixed(5)} without signs of life), ${asked.toFixed(5)} to nodes`,
)
console.log(`leases a task: ${granted.toFixed(5)}; the first program ended after ${firstMs.toFixed(0)} ms`)
console.log(`took ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
