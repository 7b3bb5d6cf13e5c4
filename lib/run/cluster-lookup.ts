// SPDX-License-Identifier: Apache-2.0
// Which node of this machine a driver attaches to.

import { ClusterConnectionError } from '../errors.js'
import { limits } from '../options.js'
import { checkedAddress, clusterHome, liveHeads, liveNodes, type NodeRecord, rejoiningNodes } from './cluster-home.js'

const LOOK_MS = 50

/**
 * The node for `address`: 'auto' or host:port. Undefined: that of a cluster which runs here, null where none does. Throws
 * ClusterConnectionError when there is none for the address, or several clusters to choose from.
 */
export function nodeFor(address: string | undefined): NodeRecord | null {
  const home = clusterHome()
  if (address !== undefined && address !== 'auto') return nodeOf(home, checkedAddress('init()', address))
  const nodes = liveNodes(home).filter(node => node.listed)
  const addresses = [...new Set(nodes.map(node => node.address))]
  if (addresses.length > 1)
    throw new ClusterConnectionError(
      `init(): ${addresses.length} clusters run on this machine, at ${addresses.join(' and ')}: say which with address, or EAGLERAY_ADDRESS`,
    )
  if (nodes.length > 0) return preferred(nodes)
  if (address === undefined) return null
  throw new ClusterConnectionError(
    "init(): address is 'auto', and no cluster runs on this machine: start one with `eagleray start --head`, join one with `eagleray start --address host:port`, or leave address out",
  )
}

/** Looks again for as long as a node of this machine joins its cluster again, at most `rejoinWaitMs`: it may be the one that is looked for. */
export async function whileOneRejoins<T>(look: () => T): Promise<T> {
  const untilMs = performance.now() + limits.rejoinWaitMs
  for (;;) {
    try {
      return look()
    } catch (error) {
      const mayCome = error instanceof ClusterConnectionError && rejoiningNodes(clusterHome()).length > 0 && performance.now() < untilMs
      if (!mayCome) throw error
      await new Promise(resolve => setTimeout(resolve, LOOK_MS))
    }
  }
}

function nodeOf(home: string, address: string): NodeRecord {
  const nodes = liveNodes(home).filter(node => node.address === address)
  if (nodes.length > 0) return preferred(nodes)
  const head = liveHeads(home).some(each => each.address === address)
  throw new ClusterConnectionError(
    head
      ? `init(): the head of the cluster at ${address} runs on this machine, but no node of it does: start one with \`eagleray start --address ${address}\``
      : `init(): no node of a cluster at ${address} runs on this machine: start one with \`eagleray start --address ${address}\`, which joins that cluster`,
  )
}

/** That beside the head, else the one that has run longest. */
function preferred(nodes: NodeRecord[]): NodeRecord {
  return [...nodes].sort((a, b) => Number(b.withHead) - Number(a.withHead) || a.since - b.since)[0] as NodeRecord
}
