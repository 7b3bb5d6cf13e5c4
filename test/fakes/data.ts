// SPDX-License-Identifier: Apache-2.0
// A data channel with no network: nodes know each other by address in one map, and bytes are copied in a later turn.

import type { DataChannel, DataListener, DataPeer, Lent, Piece, Sink } from '#lib/io/data/channel.js'
import { failureOf, readAnswerHead, writeUnread } from '#lib/io/data/tcp-frames.js'
import type { NodeId } from '#lib/wire/messages.js'

interface Asked {
  from: FakeChannel
  to: NodeId
  sink: Sink
}

export class FakeDataNetwork {
  readonly nodes = new Map<string, FakeChannel>()

  channel(nodeId: NodeId, token: string, listener: DataListener): FakeChannel {
    const channel = new FakeChannel(this, nodeId, token, listener)
    this.nodes.set(channel.address, channel)
    return channel
  }
}

export class FakeChannel implements DataChannel {
  readonly address: string
  readonly #asked = new Set<Asked>()

  constructor(
    private readonly network: FakeDataNetwork,
    readonly nodeId: NodeId,
    private readonly token: string,
    private readonly listener: DataListener,
  ) {
    this.address = `tcp://fake-${nodeId}:1`
  }

  fetch(peer: DataPeer, piece: Piece, sink: Sink): void {
    const asked: Asked = { from: this, to: peer.nodeId, sink }
    this.#asked.add(asked)
    setImmediate(() => {
      const source = this.network.nodes.get(peer.address)
      if (source === undefined || source.nodeId !== peer.nodeId) return this.#fail(asked, 'nobody listens there')
      if (source.token !== this.token) {
        source.listener.onRefused(this.address, 'it does not have the token of this cluster')
        return this.#fail(asked, 'it is of another cluster')
      }
      source.listener.onQuestion({
        ...piece,
        peer: this.nodeId,
        send: lent => setImmediate(() => void this.#arrive(asked, piece.length, lent)),
        refuse: why => setImmediate(() => this.#end(asked, { missing: why === 'missing', why })),
      })
    })
  }

  forget(nodeId: NodeId): void {
    for (const asked of [...this.#asked]) if (asked.to === nodeId) this.#fail(asked, 'the node is dead')
  }

  close(): void {
    this.network.nodes.delete(this.address)
    for (const asked of [...this.#asked]) this.#fail(asked, 'this node ends')
    for (const other of this.network.nodes.values()) {
      other.listener.onPeerGone(this.nodeId)
      other.forget(this.nodeId)
    }
  }

  async #arrive(asked: Asked, length: number, lent: Lent): Promise<void> {
    const bytes = new Uint8Array(length)
    try {
      await lent.read(0, bytes)
    } catch (error) {
      return this.#end(asked, failureOf(readAnswerHead(writeUnread(0, error))))
    } finally {
      lent.done()
    }
    for (let at = 0; at < length && this.#asked.has(asked); ) {
      const room = asked.sink.room(at)
      const count = Math.min(room.length, length - at)
      room.set(bytes.subarray(at, at + count))
      asked.sink.wrote(at, count)
      at += count
    }
    this.#end(asked, null)
  }

  #fail(asked: Asked, why: string): void {
    this.#end(asked, { missing: false, why })
  }

  #end(asked: Asked, failure: Parameters<Sink['done']>[0]): void {
    if (this.#asked.delete(asked)) asked.sink.done(failure)
  }
}
