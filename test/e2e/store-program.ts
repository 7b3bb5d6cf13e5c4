// SPDX-License-Identifier: Apache-2.0
// A program of its own that has a store open and does with it what a test says (programs/store-peer.mjs).

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('programs/store-peer.mjs', import.meta.url))

/** Another program with the store. */
export class Other {
  private constructor(readonly child: ChildProcess) {}

  static async start(path: string): Promise<Other> {
    const child = fork(program, [path], { execArgv: [] })
    const other = new Other(child)
    await other.said()
    return other
  }

  async said(): Promise<{ result?: unknown; waiting?: true }> {
    const [message] = await once(this.child, 'message')
    if (message.error !== undefined) throw Object.assign(new Error(message.error.message), message.error)
    return message
  }

  async does(order: string, ...args: unknown[]): Promise<unknown> {
    this.child.send({ order, args })
    return (await this.said()).result
  }

  /** Gives its exit code and the signal that ended it. */
  async exit(code: number): Promise<unknown[]> {
    const gone = once(this.child, 'exit')
    this.child.send({ order: 'exit', args: [code] })
    return await gone
  }

  async kill(): Promise<unknown[]> {
    const gone = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    return await gone
  }
}
