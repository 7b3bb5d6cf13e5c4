// SPDX-License-Identifier: Apache-2.0
// What is refused of the options of clusters, before any process is started.
import assert from 'node:assert/strict'
import { init } from 'eagleray'
import { Cluster, type ClusterHeadOptions, type ClusterNodeOptions } from 'eagleray/testing'

const refused: [unknown, string, RegExp][] = [
  [{ numCPUs: 1 }, 'TypeError', /unknown option numCPUs/],
  [{ numCpus: -1 }, 'RangeError', /numCpus is -1/],
  [{ objectStoreBytes: 5 }, 'RangeError', /objectStoreBytes is 5/],
  [{ labels: { zone: 1 } }, 'TypeError', /labels/],
  [{ spillDir: '' }, 'TypeError', /spillDir must be the path/],
  [{ spill: false, spillDir: '/x' }, 'TypeError', /spill is false/],
]

suite('options of clusters', () => {
  test('Cluster.start() and addNode() refuse what init() does', async () => {
    for (const [options, name, message] of refused) {
      await assert.rejects(Cluster.start({ head: options as ClusterHeadOptions }), { name, message })
      await assert.rejects(Cluster.prototype.addNode(options as ClusterNodeOptions), { name, message })
      await assert.rejects(init({ address: 'local', ...(options as object) }), { name, message })
    }
  })

  test('and what only a head has', async () => {
    const start = (head: object) => Cluster.start({ head: head as ClusterHeadOptions })
    await assert.rejects(start({ port: -1 }), { name: 'RangeError', message: /port is -1/ })
    await assert.rejects(start({ nodeTimeoutMs: 0 }), { name: 'RangeError', message: /nodeTimeoutMs is 0; .* 100 or more/ })
    await assert.rejects(start({ storage: 5 }), { name: 'TypeError', message: /storage/ })
    await assert.rejects(Cluster.start({ heads: {} } as never), { name: 'TypeError', message: /unknown option heads/ })
  })

  test('a node that is none cannot be removed', async () => {
    await assert.rejects(Cluster.prototype.removeNode({} as never), { name: 'TypeError', message: /takes a node/ })
  })
})
