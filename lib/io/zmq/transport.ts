// SPDX-License-Identifier: Apache-2.0
// The transport over ZeroMQ: a ROUTER that others dial, and a DEALER for each peer that this process dials. All sends are
// taken at once or lost; the links above send again. Only for main threads: ZeroMQ's addon aborts a process whose worker
// thread ends with a receive in flight.

import { randomInt } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { limits } from '../../options.js'
import type { NodeId, WorkerId } from '../../wire/messages.js'
import { advertisedEndpoint, endpoint } from '../endpoint.js'
import { type Clock, type Connection, LinkTable } from '../link-table.js'
import type { Transport, TransportListener } from '../transport.js'
import { plainBytes, retried, type Zmq, type ZmqContext, zmqContext } from './context.js'
import { Dialled } from './dialled.js'

export interface DoorOptions {
  id: NodeId
  daemonId: WorkerId
  /** The cluster's secret. Null: neither encrypted nor guarded, for measurements. */
  token: string | null
  /** The name or number of this machine's address that is listened at, and the port; 0: any. The default is '127.0.0.1' and any. */
  host?: string
  /** What others are told in place of `host`. */
  advertised?: string | undefined
  port?: number
}

export interface ZmqOptions extends DoorOptions {
  listener: TransportListener
}

const clock: Clock = {
  now: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, Math.ceil(ms))
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** What to do where it cannot listen. */
const ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: '. Another program listens at that port: name another with --port',
  EADDRNOTAVAIL: '. --host must be an address of this machine',
  EACCES: '. Ports below 1024 are for root: name another with --port',
}

/** Where others can knock already; who does waits until somebody listens. */
export interface Door {
  listen(listener: TransportListener): Transport
}

export async function zmqTransport({ listener, ...options }: ZmqOptions): Promise<Transport> {
  return (await zmqDoor(options)).listen(listener)
}

/** Takes the port. */
export async function zmqDoor(options: DoorOptions): Promise<Door> {
  const { host = '127.0.0.1', port = 0, token } = options
  // ZeroMQ binds to numbers only.
  const { address, family } = await lookup(host)
  const shared = await zmqContext(token)
  const router = new shared.zmq.Router({ ...shared.server, mandatory: true, ipv6: family === 6 })
  try {
    await router.bind(endpoint(address, port === 0 ? '*' : port))
  } catch (error) {
    router.close()
    shared.close()
    const { code, message } = error as NodeJS.ErrnoException
    const why = new Error(`it cannot listen at ${host}:${port}: ${message}${ADVICE[code ?? ''] ?? ''}`, { cause: error })
    throw Object.assign(why, { code })
  }
  return { listen: listener => new ZmqTransport({ ...options, listener }, shared, router) }
}

/** A peer that dialled us, by the name ROUTER gave the connection. */
class Accepted implements Connection {
  readonly address = ''
  readonly name: string

  constructor(
    private readonly owner: ZmqTransport,
    private readonly routingId: Buffer,
  ) {
    this.name = routingId.toString('latin1')
  }

  send(bytes: Uint8Array): void {
    this.owner.sendTo(this, this.routingId, bytes)
  }

  close(): void {
    this.owner.dropped(this)
  }
}

class ZmqTransport implements Transport {
  readonly address: string
  readonly #table: LinkTable
  readonly #accepted = new Map<string, Accepted>()
  #closed = false

  constructor(
    private readonly options: ZmqOptions,
    private readonly shared: ZmqContext,
    private readonly router: Zmq.Router,
  ) {
    this.address = advertisedEndpoint(router.lastEndpoint ?? '', options.advertised)
    const { id, daemonId, listener } = options
    const dialler = { dial: (address: string) => this.#dial(address) }
    this.#table = new LinkTable({ id, daemonId, address: this.address }, listener, dialler, clock, () => randomInt(1, 2 ** 32))
    const strange = (error: Error): void => this.#refused('', `it has another token, or speaks no ZeroMQ (${error.message})`)
    const events = retried(() => router.events)
    events.on('handshake:error:auth', ({ error }) => strange(error))
    events.on('handshake:error:protocol', ({ error }) => strange(error))
    void this.#receive().catch(this.#failed)
  }

  open(peer: { id: NodeId; address: string }): void {
    this.#table.open(peer)
  }

  send(id: NodeId, packet: Uint8Array): boolean {
    return this.#table.send(id, packet)
  }

  isFull(id: NodeId): boolean {
    return this.#table.isFull(id)
  }

  unacknowledged(id: NodeId): number {
    return this.#table.unacknowledged(id)
  }

  forget(id: NodeId, why?: string): void {
    this.#table.forget(id, why)
  }

  async close(drainMs: number): Promise<void> {
    if (this.#closed) return
    const until = clock.now() + drainMs
    while (!this.#table.settled && clock.now() < until) await new Promise(resolve => setTimeout(resolve, limits.linkAckMs))
    this.#closed = true
    this.#table.close()
    this.router.close()
    this.shared.close()
  }

  sendTo(connection: Accepted, routingId: Buffer, bytes: Uint8Array): void {
    if (this.#closed) return
    this.router.send([routingId, bytes]).catch((error: NodeJS.ErrnoException) => {
      // EAGAIN: more is queued for it than a link has in flight. The link sends again.
      if (error.code !== 'EHOSTUNREACH') return
      this.#table.disconnected(connection, 'its connection ended')
    })
  }

  async #receive(): Promise<void> {
    for await (const parts of this.router) {
      const [routingId, bytes] = parts as [Buffer, Buffer]
      if (parts.length !== 2) this.#refused('', `it sent a message of ${parts.length} parts`)
      else this.#heard(routingId, bytes)
    }
  }

  #heard(routingId: Buffer, bytes: Buffer): void {
    const known = this.#accepted.get(routingId.toString('latin1'))
    const connection = known ?? new Accepted(this, Buffer.from(routingId))
    this.#table.heard(connection, plainBytes(bytes))
    if (known === undefined && this.#table.knows(connection)) this.#accepted.set(connection.name, connection)
  }

  /** Nothing is sent over it any more. */
  dropped(connection: Accepted): void {
    this.#accepted.delete(connection.name)
  }

  #dial(address: string): Connection {
    return new Dialled(address, this.shared, {
      connected: connection => this.#table.connected(connection),
      disconnected: (connection, why) => this.#table.disconnected(connection, why),
      heard: (connection, bytes) => this.#table.heard(connection, bytes),
      refused: (why, turnedAway) => this.#refused(address, why, turnedAway),
    })
  }

  /** The loop that reads ends with the socket; any other reason is a bug, and no node goes on without its links. */
  readonly #failed = (error: Error): void => {
    if (!this.#closed) throw error
  }

  #refused(address: string, why: string, turnedAway = false): void {
    if (!this.#closed) this.options.listener.onRefused({ why, address, id: null, ...(turnedAway && { turnedAway }) })
  }
}
