// SPDX-License-Identifier: Apache-2.0
// The store rows on lmdb, in a folder on shared memory so that no disk is measured. A `put` of
// a key replaces its value; `getBinaryFast` copies a small value into a buffer it reuses and gives a large one in place.

import { randomBytes } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { measure } from '../measure.js'
import type { Row } from '../row.js'
import { type Peer, PeerMissing, type PeerOptions, type PeerResult } from './peer.js'

async function load(): Promise<typeof import('lmdb')> {
  return import('lmdb').catch(error => {
    throw new PeerMissing(`lmdb cannot be loaded: ${(error as Error).message}`)
  })
}

function version(): string {
  const entry = createRequire(import.meta.url).resolve('lmdb')
  return (JSON.parse(readFileSync(join(dirname(dirname(entry)), 'package.json'), 'utf8')) as { version: string }).version
}

const row = (name: string, unit: Row['unit'], multiplier: number, inner: number, run: () => unknown): Row => {
  return { name, group: 'store', unit, multiplier, inner, prepare: () => ({ run }) }
}

function rowsOn(database: RootDatabase<Buffer, string>): Row[] {
  const small = randomBytes(1024)
  const large = Buffer.alloc(100e6, 1)
  database.putSync('small', small)
  database.putSync('large', large)
  return [
    row('put 1 KiB', '/s', 1, 100, () => database.putSync('small', small)),
    row('get 1 KiB', '/s', 1, 100, () => {
      if (database.getBinaryFast('small')?.length !== 1024) throw new Error('the value is gone')
    }),
    row('put 100 MB', 'GB/s', 0.1, 1, () => database.putSync('large', large)),
    row('get 100 MB', '/s', 1, 1, () => {
      if (database.getBinaryFast('large')?.[100e6 - 1] !== 1) throw new Error('the value is gone')
    }),
  ]
}

export const lmdb: Peer = {
  name: 'lmdb',
  async check() {
    await load()
  },
  async measure({ timing, filter }: PeerOptions): Promise<PeerResult> {
    const path = `/dev/shm/eagleray-bench-lmdb-${randomBytes(4).toString('hex')}`
    const { open } = await load()
    const database = open<Buffer, string>({ path, encoding: 'binary', mapSize: 2 ** 32 })
    try {
      const measured = []
      for (const each of rowsOn(database).filter(({ name }) => name.includes(filter))) measured.push(await measure(each, timing))
      return { name: 'lmdb', version: version(), rows: measured }
    } finally {
      await database.close()
      rmSync(path, { recursive: true, force: true })
    }
  },
}
