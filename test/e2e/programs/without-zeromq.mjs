// SPDX-License-Identifier: Apache-2.0
// Prints which of this driver, its daemon and its workers have ZeroMQ in them, and how many they are.

import { readFileSync } from 'node:fs'
import { get, init, remote, shutdown } from 'eagleray'

const childrenOf = pid => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)

await init({ numCpus: 1, objectStoreBytes: 64 << 20 })
await get(remote(() => 1).remote())
const daemons = childrenOf(process.pid)
const pids = [process.pid, ...daemons, ...daemons.flatMap(childrenOf)]
const having = pids.filter(pid => /zeromq/.test(readFileSync(`/proc/${pid}/maps`, 'utf8')))
console.log(`${having.length} of ${pids.length}`)
await shutdown()
