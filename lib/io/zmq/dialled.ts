// SPDX-License-Identifier: Apache-2.0
// A peer that this process dials: a DEALER that connects by itself, and again after each break. Where the peer ends the
// connection before a handshake (it has another token), it is tried ever more seldom.

import { limits } from '../../options.js'
import type { Connection } from '../link-table.js'
import { plainBytes, retried, type Zmq, type ZmqContext } from './context.js'

export interface DialledListener {
  connected(connection: Connection): void
  disconnected(connection: Connection, why: string): void
  heard(connection: Connection, bytes: Uint8Array): void
  refused(why: string, turnedAway: boolean): void
}

/** So often in a row a connection may end before its handshake for want of luck. */
const TOLERATED = 1

export class Dialled implements Connection {
  #dealer: Zmq.Dealer
  /** The handshake of the connection that stands is done. */
  #known = false
  #turnedAway = 0
  #timer: NodeJS.Timeout | null = null
  #closed = false

  constructor(
    readonly address: string,
    private readonly shared: ZmqContext,
    private readonly listener: DialledListener,
  ) {
    this.#dealer = this.#dial()
  }

  send(bytes: Uint8Array): void {
    // What cannot be sent now is lost: the link sends again.
    if (!this.#dealer.closed) this.#dealer.send(bytes).catch(() => {})
  }

  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#dealer.close()
  }

  #dial(): Zmq.Dealer {
    const { zmq, client } = this.shared
    const reconnect = { reconnectInterval: limits.reconnectMs[0], reconnectMaxInterval: limits.reconnectMs[1] }
    // Nothing is queued for a connection that is not there.
    const dealer = new zmq.Dealer({ ...client, ...reconnect, immediate: true, ipv6: this.address.includes('[') })
    const events = retried(() => dealer.events)
    events.on('handshake', () => this.#connected())
    events.on('disconnect', () => this.#disconnected(dealer))
    try {
      retried(() => dealer.connect(this.address))
    } catch (error) {
      this.listener.refused(`it is no address (${(error as Error).message})`, false)
    }
    void this.#receive(dealer)
    return dealer
  }

  #connected(): void {
    if (this.#closed) return
    this.#known = true
    this.#turnedAway = 0
    this.listener.connected(this)
  }

  #disconnected(dealer: Zmq.Dealer): void {
    if (this.#closed || dealer !== this.#dealer) return
    if (this.#known) {
      this.#known = false
      return this.listener.disconnected(this, 'the connection ended')
    }
    if (this.#turnedAway >= TOLERATED)
      this.listener.refused('it ends each connection before the handshake: most likely its token is another', true)
    const [first, last] = limits.turnedAwayMs
    // The second time tells whether it was chance, so that comes at once.
    const pauseMs = this.#turnedAway === 0 ? 0 : Math.min(last, first * 2 ** this.#turnedAway)
    this.#turnedAway++
    dealer.close()
    this.#timer = setTimeout(() => {
      this.#dealer = this.#dial()
    }, pauseMs)
    this.#timer.unref()
  }

  async #receive(dealer: Zmq.Dealer): Promise<void> {
    for await (const parts of dealer) {
      if (parts.length === 1) this.listener.heard(this, plainBytes(parts[0] as Buffer))
    }
  }
}
