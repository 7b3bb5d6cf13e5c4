// SPDX-License-Identifier: Apache-2.0
// A cluster of real processes on this machine: a head, a node that programs attach to, and nodes that do the work. `peers/ray.py`
// does the same on Ray's `cluster_utils.Cluster`.

import { get, init, type ObjectRef, put, release, remote, shutdown, wait } from 'eagleray'
import { Cluster } from 'eagleray/testing'
import type { Row, Running, Unit } from '../row.js'

const group = 'cluster'
const MB = 1e6
const SIZES = { '1 MB': MB, '100 MB': 100 * MB, '1 GB': 1000 * MB } as const
const BROADCAST_NODES = 8

/** All of it, so that one worker does them. */
const elsewhere = (i = 0) => ({ resources: { [`elsewhere${i}`]: 1 } })
const smallValue = remote(() => Uint8Array.of(111, 107), elsewhere())
const lengthOf = remote((array: Uint8Array) => array.length)

const Holder = remote(
  class {
    /** That many objects of that size, each an own one in the store of this node. */
    make(count: number, bytes: number): ObjectRef<Uint8Array>[] {
      return Array.from({ length: count }, (_, i) => put(new Uint8Array(bytes).fill(i)))
    }
  },
  { ...elsewhere(), numCpus: 0 },
)

/** This program on one node, with nodes elsewhere, while `begin` and what it gives are at work. */
async function inCluster(nodes: number, stores: { here: number; elsewhere: number }, begin: () => Promise<Running>): Promise<Running> {
  const cluster = await Cluster.start({ head: { numCpus: 1, objectStoreBytes: stores.here, spill: false } })
  const stop = async (): Promise<void> => {
    await shutdown()
    await cluster.shutdown()
  }
  try {
    for (let i = 0; i < nodes; i++)
      await cluster.addNode({ numCpus: 1, resources: { [`elsewhere${i}`]: 1 }, objectStoreBytes: stores.elsewhere })
    await init({ address: cluster.address })
    const running = await begin()
    return {
      run: running.run,
      async stop() {
        await running.stop?.()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

const row = (name: string, unit: Unit, multiplier: number, prepare: Row['prepare'], inner = 1): Row => ({
  ...{ name, group, unit, multiplier, inner, prepare },
})

const small = { here: 64 * MB, elsewhere: 64 * MB }

/** Of `count` objects elsewhere the store here holds all but two: the next one in turn is one that was evicted. There they take half of the store, so that none goes to disk. */
function objectRow(size: keyof typeof SIZES): Row {
  return row(`object of ${size} from another node`, 'ms', 1, () => {
    const bytes = SIZES[size]
    const here = Math.max(24 * MB, 1.3 * bytes)
    const count = Math.floor(here / bytes) + 2
    return inCluster(1, { here, elsewhere: Math.max(64 * MB, 2 * count * bytes) }, async () => {
      const holder = Holder.remote()
      const refs = await get(holder.make.remote(count, bytes))
      let turn = 0
      return {
        run: async () => release(await get(refs[turn++ % count] as ObjectRef<Uint8Array>)),
        stop() {
          for (const ref of refs) ref[Symbol.dispose]()
          holder[Symbol.dispose]()
        },
      }
    })
  })
}

const broadcast: Row = row(`broadcast of 100 MB to ${BROADCAST_NODES} nodes`, 'ms', 1, () =>
  inCluster(BROADCAST_NODES, { here: 260 * MB, elsewhere: 130 * MB }, async () => ({
    async run() {
      using ref = put(new Uint8Array(SIZES['100 MB']))
      const results = Array.from({ length: BROADCAST_NODES }, (_, i) => lengthOf.options(elsewhere(i)).remote(ref))
      await get(results)
    },
  })),
)

export const clusterRows: Row[] = [
  row('remote task, there and back', 'us', 1, () => inCluster(1, small, async () => ({ run: () => get(smallValue.remote()) })), 10),
  row('remote tasks async', '/s', 1000, () =>
    inCluster(1, small, async () => ({ run: () => get(Array.from({ length: 1000 }, () => smallValue.remote())) })),
  ),
  row('remote tasks async, 10,000 at once', '/s', 10_000, () =>
    inCluster(1, small, async () => ({
      async run() {
        const refs = Array.from({ length: 10_000 }, () => smallValue.remote())
        await wait(refs, { numReturns: refs.length, fetchLocal: false })
      },
    })),
  ),
  objectRow('1 MB'),
  objectRow('100 MB'),
  objectRow('1 GB'),
  broadcast,
]
