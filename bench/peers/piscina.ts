// SPDX-License-Identifier: Apache-2.0
// The call rows on piscina: worker threads, as many as there are CPUs.

import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { measure } from '../measure.js'
import type { Row } from '../row.js'
import { type Peer, PeerMissing, type PeerOptions, type PeerResult } from './peer.js'

const filename = fileURLToPath(new URL('piscina-worker.mjs', import.meta.url))

async function load(): Promise<typeof import('piscina').Piscina> {
  const { Piscina } = await import('piscina').catch(error => {
    throw new PeerMissing(`piscina cannot be loaded: ${(error as Error).message}`)
  })
  return Piscina
}

export const piscina: Peer = {
  name: 'piscina',
  async check() {
    await load()
  },
  async measure({ timing, filter }: PeerOptions): Promise<PeerResult> {
    const Piscina = await load()
    const threads = availableParallelism()
    const pool = new Piscina({ filename, minThreads: threads, maxThreads: threads })
    const array = new Float64Array(12_500_000).fill(1.5)
    const row = (name: string, unit: Row['unit'], multiplier: number, inner: number, run: () => unknown): Row => {
      return { name, group: 'calls', unit, multiplier, inner, prepare: () => ({ run }) }
    }
    const rows = [
      row('one call at a time', '/s', 1, 10, () => pool.run(1, { name: 'increment' })),
      row('1,000 calls in flight', '/s', 1000, 1, () => {
        return Promise.all(Array.from({ length: 1000 }, (_, i) => pool.run(i, { name: 'increment' })))
      }),
      row('100 MB Float64Array there and back', 'ms', 1, 1, async () => {
        const back = (await pool.run(array, { name: 'echo' })) as Float64Array
        if (back.length !== array.length || back[back.length - 1] !== 1.5) throw new Error('the array came back changed')
      }),
    ].filter(({ name }) => name.includes(filter))
    try {
      const measured = []
      for (const each of rows) measured.push(await measure(each, timing))
      return { name: 'piscina', version: Piscina.version, rows: measured }
    } finally {
      await pool.destroy()
    }
  },
}
