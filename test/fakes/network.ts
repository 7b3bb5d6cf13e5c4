// SPDX-License-Identifier: Apache-2.0
// Transports without sockets: the production links over a network in memory, with a clock of its own. Nothing moves and
// no time passes until a test says so; connections can be cut, and messages lost, repeated and reordered.

import { type Connection, LinkTable } from '#lib/io/link-table.js'
import type { Transport, TransportListener } from '#lib/io/transport.js'

export interface FakeEndpoint {
  id: string
  daemonId: string
  token: string
  listener: TransportListener
}

interface Message {
  to: End
  bytes: Uint8Array
}

/** One end of a connection. */
class End implements Connection {
  other: End | null = null
  open = false

  constructor(
    readonly network: FakeNetwork,
    readonly owner: FakeTransport,
    readonly address: string,
  ) {}

  send(bytes: Uint8Array): void {
    if (this.open && this.other !== null) this.network.post({ to: this.other, bytes: bytes.slice() })
    else if (this.other !== null && this.address === '') this.owner.table.disconnected(this, 'its connection ended')
  }

  close(): void {
    this.network.hangUp(this)
  }
}

class FakeTransport implements Transport {
  readonly table: LinkTable
  closed = false

  constructor(
    readonly network: FakeNetwork,
    readonly address: string,
    readonly endpoint: FakeEndpoint,
    epoch: () => number,
  ) {
    const { id, daemonId, listener } = endpoint
    const dialler = { dial: (to: string) => network.dial(this, to) }
    this.table = new LinkTable({ id, daemonId, address }, listener, dialler, network, epoch)
  }

  open(peer: { id: string; address: string }): void {
    this.table.open(peer)
  }

  send(id: string, packet: Uint8Array): boolean {
    return this.table.send(id, packet)
  }

  isFull(id: string): boolean {
    return this.table.isFull(id)
  }

  unacknowledged(id: string): number {
    return this.table.unacknowledged(id)
  }

  forget(id: string, why?: string): void {
    this.table.forget(id, why)
  }

  async close(): Promise<void> {
    this.closed = true
    this.table.close()
    this.network.gone(this)
  }
}

export class FakeNetwork {
  time = 0
  /** On their way, oldest first. */
  readonly messages: Message[] = []
  readonly #transports = new Map<string, FakeTransport>()
  readonly #dialled = new Set<End>()
  readonly #timers = new Set<{ at: number; run: () => void }>()
  #next = 0
  #cut = false

  make(endpoint: FakeEndpoint): Transport {
    const address = `fake://${++this.#next}`
    const transport = new FakeTransport(this, address, endpoint, () => ++this.#next)
    this.#transports.set(address, transport)
    return transport
  }

  now(): number {
    return this.time
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.time + ms, run }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** Delivers the oldest message, or lets time pass to the next timer. False when there is neither. */
  step(): boolean {
    this.connect()
    const message = this.messages.shift()
    if (message !== undefined) {
      if (message.to.open) message.to.owner.table.heard(message.to, message.bytes)
      return true
    }
    const [first] = [...this.#timers].sort((a, b) => a.at - b.at)
    if (first === undefined) return false
    this.#timers.delete(first)
    this.time = Math.max(this.time, first.at)
    first.run()
    return true
  }

  /** Breaks all connections, and keeps them broken until `join`. */
  cut(): void {
    this.#cut = true
    this.messages.length = 0
    for (const end of this.#dialled) this.#break(end)
  }

  join(): void {
    this.#cut = false
  }

  dial(owner: FakeTransport, address: string): Connection {
    const end = new End(this, owner, address)
    this.#dialled.add(end)
    return end
  }

  post(message: Message): void {
    this.messages.push(message)
  }

  hangUp(end: End): void {
    this.#dialled.delete(end)
    this.#break(end)
  }

  gone(transport: FakeTransport): void {
    this.#transports.delete(transport.address)
    for (const end of [...this.#dialled]) {
      if (end.owner === transport) this.hangUp(end)
      else if (end.other?.owner === transport) this.#break(end)
    }
  }

  #break(end: End): void {
    const { other } = end
    const was = end.open
    end.open = false
    if (other?.other === end) other.open = false
    if (was) end.owner.table.disconnected(end, 'cut')
  }

  /** Makes the connections that were dialled and can be made. */
  connect(): void {
    if (this.#cut) return
    for (const end of [...this.#dialled]) {
      const there = this.#transports.get(end.address)
      if (end.open || there === undefined) continue
      if (there.endpoint.token !== end.owner.endpoint.token) {
        this.#dialled.delete(end)
        there.endpoint.listener.onRefused({ why: 'another token', address: end.owner.address, id: null })
        continue
      }
      end.other = new End(this, there, '')
      end.other.other = end
      end.open = true
      end.other.open = true
      end.owner.table.connected(end)
    }
  }
}
