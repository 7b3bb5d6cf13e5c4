// SPDX-License-Identifier: Apache-2.0
// What views of large objects cost V8's collector: 10,000 gets of a 64 MiB object, released at once or left to be collected.
// Usage: node bench/collector.mjs

import { PerformanceObserver } from 'node:perf_hooks'
import { ObjectStore } from 'eagleray/store'

const GETS = 10_000
const store = await ObjectStore.create({ capacityBytes: 128 << 20 })
const id = store.put(new Uint8Array(64 << 20))

let collections = 0
let millis = 0
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) {
    collections++
    millis += entry.duration
  }
}).observe({ entryTypes: ['gc'] })

for (const released of [true, false]) {
  collections = millis = 0
  const began = performance.now()
  let pinsMost = 0
  for (let i = 0; i < GETS; i++) {
    const object = await store.get(id)
    if (object.bytes.length !== 64 << 20) throw new Error('the object is not whole')
    if (released) object.release()
    // The finalizers of what was collected run in turns of the event loop.
    if (i % 10 === 0) await new Promise(resolve => setImmediate(resolve))
    if (i % 1000 === 0) pinsMost = Math.max(pinsMost, store.stats().pins)
  }
  const tookMs = performance.now() - began
  await new Promise(resolve => setTimeout(resolve, 100))
  const row = released ? 'released at once' : 'left to the collector'
  console.log(
    JSON.stringify({
      row,
      gets: GETS,
      microsEach: +((1000 * tookMs) / GETS).toFixed(1),
      collections,
      collectorMs: Math.round(millis),
      pinsMost,
    }),
  )
}
store.close()
