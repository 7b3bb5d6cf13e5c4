// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Transport } from '#lib/io/transport.js'
import { zmqTransport } from '#lib/io/zmq/transport.js'
import { transportSuite } from '../conformance/transport.js'

/** Passes TCP on to a transport, until it is cut. */
class CuttableProxy {
  readonly #sockets = new Set<Socket>()
  readonly #servers: Server[] = []
  #cut = false

  async to(transport: Transport): Promise<string> {
    const port = Number(transport.address.split(':').at(-1))
    const server = createServer(socket => {
      const onward = connect(port, '127.0.0.1')
      for (const [from, to] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        this.#sockets.add(from)
        from.on('error', () => {})
        from.on('close', () => {
          this.#sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
      if (this.#cut) socket.destroy()
    })
    this.#servers.push(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return `tcp://127.0.0.1:${(server.address() as { port: number }).port}`
  }

  cut(): void {
    this.#cut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  join(): void {
    this.#cut = false
  }

  end(): void {
    for (const server of this.#servers) server.close()
    this.cut()
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let rounds = 0; !condition(); rounds++) {
    assert.ok(rounds < 3000, what)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

transportSuite('ZeroMQ', async () => {
  const proxy = new CuttableProxy()
  return {
    make: options => zmqTransport(options),
    addressOf: transport => proxy.to(transport),
    until,
    cut: () => proxy.cut(),
    join: () => proxy.join(),
    end: async () => proxy.end(),
  }
})
