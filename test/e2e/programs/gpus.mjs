// SPDX-License-Identifier: Apache-2.0
// With CUDA_VISIBLE_DEVICES set to two ids: asks for three, then runs on both.

import { get, getGpuIds, init, remote, shutdown } from 'eagleray'

await init({ address: 'local', numCpus: 1, numGpus: 3, objectStoreBytes: 64 << 20 }).then(
  () => console.log('not refused'),
  error => console.log(`refused: ${error.name}`),
)
await init({ address: 'local', numCpus: 1, objectStoreBytes: 64 << 20 })
console.log((await get(remote(() => getGpuIds(), { numGpus: 2 }).remote())).join(','))
await shutdown()
