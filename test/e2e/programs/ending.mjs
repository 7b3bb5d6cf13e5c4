// SPDX-License-Identifier: Apache-2.0
// A program with tasks, actors and objects, which ends in the way its argument says.

import { readdirSync, readFileSync } from 'node:fs'
import { get, init, put, remote, shutdown } from 'eagleray'

const how = process.argv[2]
const forever = () => {
  const until = performance.now() + 60_000
  while (performance.now() < until);
}
class Keeper {
  kept = []
  keep(value) {
    this.kept.push(value)
    return this.kept.length
  }
  async stay() {
    await new Promise(resolve => setTimeout(resolve, 60_000))
  }
}

/** The child of this process that has children of its own. */
function daemon() {
  const parents = new Map()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      parents.set(Number(entry), Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${entry}/status`, 'utf8'))[1]))
    } catch {
      // It ended meanwhile.
    }
  }
  return [...parents].find(([pid, parent]) => parent === process.pid && [...parents.values()].includes(pid))[0]
}

await init({ address: 'local', numCpus: 2, objectStoreBytes: 64 << 20 })
const big = put(new Uint8Array(5 << 20).fill(1))
const keeper = remote(Keeper).remote()
await get(keeper.keep.remote({ big, view: await get(big) }))
console.log(`answer ${await get(remote(array => array[0] + 41).remote(big))}`)

if (how === 'falls-off') {
  // Nothing is awaited any more, though the actor lives and holds a ref.
} else if (how === 'awaits') {
  const slow = remote(async () => {
    await new Promise(resolve => setTimeout(resolve, 300))
    return 1
  })
  console.log(`awaited ${await get(slow.remote())}`)
} else if (how === 'exits') {
  remote(forever).remote()
  console.log('ready')
  process.exit(3)
} else if (how === 'throws') {
  remote(forever).remote()
  console.log('ready')
  throw new Error('as asked')
} else if (how === 'leaves-work') {
  remote(forever).remote()
  keeper.stay.remote()
  console.log('ready')
} else if (how === 'hangs') {
  console.log(`daemon ${daemon()}`)
  const told = (what, promise) => promise.catch(error => console.log(`${what} rejected: ${error.code} ${error.message}`))
  const all = Promise.all([told('get', get(remote(forever).remote())), told('call', get(keeper.stay.remote()))])
  console.log('ready')
  await all
  await told('new work', (async () => get(remote(() => 1).remote()))())
  await new Promise(resolve => process.stdin.once('data', resolve))
  process.stdin.destroy()
  await shutdown()
} else if (how === 'busy') {
  const work = remote(array => {
    return { kept: put(new Uint8Array(1000)), last: array.at(-1) }
  })
  let pending = []
  for (let i = 0; ; i++) {
    const large = put(new Uint8Array(200_000))
    pending.push(work.remote(large), keeper.keep.remote(i))
    large[Symbol.dispose]()
    if (pending.length < 100) continue
    await get(pending)
    pending = []
    if (i > 200) console.log('ready')
  }
}
