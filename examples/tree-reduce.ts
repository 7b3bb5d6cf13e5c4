// SPDX-License-Identifier: Apache-2.0
// Adds large arrays in a tree. The arrays live in shared memory: a task reads its two arguments without a copy, and only
// refs pass through this process, never the numbers.

import { createArray, get, type ObjectRef, remote, shutdown } from 'eagleray'

const ARRAYS = 16
const LENGTH = 250_000 // 2 MB each

const add = remote((a: Float64Array, b: Float64Array): Float64Array => {
  const sum = new Float64Array(a.length) // a and b are views of the store: reading them is free, so the sum needs its own memory
  for (let i = 0; i < sum.length; i++) sum[i] = a[i]! + b[i]!
  return sum
})

// An array that is filled in shared memory from the start is never copied at all.
function leaf(k: number): ObjectRef<Float64Array> {
  const builder = createArray(Float64Array, LENGTH)
  for (let i = 0; i < LENGTH; i++) builder.array[i] = k + i
  return builder.seal() as ObjectRef<Float64Array>
}

let level = Array.from({ length: ARRAYS }, (_, k) => leaf(k))
let rounds = 0
while (level.length > 1) {
  const pairs = level
  level = Array.from({ length: pairs.length / 2 }, (_, i) => add.remote(pairs[2 * i]!, pairs[2 * i + 1]!))
  rounds++ // nothing was awaited: each task starts when its two arguments are there
}
const total = await get(level[0]!)

// Element i is the sum of k + i over all k.
const expected = (i: number) => ARRAYS * i + (ARRAYS * (ARRAYS - 1)) / 2
const wrong = total.findIndex((value, i) => value !== expected(i))
if (wrong !== -1) throw new Error(`element ${wrong} is ${total[wrong]}, not ${expected(wrong)}`)
console.log(`${ARRAYS} arrays of ${LENGTH} numbers added in ${rounds} rounds; the last element is ${total[LENGTH - 1]}, as it should be`)

await shutdown()
