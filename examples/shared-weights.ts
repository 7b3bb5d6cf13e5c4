// SPDX-License-Identifier: Apache-2.0
// Two processes serve one model, whose weights are in memory once.
//
// The parent loads the model (here: makes it up), puts it into a store, and starts two servers. Each opens the store by its
// path and gets the model: its weights are views over shared memory, so that a second server costs no second copy, and is
// ready as soon as its code is loaded. Nothing but `eagleray/store` is needed, and no cluster is started.
//
//     npx tsx examples/shared-weights.ts

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ObjectStore } from 'eagleray/store'

const WIDTH = 1024

interface Layer {
  weights: Float32Array
  bias: Float32Array
}
interface Model {
  name: string
  layers: Layer[]
}

/** Four layers, 16 MiB. */
function loadModel(): Model {
  const layer = (n: number): Layer => ({
    weights: Float32Array.from({ length: WIDTH * WIDTH }, (_, i) => Math.sin(i * (n + 1)) / Math.sqrt(WIDTH)),
    bias: Float32Array.from({ length: WIDTH }, (_, i) => i / WIDTH / 100),
  })
  return { name: 'four layers', layers: [0, 1, 2, 3].map(layer) }
}

function predict({ layers }: Model, input: Float32Array): number {
  let values = input
  for (const { weights, bias } of layers) {
    values = bias.map((start, row) => {
      let sum = start
      for (let i = 0; i < WIDTH; i++) sum += weights[row * WIDTH + i]! * values[i]!
      return Math.max(0, sum)
    })
  }
  return values.reduce((sum, each) => sum + each, 0)
}

const inputOf = (question: number): Float32Array => new Float32Array(WIDTH).fill(question / 10)

/** A server: answers each question with the model's prediction. */
async function serve(path: string, id: string): Promise<void> {
  using store = await ObjectStore.open(path)
  using object = await store.get(id)
  const model = object.value<Model>()
  process.on('message', (question: number) => process.send!(predict(model, inputOf(question))))
  process.send!('ready')
  await once(process, 'disconnect')
}

async function main(): Promise<void> {
  using store = await ObjectStore.create({ capacityBytes: 32 << 20 })
  const model = loadModel()
  const id = store.put(model)

  const servers: ChildProcess[] = [1, 2].map(() => fork(fileURLToPath(import.meta.url), [store.path, id]))
  await Promise.all(servers.map(server => once(server, 'message')))
  const [info] = store.list()
  const pids = new Set(info!.pinnedBy)
  const shared = servers.every(server => pids.has(server.pid!))
  console.log(`one copy of ${(info!.sizeBytes / 2 ** 20).toFixed(1)} MiB is ${shared ? 'viewed by both servers' : 'not shared'}`)

  for (const question of [1, 2, 3]) {
    const answers = servers.map(server => once(server, 'message'))
    for (const server of servers) server.send(question)
    const values = (await Promise.all(answers)).map(([value]) => value as number)
    const right = values.every(value => value === predict(model, inputOf(question)))
    console.log(`question ${question}: both answer ${values[0]!.toFixed(3)}, ${right ? 'as the model does here' : 'WRONGLY'}`)
  }
  for (const server of servers) server.disconnect()
  await Promise.all(servers.map(server => once(server, 'exit')))
}

const [path, id] = process.argv.slice(2)
await (path === undefined ? main() : serve(path, id!))
