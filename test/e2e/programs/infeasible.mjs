// SPDX-License-Identifier: Apache-2.0
// Submits what no node can run, and waits for the error.

import { get, init, remote, shutdown } from 'eagleray'

await init({ address: 'local', numCpus: 1, objectStoreBytes: 64 << 20 })
await get(remote(() => 1, { resources: { unicorn: 1 } }).remote()).catch(error => console.log(error.code))
await shutdown()
