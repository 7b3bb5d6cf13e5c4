// SPDX-License-Identifier: Apache-2.0
// A command's short visit to a running cluster, as a driver that submits nothing.

import { init, shutdown } from '../api/init.js'
import { INTERNAL_NAMESPACE } from '../run/job.js'
import { textOf, type Values } from './command.js'

/** Runs `look` while attached. Rejects with ClusterConnectionError when there is no such cluster, or it has no node here. */
export async function visiting<T>(values: Values, look: (address: string) => Promise<T>): Promise<T> {
  const { address } = await init({
    address: textOf(values, 'address') ?? (process.env.EAGLERAY_ADDRESS || 'auto'),
    namespace: INTERNAL_NAMESPACE,
    logToDriver: false,
  })
  try {
    return await look(address)
  } finally {
    await shutdown()
  }
}
