// SPDX-License-Identifier: Apache-2.0
// Makes many objects and actors, drops them all, and prints what is left once that no longer changes.

import { get, init, type ObjectRef, put, remote, shutdown, state } from 'eagleray'

const collectThere = remote(async () => {
  const { setFlagsFromString } = await import('node:v8')
  const { runInNewContext } = await import('node:vm')
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
})

class Box {
  content: unknown
  constructor(content: unknown) {
    this.content = content
  }
  pass(more: unknown) {
    return [this.content, more]
  }
}

async function work(): Promise<void> {
  const nest = remote((box: { ref: ObjectRef<Uint8Array> }) => ({ mine: put(new Uint8Array(50_000)), yours: box.ref }))
  const puts = Array.from({ length: 20 }, (_, i) => put(new Uint8Array(i * 10_000)))
  const nested = await get(puts.map(ref => nest.remote({ ref })))
  const boxes = nested.slice(0, 3).map(each => remote(Box).remote(each))
  await get(boxes.map(box => box.pass.remote(puts)))
}

await init({ address: 'local', numCpus: 2, objectStoreBytes: 128 << 20 })
await work()

const left = async () => {
  globalThis.gc!()
  await new Promise(resolve => setTimeout(resolve, 20))
  const sweep = collectThere.remote()
  await get(sweep)
  const objects = (await state.listObjects()).filter(each => each.objectId !== sweep.id)
  const actors = (await state.listActors()).filter(each => !/dead/i.test(each.state))
  return [objects.length, actors.length] as const
}
let [objects, actors] = await left()
const until = performance.now() + 15_000
while (objects + actors > 0 && performance.now() < until) [objects, actors] = await left()
console.log(`objects left: ${objects}`)
console.log(`actors left: ${actors}`)
await shutdown()
