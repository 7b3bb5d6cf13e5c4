// SPDX-License-Identifier: Apache-2.0
// A real redis-server for a test, which can be killed and started again with what it kept.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export class RedisServer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'eagleray-redis-'))
  #child: ChildProcess | null = null

  private constructor(readonly port: number) {}

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort())
    await server.start()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
    const where = ['--bind', '127.0.0.1', '--port', `${this.port}`, '--dir', this.#folder]
    const child = spawn('redis-server', [...where, ...durable], { stdio: 'ignore' })
    this.#child = child
    await new Promise<void>((resolve, reject) => {
      child.on('error', error => reject(new Error(`redis-server cannot be started (Debian package redis-server): ${error.message}`)))
      void this.#untilAnswers().then(resolve)
    })
  }

  /** With SIGKILL. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  async close(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** One command in Redis's own line protocol, as `redis-cli` would send it. */
  async command(...words: string[]): Promise<string> {
    const socket = connect(this.port, '127.0.0.1')
    const request = [`*${words.length}`, ...words.flatMap(word => [`$${Buffer.byteLength(word)}`, word]), ''].join('\r\n')
    try {
      await once(socket, 'connect')
      socket.write(request)
      const [reply] = (await once(socket, 'data')) as [Buffer]
      return reply.toString()
    } finally {
      socket.destroy()
    }
  }

  async #untilAnswers(): Promise<void> {
    while (this.#child !== null) {
      if ((await this.command('PING').catch(() => '')) === '+PONG\r\n') return
      await sleep(20)
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
