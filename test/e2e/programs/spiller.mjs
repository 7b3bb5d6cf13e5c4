// SPDX-License-Identifier: Apache-2.0
// Puts arrays of 1 MiB until it is killed, each filled with its number; says how many, and where its store is. `store PATH`: into a store that is
// there; `creator DIR`: into one of its own that spills to DIR; `driver DIR`: into a session's.
import { init, put, remote } from 'eagleray'
import { ObjectStore } from 'eagleray/store'

const MIB = 1 << 20
const [what, where] = process.argv.slice(2)
const idOf = n => `5b${n.toString(16).padStart(38, '0')}`

async function putter() {
  if (what === 'store' || what === 'creator') {
    const store = what === 'store' ? await ObjectStore.open(where) : await ObjectStore.create({ capacityBytes: 8 * MIB, spillDir: where })
    console.log(`store ${store.path}`)
    return n => store.put(new Uint8Array(MIB).fill(n), idOf(n))
  }
  const { sessionDir } = await init({ address: 'local', numCpus: 1, objectStoreBytes: 16 * MIB, spillDir: where })
  console.log(`session ${sessionDir}`)
  const fill = remote(n => {
    process.chdir('/')
    return new Uint8Array(1 << 20).fill(n)
  })
  const kept = []
  return n => kept.push(put(new Uint8Array(MIB).fill(n)), fill.remote(n))
}

const one = await putter()
for (let n = 0; ; n++) {
  one(n)
  console.log(`put ${n}`)
  await new Promise(setImmediate)
}
