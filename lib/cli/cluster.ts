// SPDX-License-Identifier: Apache-2.0
// A command's short visit to a running cluster, as a driver that submits nothing.

import { init, shutdown } from '../api/init.js'
import { limits } from '../options.js'
import { clusterHome, liveNodes } from '../run/cluster-home.js'
import { INTERNAL_NAMESPACE } from '../run/job.js'
import { Failure, textOf, type Values } from './command.js'

/** Runs `look` while attached. Rejects when there is no such cluster, or it has no node here. */
export async function visiting<T>(values: Values, look: (address: string) => Promise<T>): Promise<T> {
  const named = textOf(values, 'address') ?? (process.env.EAGLERAY_ADDRESS || onlyOne())
  const { address } = await init({ address: named, namespace: INTERNAL_NAMESPACE, logToDriver: false }).catch(error => {
    // Nobody here has called init().
    throw new Failure((error as Error).message.replace(/^init\(\): /, ''))
  })
  const timer = setTimeout(() => process.stderr.write(`eagleray: the head at ${address} has not answered yet\n`), limits.headSilenceTellMs)
  try {
    return await look(address)
  } finally {
    clearTimeout(timer)
    await shutdown()
  }
}

/** The address of the cluster that runs on this machine. */
function onlyOne(): string {
  const addresses = new Set(
    liveNodes(clusterHome())
      .filter(node => node.listed)
      .map(node => node.address),
  )
  if (addresses.size === 0)
    throw new Failure(
      'no node of a cluster runs on this machine: start a cluster with `eagleray start --head`, or join one with `eagleray start --address host:port`',
    )
  if (addresses.size > 1)
    throw new Failure(`${addresses.size} clusters run on this machine, at ${[...addresses].join(' and ')}: say which with --address`)
  return [...addresses][0] as string
}
