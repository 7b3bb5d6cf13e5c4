// SPDX-License-Identifier: Apache-2.0
// The object store by itself, through `eagleray/store`; bench/peers/lmdb.ts does the same where lmdb can.

import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { ObjectStore } from 'eagleray/store'
import type { Row, Running, Unit } from '../row.js'

const mega = 1e6
const capacityBytes = 2 * 2 ** 30

/** The row's work on a store of its own, in shared memory, gone with the row. */
function row(name: string, unit: Unit, multiplier: number, inner: number, work: (store: ObjectStore) => Running['run']): Row {
  return {
    name,
    group: 'store',
    unit,
    multiplier,
    inner,
    async prepare() {
      const path = `/dev/shm/eagleray-bench-${randomBytes(4).toString('hex')}`
      const store = await ObjectStore.create({ path, capacityBytes, spillDir: null })
      return {
        run: work(store),
        stop() {
          store.close()
          rmSync(path, { recursive: true, force: true })
        },
      }
    },
  }
}

export const storeRows: Row[] = [
  row('put 1 KiB', '/s', 1, 100, store => {
    const bytes = randomBytes(1024)
    return () => store.delete(store.put(bytes))
  }),
  row('get 1 KiB', '/s', 1, 100, store => {
    const id = store.put(randomBytes(1024))
    return () => {
      const object = store.tryGet(id)
      if (object?.bytes.length !== 1024) throw new Error('the object is gone')
      object.release()
    }
  }),
  row('put 100 MB', 'GB/s', 0.1, 1, store => {
    const bytes = Buffer.alloc(100 * mega, 1)
    return () => store.delete(store.put(bytes))
  }),
  row('get 100 MB', '/s', 1, 10, store => {
    const id = store.put(Buffer.alloc(100 * mega, 1))
    return () => {
      const object = store.tryGet(id)
      if (object?.bytes[100 * mega - 1] !== 1) throw new Error('the object is gone')
      object.release()
    }
  }),
  row('get 1 GiB', '/s', 1, 10, store => {
    const writer = store.create(2 ** 30)
    writer.bytes[2 ** 30 - 1] = 7
    const id = writer.seal()
    return () => {
      const object = store.tryGet(id)
      if (object?.bytes[2 ** 30 - 1] !== 7) throw new Error('the object is gone')
      object.release()
    }
  }),
  row('create and seal 100 MB', '/s', 1, 1, store => () => store.delete(store.create(100 * mega).seal())),
  row('memcpy of 100 MB into warm shared memory', 'GB/s', 0.1, 1, store => {
    const source = Buffer.alloc(100 * mega, 1)
    const { bytes } = store.create(100 * mega)
    return () => bytes.set(source)
  }),
]
