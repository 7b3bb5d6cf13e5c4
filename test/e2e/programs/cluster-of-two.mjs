// SPDX-License-Identifier: Apache-2.0
// Starts a cluster of two nodes and waits to be ended.
import { get, init, remote } from 'eagleray'
import { Cluster } from 'eagleray/testing'

const cluster = await Cluster.start({ head: { numCpus: 1 } })
const other = await cluster.addNode({ resources: { there: 1 } })
await init({ address: cluster.address })
const pid = await get(remote(() => process.pid, { resources: { there: 1 } }).remote())
console.log(`pids ${JSON.stringify([cluster.headPid, cluster.headNode.pid, other.pid, pid])}`)
setInterval(() => {}, 1000)
