// SPDX-License-Identifier: Apache-2.0

import { connect, createServer, type Server, type Socket } from 'node:net'

/** Passes TCP on to where a transport listens, until it is cut. */
export class CuttableProxy {
  readonly #sockets = new Set<Socket>()
  readonly #servers: Server[] = []
  #cut = false

  async to(address: string): Promise<string> {
    const port = Number(address.split(':').at(-1))
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
