// SPDX-License-Identifier: Apache-2.0
// Its workers do not get started, so that init() waits; then its daemon is killed. Prints what init() rejects with, and lets
// the workers go on, to find that there is nothing to work for.

import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { init, isInitialized, shutdown } from 'eagleray'

const slow = `${process.argv[2]}.cjs`
const go = `${process.argv[2]}.go`
const pauseShortly = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)'
writeFileSync(slow, `while (!require('node:fs').existsSync(${JSON.stringify(go)})) ${pauseShortly}`)
process.execArgv.push('--require', slow)

const starting = init({ address: 'local', numCpus: 1, objectStoreBytes: 16 << 20 })
starting.catch(error => console.log(error.name))
while (!isInitialized()) await pause(5)
const [daemon] = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ')
process.kill(Number(daemon), 'SIGKILL')
await starting.catch(() => {})
await shutdown()
writeFileSync(go, '')
