// SPDX-License-Identifier: Apache-2.0
// A cache larger than memory: results of an expensive computation by name, in a store with 32 MiB of memory that holds 128 MiB. What is
// used stays in memory, the rest waits on disk, and every program that opens the store by its path shares it.

import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { ObjectStore } from 'eagleray/store'

const TILES = 64
const TILE_FLOATS = (2 << 20) / 8

using store = await ObjectStore.create({ capacityBytes: 32 << 20, spillDir: tmpdir() })

/** An object's id may be given: here it is what the value depends on. */
const keyOf = (tile: number): string => createHash('sha1').update(`mandelbrot tile ${tile}`).digest('hex')

function compute(tile: number): Float64Array {
  const values = new Float64Array(TILE_FLOATS)
  for (let i = 0; i < values.length; i++) values[i] = Math.sin(tile + i)
  return values
}

let computed = 0
async function sumOf(tile: number): Promise<number> {
  const key = keyOf(tile)
  if (!store.contains(key)) {
    computed++
    store.put(compute(tile), key)
  }
  using cached = await store.get(key) // read back from disk if it is there, without holding up the event loop
  return cached.value<Float64Array>().reduce((a, b) => a + b, 0)
}

const first: number[] = []
const again: number[] = []
for (let tile = 0; tile < TILES; tile++) first.push(await sumOf(tile))
for (let tile = 0; tile < TILES; tile++) again.push(await sumOf(tile))

const stats = store.stats()
console.log(`${computed} tiles computed, ${2 * TILES} asked for`)
console.log(`the same sums both times: ${first.every((sum, tile) => sum === again[tile])}`)
console.log(`${stats.sealed} tiles of 2 MiB cached in ${stats.capacityBytes >> 20} MiB of memory`)
console.log(`${stats.spilled} of them are on disk now, ${stats.restoredObjects} came back from there`)
