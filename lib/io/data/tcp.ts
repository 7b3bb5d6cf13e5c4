// SPDX-License-Identifier: Apache-2.0
// The data channel over plain TCP: one connection from each node to each node that it gets something from.

import { createServer, type Server, type Socket } from 'node:net'
import { limits } from '../../options.js'
import type { NodeId } from '../../wire/messages.js'
import { endpoint } from '../endpoint.js'
import type { DataChannel, DataOptions, DataPeer, Piece, Sink, Timing } from './channel.js'
import { type DataKey, dataKey } from './handshake.js'
import { TcpSource } from './tcp-source.js'
import { TcpVisitor } from './tcp-visitor.js'

export async function tcpChannel(options: DataOptions): Promise<DataChannel> {
  const { host = '127.0.0.1', port = 0, advertised = host } = options
  const server = createServer({ noDelay: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, resolve)
  })
  return new TcpChannel(options, server, advertised)
}

class TcpChannel implements DataChannel {
  readonly address: string
  readonly #key: DataKey
  readonly #timing: Timing
  readonly #sources = new Map<NodeId, TcpSource>()
  readonly #visitors = new Set<TcpVisitor>()

  constructor(
    private readonly options: DataOptions,
    private readonly server: Server,
    advertised: string,
  ) {
    const { port } = server.address() as { port: number }
    this.address = endpoint(advertised, port)
    this.#key = dataKey(options.token)
    const { nodeId, handshakeMs = limits.dataHandshakeMs, stallMs = limits.dataStallMs } = options
    this.#timing = { nodeId, handshakeMs, stallMs }
    server.maxConnections = limits.dataConnectionsMax
    server.on('connection', socket => this.#visited(socket))
    // Out of file descriptors, mostly: who could not connect tries again.
    server.on('error', error => options.listener.onRefused('', error.message))
    server.unref()
  }

  fetch(peer: DataPeer, piece: Piece, sink: Sink): void {
    const known = this.#sources.get(peer.nodeId)
    // A node that came back listens elsewhere.
    if (known !== undefined && known.peer.address !== peer.address) known.end('the node listens elsewhere now')
    if (!URL.canParse(peer.address)) return sink.done({ missing: false, why: `'${peer.address}' is no address` })
    const source = this.#sources.get(peer.nodeId) ?? this.#connect(peer)
    source.ask(piece, sink)
  }

  forget(nodeId: NodeId): void {
    this.#sources.get(nodeId)?.end('the node is dead')
    for (const visitor of [...this.#visitors]) if (visitor.peer === nodeId) visitor.end(null)
  }

  close(): void {
    this.server.close()
    for (const source of [...this.#sources.values()]) source.end('this node ends')
    for (const visitor of [...this.#visitors]) visitor.end(null)
  }

  #connect(peer: DataPeer): TcpSource {
    const source = new TcpSource(peer, this.#key, this.#timing, () => {
      if (this.#sources.get(peer.nodeId) === source) this.#sources.delete(peer.nodeId)
    })
    this.#sources.set(peer.nodeId, source)
    return source
  }

  #visited(socket: Socket): void {
    const { listener } = this.options
    const visitor = new TcpVisitor(socket, this.#key, this.#timing, {
      asked: question => listener.onQuestion(question),
      left: (gone, why) => {
        this.#visitors.delete(gone)
        if (why !== null) listener.onRefused(gone.address, why)
        const { peer } = gone
        if (peer !== null && ![...this.#visitors].some(other => other.peer === peer)) listener.onPeerGone(peer)
      },
    })
    this.#visitors.add(visitor)
  }
}
