// SPDX-License-Identifier: Apache-2.0
// The first put into a fresh store, beside a plain copy into memory that nobody touched, and both once it is warm. Each in a store of
// its own, in turns, so that all meet the same memory of the machine.
// Usage: node bench/first-touch.mjs [rounds]

import { ObjectStore } from 'eagleray/store'

const BYTES = 100e6
const rounds = Number(process.argv[2] ?? 7)
const source = new Uint8Array(BYTES).fill(1)
const rows = { 'cold memcpy': [], 'first put': [], 'warm memcpy': [], 'put, warm': [] }

async function timed(row, work) {
  const began = performance.now()
  await work()
  rows[row].push(BYTES / 1e6 / (performance.now() - began))
}

for (let round = 0; round < rounds; round++) {
  const memory = await ObjectStore.create({ capacityBytes: 512e6 })
  const { bytes, abort } = memory.create(BYTES)
  await timed('cold memcpy', () => bytes.set(source))
  for (let i = 0; i < 3; i++) bytes.set(source)
  await timed('warm memcpy', () => bytes.set(source))
  abort()
  memory.close()

  const store = await ObjectStore.create({ capacityBytes: 512e6 })
  let id = ''
  await timed('first put', () => {
    id = store.put(source)
  })
  // Written a second time it is warmed in the background.
  for (let i = 0; i < 12; i++) {
    store.delete(id)
    id = store.put(source)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  store.delete(id)
  await timed('put, warm', () => store.put(source))
  store.close()
}

const median = values => values.sort((a, b) => a - b)[values.length >> 1]
for (const [row, values] of Object.entries(rows)) console.log(JSON.stringify({ row, gigabytesPerSecond: +median(values).toFixed(2) }))
