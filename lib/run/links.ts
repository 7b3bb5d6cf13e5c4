// SPDX-License-Identifier: Apache-2.0
// The links of a node that is one of several: its relay, and the transport below it.

import { nodeOf } from '../ids.js'
import type { Transport } from '../io/transport.js'
import type { WorkerId } from '../wire/messages.js'
import { Relay } from './relay.js'

export interface Links {
  relay: Relay
  transport: Transport
}

/** Listens at `host` for the other nodes of the cluster with that token. ZeroMQ is loaded only here. */
export async function openLinks(daemonId: WorkerId, { token, host }: { token: string; host: string }): Promise<Links> {
  const { zmqTransport } = await import('../io/zmq/transport.js')
  const relay = new Relay(daemonId)
  return { relay, transport: await zmqTransport({ id: nodeOf(daemonId), daemonId, token, host, listener: relay }) }
}
