// SPDX-License-Identifier: Apache-2.0
// Objects from node to node, each node a process with a store of its own, on this machine's loopback. The bytes go the way they
// go between machines; messages go through this process, which is the owner. The floor is one plain stream of Node's.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Effect } from '#lib/core/owner/effects.js'
import { Owner } from '#lib/core/owner/owner.js'
import { HEAD_ID, nodeOf, objectId } from '#lib/ids.js'
import type { Control, NodeView, WorkerId } from '#lib/wire/messages.js'
import type { Row, Unit } from '../row.js'
import type { FromNode, Hello } from '../transfer-node.js'

const group = 'transfer'
const SIZES = { '1 MB': 1e6, '100 MB': 1e8, '1 GB': 1e9 } as const
const OWNER: WorkerId = `aaaaaaaaaa0001${'b'.repeat(10)}`
const nodeName = (i: number): string => '123456789'.charAt(i).repeat(10)

class Nodes {
  readonly #children: ChildProcess[] = []
  readonly #hellos: Hello[] = []
  readonly #owner = new Owner(OWNER, OWNER, bytes => new Error(new TextDecoder().decode(bytes)))
  readonly #waiting = new Map<string, { resolve: () => void; reject: (error: Error) => void }>()

  /** Rejects when a node ends that was not told to. */
  readonly #death: Promise<never>
  #died: (error: Error) => void = () => {}
  #stopping = false

  private constructor() {
    this.#death = new Promise((_, reject) => {
      this.#died = reject
    })
    this.#death.catch(() => {})
  }

  /** The first has an object of that size. */
  static async start(count: number, size: number, kind: 'tcp' | 'zeromq'): Promise<Nodes> {
    const nodes = new Nodes()
    for (let i = 0; i < count; i++) {
      const args = [nodeName(i), 'bench', kind, String(Math.max(64 << 20, 1.3 * size)), ...(i === 0 ? [String(size)] : [])]
      const child = fork(fileURLToPath(new URL('../transfer-node.ts', import.meta.url)), args, { execArgv: ['--import', 'tsx'] })
      nodes.#children.push(child)
      child.on('exit', code => nodes.#gone(i, code))
      const [hello] = (await Promise.race([once(child, 'message'), nodes.#death])) as [Hello]
      nodes.#hellos.push(hello)
      child.on('message', ({ to, message }: FromNode) => nodes.#heard(i, to, message))
    }
    const entry = nodes.#owner.stored(nodes.#owner.nextSeq(1), size, null)
    entry.local = 1
    entry.nodes = new Set([nodeName(0)])
    for (const child of nodes.#children) child.send({ from: HEAD_ID, message: nodes.#view() })
    return nodes
  }

  get streamPort(): number {
    return this.#hellos[0]?.streamPort as number
  }

  /** Brings the object to those nodes, and then has them forget it. */
  async pull(...to: number[]): Promise<void> {
    const id = objectId(OWNER, 1)
    await Promise.race([Promise.all(to.map(i => this.#want(i, id))), this.#death])
    for (const i of to) {
      this.#tell(i, this.#process(i), { is: 'pullEnd', id })
      this.#tell(i, OWNER, { is: 'free', ids: [id] })
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true
    for (const child of this.#children) {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    }
  }

  #gone(i: number, code: number | null): void {
    if (!this.#stopping)
      this.#died(new Error(`node ${i} of the benchmark ended by itself with exit code ${code}; what it said stands above`))
  }

  #want(i: number, id: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(`${i}`, { resolve, reject })
      this.#tell(i, this.#process(i), { is: 'pull', id, why: 'get' })
    })
  }

  #heard(i: number, to: WorkerId, message: Control): void {
    if (to === OWNER) return this.#asOwner(this.#hellos[i]?.daemonId as WorkerId, message)
    const waiting = this.#waiting.get(`${i}`)
    this.#waiting.delete(`${i}`)
    if (message.is === 'pulled') waiting?.resolve()
    else waiting?.reject(new Error(`${message.is} at node ${i}`))
  }

  #asOwner(from: WorkerId, message: Control): void {
    const out: Effect[] = []
    this.#owner.handle({ is: 'message', from, message }, performance.now(), out)
    for (const effect of out) {
      if (effect.is !== 'located') continue
      const { to, seq, nodes, entry } = effect
      const i = this.#hellos.findIndex(({ nodeId }) => nodeId === nodeOf(to))
      const { sizeBytes, losses } = entry ?? { sizeBytes: 0, losses: 0 }
      this.#tell(i, OWNER, { is: 'located', seq, state: 'stored', nodes, sizeBytes, losses, error: null })
    }
  }

  #tell(i: number, from: WorkerId, message: Control): void {
    this.#children[i]?.send({ from, message })
  }

  #process(i: number): WorkerId {
    return `${nodeName(i)}0005${'c'.repeat(10)}`
  }

  #view(): Control {
    const nodes = this.#hellos.map((hello): NodeView => {
      const rest = {
        hostname: '',
        address: '',
        state: 'alive',
        labels: {},
        gpuIds: [],
        total: {},
        available: {},
        deathCause: null,
      } as const
      return { ...rest, gpuIds: [], nodeId: hello.nodeId, daemonId: hello.daemonId, dataAddress: hello.dataAddress }
    })
    return { is: 'view', full: true, nodes }
  }
}

const row = (name: string, unit: Unit, prepare: Row['prepare']): Row => ({ name, group, unit, multiplier: 1, prepare })

function pullRow(size: keyof typeof SIZES, kind: 'tcp' | 'zeromq'): Row {
  return row(`pull of ${size} over ${kind === 'tcp' ? 'TCP' : 'ZeroMQ'}`, 'ms', async () => {
    const nodes = await Nodes.start(2, SIZES[size], kind)
    return { run: () => nodes.pull(1), stop: () => nodes.stop() }
  })
}

function streamRow(size: keyof typeof SIZES): Row {
  return row(`a stream of ${size} with nothing of ours`, 'ms', async () => {
    const nodes = await Nodes.start(1, SIZES[size], 'tcp')
    const socket = connect({ port: nodes.streamPort, host: '127.0.0.1', noDelay: true })
    let left = 0
    let done = (): void => {}
    socket.on('data', bytes => {
      left -= bytes.length
      if (left === 0) done()
    })
    return {
      run: () =>
        new Promise<void>(resolve => {
          left = SIZES[size]
          done = resolve
          socket.write('x')
        }),
      async stop() {
        socket.destroy()
        await nodes.stop()
      },
    }
  })
}

export const transferRows: Row[] = [
  streamRow('1 MB'),
  streamRow('100 MB'),
  streamRow('1 GB'),
  pullRow('1 MB', 'tcp'),
  pullRow('100 MB', 'tcp'),
  pullRow('1 GB', 'tcp'),
  pullRow('1 MB', 'zeromq'),
  pullRow('100 MB', 'zeromq'),
  row('broadcast of 100 MB to 8 nodes', 'ms', async () => {
    const nodes = await Nodes.start(9, SIZES['100 MB'], 'tcp')
    return { run: () => nodes.pull(1, 2, 3, 4, 5, 6, 7, 8), stop: () => nodes.stop() }
  }),
]
