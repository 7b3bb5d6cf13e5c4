// SPDX-License-Identifier: Apache-2.0
// A cluster of real processes on this machine, for tests. Everything ends with the process that made it, however that
// ends, and what such a process left in files is removed by the next one.

import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkNodeOptions, NODE_KEYS } from '../api/node-options.js'
import { checkStorageName } from '../io/storage/name.js'
import { limits } from '../options.js'
import { clusterHome, isAlive, recordOf } from './cluster-home.js'
import { type RunningHead, type RunningNode, startHead, startNode } from './cluster-start.js'
import type { HeadSettings } from './head-settings.js'
import { count, refuseUnknown } from './option-checks.js'

export interface ClusterNodeOptions {
  /** CPUs the node offers. Default: 1. */
  numCpus?: number
  /** GPUs the node offers. Default: 0. */
  numGpus?: number
  memoryBytes?: number
  /** More resources by name: a task that asks for one that only this node has runs here. */
  resources?: Record<string, number>
  labels?: Record<string, string>
  /** Size of the node's object store in bytes. Default: 64 MiB. */
  objectStoreBytes?: number
  spill?: boolean
  spillDir?: string
}

export interface ClusterHeadOptions extends ClusterNodeOptions {
  /** Where the head listens. Default: a port that is free. */
  port?: number
  /** Where the head keeps its tables: 'memory', 'file:DIR' or 'redis://…'. Default: files that go with the cluster. */
  storage?: string
  /** How long a node may be silent before it counts as dead (ms), 100 at least. Default: 10,000. */
  nodeTimeoutMs?: number
}

const HOST = '127.0.0.1'
const SMALL_STORE_BYTES = 64 << 20

/** A node of a test's cluster: one daemon process with its own store and workers. */
export class ClusterNode {
  readonly #running: RunningNode

  constructor(running: RunningNode) {
    this.#running = running
  }

  get nodeId(): string {
    return this.#running.nodeId
  }

  /** Of its daemon. */
  get pid(): number {
    return this.#running.pid
  }

  /** Where other nodes reach it. */
  get address(): string {
    return this.#running.address
  }

  get sessionDir(): string {
    return this.#running.sessionDir
  }

  /** SIGKILL: the node and its workers are gone at once. Resolves when they are. */
  kill(): Promise<void> {
    return this.#running.kill()
  }

  /** SIGTERM: it ends its workers and leaves the cluster. Resolves when it has ended. */
  stop(): Promise<void> {
    return this.#running.stop()
  }
}

/**
 * A head and nodes, each a process of its own. Programs attach with `init({ address: cluster.address })`; without an address
 * nobody finds it.
 * @example
 * await using cluster = await Cluster.start({ head: { numCpus: 1 } })
 * const node = await cluster.addNode({ numCpus: 2, resources: { disk: 1 } })
 * await init({ address: cluster.address })
 */
export class Cluster implements AsyncDisposable {
  readonly #nodes = new Set<ClusterNode>()
  readonly #settings: HeadSettings
  readonly #folder: string
  #head: RunningHead | null
  /** The node beside the head: programs attach to it. */
  readonly headNode: ClusterNode
  /** Where the head listens: host:port. */
  readonly address: string

  private constructor(folder: string, settings: HeadSettings, head: RunningHead, running: RunningNode) {
    this.#folder = folder
    this.#settings = settings
    this.#head = head
    this.address = head.address
    this.headNode = new ClusterNode(running)
    this.#nodes.add(this.headNode)
  }

