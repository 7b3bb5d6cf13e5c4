// SPDX-License-Identifier: Apache-2.0
// Another program with the same store: opens it, does what it is told by messages, and answers each.

import { ObjectStore } from 'eagleray/store'

const store = await ObjectStore.open(process.argv[2])
const held = new Map()
const builders = new Map()

const orders = {
  put: (length, fill, id) => store.put(new Uint8Array(length).fill(fill), id),
  putValue: (value, id) => store.put(value, id),
  create(length, id) {
    builders.set(id, store.create(length, id))
    builders.get(id).bytes.fill(1)
  },
  seal: id => builders.get(id).seal(),
  delete: id => store.delete(id),
  hold(id) {
    held.set(id, store.tryGet(id))
    return held.get(id).bytes[0]
  },
  /** Says `waiting` first, then the first byte of what it got. */
  async get(id, timeoutMs) {
    const waiting = store.get(id, timeoutMs === null ? {} : { timeoutMs })
    process.send({ waiting: true })
    return (await waiting).bytes[0]
  },
  read(id) {
    const { bytes } = store.tryGet(id)
    return [bytes.length, bytes[0], bytes.at(-1)]
  },
  /** Views it, and forgets the view. */
  glance: id => store.tryGet(id).bytes[0],
  forget: () => held.clear(),
  scribble(id) {
    held.set(id, store.tryGet(id))
    held.get(id).bytes.fill(99)
  },
  /** Makes a store of its own, and leaves it open. */
  make: async (spillDir = null) => (await ObjectStore.create({ capacityBytes: 1 << 20, spillDir })).path,
  exit: code => process.exit(code),
}

process.on('message', async ({ order, args }) => {
  try {
    process.send({ result: await orders[order](...args) })
  } catch (error) {
    process.send({ error: { name: error.name, code: error.code, message: error.message } })
  }
})
process.send({ pid: process.pid })
