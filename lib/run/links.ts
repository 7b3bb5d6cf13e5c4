// SPDX-License-Identifier: Apache-2.0
// The links of a node that is one of several: its relay, the transport below it, and the channel for the bytes of objects.

import { nodeOf } from '../ids.js'
import type { DataChannel, DataListener, DataOptions, Question } from '../io/data/channel.js'
import type { Transport } from '../io/transport.js'
import type { NodeId, WorkerId } from '../wire/messages.js'
import type { JoinSettings } from './daemon-settings.js'
import { Relay } from './relay.js'

export interface Links {
  relay: Relay
  transport: Transport
  data: DataPort
}

/** A data channel whose questions somebody answers once there is somebody. */
export class DataPort implements DataListener {
  channel: DataChannel | null = null
  listener: DataListener | null = null

  onQuestion(question: Question): void {
    if (this.listener === null) question.refuse('missing')
    else this.listener.onQuestion(question)
  }

  onPeerGone(peer: NodeId): void {
    this.listener?.onPeerGone(peer)
  }

  onRefused(address: string, why: string): void {
    this.listener?.onRefused(address, why)
  }
}

/** Listens at `host` for the other nodes of the cluster with that token. ZeroMQ is loaded only here. */
export async function openLinks(daemonId: WorkerId, joining: Pick<JoinSettings, 'token' | 'host' | 'advertised'>): Promise<Links> {
  const { token, host, advertised } = joining
  const { zmqTransport } = await import('../io/zmq/transport.js')
  const id = nodeOf(daemonId)
  const relay = new Relay(daemonId)
  const data = new DataPort()
  data.channel = await dataChannel({ nodeId: id, token, host, advertised, listener: data })
  try {
    return { relay, transport: await zmqTransport({ id, daemonId, token, host, advertised, listener: relay }), data }
  } catch (error) {
    data.channel.close()
    throw error
  }
}

/** Over plain TCP, unless EAGLERAY_DATA_CHANNEL says `zeromq`, which all nodes of a cluster have to agree on. */
async function dataChannel(options: DataOptions): Promise<DataChannel> {
  const kind = process.env.EAGLERAY_DATA_CHANNEL ?? 'tcp'
  if (kind === 'tcp') return (await import('../io/data/tcp.js')).tcpChannel(options)
  if (kind === 'zeromq') return (await import('../io/data/zmq.js')).zmqDataChannel(options)
  throw new RangeError(`EAGLERAY_DATA_CHANNEL is '${kind}'; it must be 'tcp' or 'zeromq'`)
}