  /** Starts a head and a node beside it. Rejects with TypeError or RangeError for options that cannot be, with ClusterConnectionError when one does not come up. */
  static async start(options: { head?: ClusterHeadOptions } = {}): Promise<Cluster> {
    refuseUnknown('Cluster.start()', options, ['head'])
    const { port = 0, storage, nodeTimeoutMs, ...node } = options.head ?? {}
    refuseUnknown('Cluster.start()', options.head ?? {}, ['port', 'storage', 'nodeTimeoutMs', ...NODE_KEYS])
    checkNodeOptions('Cluster.start()', node)
    count('Cluster.start()', 'port', port, 0, 65_535)
    count('Cluster.start()', 'nodeTimeoutMs', nodeTimeoutMs, limits.nodeDeadAfterMsMin)
    if (storage !== undefined && typeof storage !== 'string') throw new TypeError('Cluster.start(): storage must be a string')
    if (storage !== undefined) checkStorageName('Cluster.start(): storage', storage)
    const folder = newFolder()
    const settings: HeadSettings = {
      ...{ host: HOST, port, storage: storage ?? `file:${join(folder, 'tables')}`, token: randomToken(), life: 'stdin' },
      nodeDeadAfterMs: nodeTimeoutMs ?? null,
    }
    const head = await startHead(null, settings)
    try {
      const running = await joined(node, head.address, settings.token, true)
      return new Cluster(folder, { ...settings, port: portOf(head.address) }, head, running)
    } catch (error) {
      await head.kill()
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** All nodes that were not removed. */
  get nodes(): readonly ClusterNode[] {
    return [...this.#nodes]
  }

  /** Of the head; null while it is killed. */
  get headPid(): number | null {
    return this.#head?.pid ?? null
  }

  /** Starts another node, which joins. Resolves when the head knows it; rejects as `start` does. */
  async addNode(options: ClusterNodeOptions = {}): Promise<ClusterNode> {
    refuseUnknown('addNode()', options, NODE_KEYS)
    checkNodeOptions('addNode()', options)
    const node = new ClusterNode(await joined(options, this.address, this.#settings.token, false))
    this.#nodes.add(node)
    return node
  }

  /** Ends a node: with SIGTERM, so that it says goodbye, or with SIGKILL when `graceful` is false. */
  async removeNode(node: ClusterNode, options: { graceful?: boolean } = {}): Promise<void> {
    refuseUnknown('removeNode()', options, ['graceful'])
    if (!(node instanceof ClusterNode)) throw new TypeError('removeNode() takes a node that addNode() gave')
    this.#nodes.delete(node)
    await (options.graceful === false ? node.kill() : node.stop())
  }

  /** SIGKILL to the head. The nodes keep working. */
  async killHead(): Promise<void> {
    const head = this.#head
    this.#head = null
    await head?.kill()
  }

  /** Starts the head again, at the same address and with what it kept; kills it before if it runs. */
  async restartHead(): Promise<void> {
    await this.killHead()
    this.#head = await startHead(null, this.#settings)
  }

  /** Ends everything, and removes it. May be called any number of times. */
  async shutdown(): Promise<void> {
    await Promise.all([...this.#nodes].map(node => node.stop()))
    this.#nodes.clear()
    const head = this.#head
    this.#head = null
    await head?.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown()
  }
}

function joined(options: ClusterNodeOptions, head: string, token: string, withHead: boolean): Promise<RunningNode> {
  const node = { numCpus: 1, numGpus: 0, objectStoreBytes: SMALL_STORE_BYTES, ...options }
  return startNode(node, { head, host: HOST, token, home: clusterHome(), listed: false, withHead }, 'stdin', null)
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1))
}

function randomToken(): string {
  return process.getBuiltinModule('node:crypto').randomBytes(32).toString('hex')
}

/** A folder that carries its maker's name, so that it can be told when nobody needs it any more. */
function newFolder(): string {
  const root = join(tmpdir(), `eagleray-${process.getuid?.() ?? 0}`, 'test-clusters')
  mkdirSync(root, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(root)) {
    const [pid, startTime] = name.split('-') as [string, string]
    if (!isAlive({ ...recordOf(Number(pid), ''), startTime })) rmSync(join(root, name), { recursive: true, force: true })
  }
  const { pid, startTime } = recordOf(process.pid, '')
  const path = join(root, `${pid}-${startTime}-${randomToken().slice(0, 8)}`)
  mkdirSync(path, { mode: 0o700 })
  return path
}
