// SPDX-License-Identifier: Apache-2.0
// Never calls init.

import { get, isInitialized, put, remote, shutdown } from 'eagleray'

const before = isInitialized()
const sum = remote((a, b) => a + b).remote(put(1), 2)
const answer = await get(sum)
console.log(`initialized ${before} ${isInitialized()}`)
console.log(`answer ${answer}`)
await shutdown()
