// SPDX-License-Identifier: Apache-2.0
// A producer process makes Arrow batches, a consumer process works on them in place, and neither waits for the other more than
// it must.
//
// The two agree on ids: batch n has the number n as its id, and the consumer's word that it is done with it has another.
// `get` waits for a seal by another process, so no other channel is needed. At most WINDOW batches are in the store at once:
// the producer waits for the word on an earlier batch before it puts the next. What is in the store is an Arrow IPC stream;
// the consumer could as well be a program in another language that is handed `object.bytes`.
//
//     npx tsx examples/arrow-batches.ts

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Float64, type Int32, makeVector, type RecordBatch, Table, Utf8, vectorFromArray } from 'apache-arrow'
import { ObjectStore } from 'eagleray/store'

const BATCHES = 20
const ROWS = 5_000
const WINDOW = 4
const CITIES = ['Lagos', 'Lima', 'Oslo', 'Pune']

const idOf = (kind: 'batch' | 'done', n: number): string => `${kind === 'batch' ? '0' : 'f'}${n.toString(16).padStart(39, '0')}`

function orders(n: number): RecordBatch {
  const city = Array.from({ length: ROWS }, (_, i) => CITIES[(i + n) % CITIES.length]!)
  const table = new Table({
    order: makeVector(Int32Array.from({ length: ROWS }, (_, i) => n * ROWS + i)),
    price: makeVector(Float64Array.from({ length: ROWS }, (_, i) => (i % 100) / 4)),
    city: vectorFromArray(city, new Utf8()),
  })
  return table.batches[0]!
}

async function produce(path: string): Promise<void> {
  using store = await ObjectStore.open(path)
  for (let n = 0; n < BATCHES; n++) {
    if (n >= WINDOW) {
      const earlier = idOf('done', n - WINDOW)
      await store.get(earlier)
      store.delete(earlier)
    }
    store.put(orders(n), idOf('batch', n))
  }
  store.put(null, idOf('batch', BATCHES)) // the end
}

async function consume(store: ObjectStore): Promise<void> {
  const revenue = new Map<string, number>()
  let rows = 0
  let most = 0
  for (let n = 0; ; n++) {
    using object = await store.get(idOf('batch', n))
    const batch = object.value<RecordBatch<{ order: Int32; price: Float64; city: Utf8 }> | null>()
    if (batch === null) break
    const prices = batch.getChild('price')!.toArray() // a view: nothing is copied
    const cities = batch.getChild('city')!
    for (let i = 0; i < batch.numRows; i++) {
      const city = cities.get(i)!
      revenue.set(city, (revenue.get(city) ?? 0) + prices[i]!)
    }
    rows += batch.numRows
    most = Math.max(most, store.list().filter(each => each.id.startsWith('0')).length)
    object.release()
    store.delete(idOf('batch', n))
    store.put(n, idOf('done', n))
  }
  console.log(`${BATCHES} batches, ${rows} rows, never more than ${WINDOW} batches in the store: ${most <= WINDOW}`)
  for (const city of [...revenue.keys()].sort()) console.log(`${city}: ${revenue.get(city)}`)
}

const [path] = process.argv.slice(2)
if (path !== undefined) await produce(path)
else {
  using store = await ObjectStore.create({ capacityBytes: 16 << 20 })
  const producer = fork(fileURLToPath(import.meta.url), [store.path])
  const ended = once(producer, 'exit')
  await consume(store)
  await ended
}
