// SPDX-License-Identifier: Apache-2.0
// Two programs that wait for each other's objects: half a round trip is the wake-up of a waiting get. Compare with the ping-pong over
// raw rings (`npm run bench -- --filter channel`).
// Usage: node bench/wake-up.mjs

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ObjectStore } from 'eagleray/store'

const TURNS = 3000
const id = (turn, side) => (2 * turn + side).toString(16).padStart(40, '0')

if (process.argv[2] !== undefined) {
  const store = await ObjectStore.open(process.argv[2])
  process.send('ready')
  for (let turn = 0; turn < TURNS; turn++) {
    await store.get(id(turn, 0))
    store.put(turn, id(turn, 1))
  }
  store.close()
  process.disconnect()
} else {
  const store = await ObjectStore.create({ capacityBytes: 64 << 20 })
  const peer = fork(fileURLToPath(import.meta.url), [store.path])
  await once(peer, 'message')
  const micros = []
  for (let turn = 0; turn < TURNS; turn++) {
    const began = performance.now()
    store.put(turn, id(turn, 0))
    await store.get(id(turn, 1))
    micros.push(1000 * (performance.now() - began))
  }
  micros.sort((a, b) => a - b)
  console.log(JSON.stringify({ row: 'a waiting get, there and back', medianMicros: +micros[TURNS >> 1].toFixed(1) }))
  await once(peer, 'exit')
  store.close()
}
