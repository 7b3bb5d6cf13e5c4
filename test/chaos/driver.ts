// SPDX-License-Identifier: Apache-2.0
// A driver of the chaos test beside the first one: it attaches, makes its share of the load, and is killed at any moment, or told
// to end. Reads lines: `lost` when a node is about to be lost, `end`. Writes lines: what it has done until now, as JSON.

import { createInterface } from 'node:readline'
import { init, shutdown } from 'eagleray'
import { Random } from '../sim/random.js'
import { caller, type Done } from './load.js'
import { Weather } from './scene.js'

export interface DriverTask {
  address: string
  folder: string
  name: string
  callers: number
  seed: number
}

const { address, folder, name, callers, seed } = JSON.parse(process.argv[2] as string) as DriverTask
const weather = new Weather()
let over = false
createInterface({ input: process.stdin }).on('line', line => {
  if (line === 'end') over = true
  else weather.nodesLost++
})
const done: Done = {}
const tell = (): void => console.log(JSON.stringify(done))

await init({ address })
const telling = setInterval(tell, 500)
const scenes = Array.from({ length: callers }, (_, i) => ({ random: new Random(seed + i), name: `${name}.${i}`, folder, weather }))
await Promise.all(scenes.map(scene => caller(scene, () => over, done)))
clearInterval(telling)
tell()
await shutdown()
process.exit(0)
