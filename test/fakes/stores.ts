// SPDX-License-Identifier: Apache-2.0
// Nodes as far as objects go, in one process: each with a store of its own in shared memory, a real data channel and the daemon's part
// in moving objects; and one owner, who is told by hand what he owns. Messages between them arrive in later turns.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Effect } from '#lib/core/owner/effects.js'
import { type Entry, STATE } from '#lib/core/owner/entry.js'
import { Owner } from '#lib/core/owner/owner.js'
import { HEAD_ID, nodeOf, objectId } from '#lib/ids.js'
import { tcpChannel } from '#lib/io/data/tcp.js'
import { type NativeStore, native } from '#lib/native.js'
import { DataPort } from '#lib/run/links.js'
import { Transfer } from '#lib/run/transfer.js'
import type { Control, NodeId, NodeView, PullWhy, WorkerId } from '#lib/wire/messages.js'
import { remoteWorker } from './cluster.js'

export const OWNER = remoteWorker(1, 'aaaaaaaaaa')

export interface StoresOptions {
  nodes: number
  capacityBytes?: number
  spill?: boolean
}

class StoreNode {
  readonly transfer: Transfer
  readonly port = new DataPort()
  /** What processes of this node were told, oldest first. */
  readonly told: { to: WorkerId; message: Control }[] = []
  collects = 0

  constructor(
    readonly nodeId: NodeId,
    readonly store: NativeStore,
    cluster: FakeStores,
  ) {
    this.transfer = new Transfer({
      isOrphan: () => false,
      seek: () => null,
      unseek: () => {},
      arrived: () => {},
      store,
      send: (to, message) => cluster.deliver(this, to, message),
      sendToNode: (to, message) => setImmediate(() => cluster.node(to)?.transfer.heard(store.workerId, message)),
      collect: () => {
        this.collects++
      },
    })
  }

  /** A process of this node. */
  process(slot = 5): WorkerId {
    return remoteWorker(slot, this.nodeId)
  }
}

export class FakeStores {
  readonly owner = new Owner(OWNER, remoteWorker(0, 'aaaaaaaaaa'), bytes => new Error(new TextDecoder().decode(bytes)))
  readonly nodes: StoreNode[] = []
  readonly effects: Effect[] = []
  private readonly root = mkdtempSync(join('/dev/shm', 'eagleray-test-'))
  private readonly disk = mkdtempSync(join(tmpdir(), 'eagleray-test-'))
  #woken: (() => void)[] = []

  static async start({ nodes, capacityBytes = 64 << 20, spill = false }: StoresOptions): Promise<FakeStores> {
    const cluster = new FakeStores()
    for (let i = 0; i < nodes; i++) await cluster.add(capacityBytes, spill)
    return cluster
  }

  async add(capacityBytes: number, spill: boolean): Promise<StoreNode> {
    const nodeId = 'abcdef0123456789'.charAt(this.nodes.length).repeat(10)
    const disk = spill ? mkdtempSync(join(this.disk, nodeId)) : null
    const store = native.createStore(join(this.root, nodeId), capacityBytes, nodeId, false, disk, Number.MAX_SAFE_INTEGER)
    const node = new StoreNode(nodeId, store, this)
    node.port.channel = await tcpChannel({ nodeId, token: 'token', listener: node.port })
    node.transfer.attach(node.port)
    this.nodes.push(node)
    this.#view()
    return node
  }

  node(nodeId: NodeId): StoreNode | undefined {
    return this.nodes.find(each => each.nodeId === nodeId)
  }

  at(index: number): StoreNode {
    return this.nodes[index] as StoreNode
  }

  /** An object of the owner, in the store of that node. */
  put(node: StoreNode, bytes: Uint8Array): Entry {
    const entry = this.owner.stored(this.owner.nextSeq(1), bytes.length, null)
    entry.local = 1
    if (node.nodeId !== nodeOf(OWNER)) entry.nodes = new Set([node.nodeId])
    node.store.put(this.id(entry), bytes, bytes.length)
    return entry
  }

  id(entry: Entry): string {
    return objectId(OWNER, entry.seq)
  }

  want(node: StoreNode, entry: Entry, why: PullWhy = 'get', slot = 5): void {
    node.transfer.heard(node.process(slot), { is: 'pull', id: this.id(entry), why })
  }

  /** It has been read. */
  unwant(node: StoreNode, entry: Entry, slot = 5): void {
    node.transfer.heard(node.process(slot), { is: 'pullEnd', id: this.id(entry) })
  }

  /** The answer to the last `want`; null when it came. */
  async answer(node: StoreNode, entry: Entry, slot = 5): Promise<Uint8Array | null> {
    const [to, id] = [node.process(slot), this.id(entry)]
    for (;;) {
      const at = node.told.findIndex(each => each.to === to && 'id' in each.message && each.message.id === id)
      if (at >= 0) {
        const message = node.told.splice(at, 1)[0]?.message as Control
        return message.is === 'pullFailed' ? message.error : null
      }
      await this.news()
    }
  }

  /** Its bytes in the store of that node, copied; null when it is not there. */
  bytes(node: StoreNode, entry: Entry): Uint8Array | null {
    const view = node.store.view(this.id(entry))
    if (view === null) return null
    const copy = new Uint8Array(view).slice()
    node.store.release(view)
    return copy
  }

  drop(entry: Entry): void {
    const out: Effect[] = []
    this.owner.unref(entry, out)
    this.#carryOut(out)
  }

  /** That node is gone at once, and all hear of it. */
  kill(index: number): void {
    const [node] = this.nodes.splice(index, 1) as [StoreNode]
    node.transfer.close()
    node.store.close()
    const { nodeId } = node
    this.#owner({ is: 'nodeDied', nodeId, why: 'killed' })
    for (const each of this.nodes) each.transfer.heard(HEAD_ID, { is: 'nodeDied', nodeId, why: 'killed' })
  }

  deliver(from: StoreNode, to: WorkerId, message: Control): boolean {
    if (to === OWNER) {
      setImmediate(() => this.#owner({ is: 'message', from: from.store.workerId, message }))
      return true
    }
    from.told.push({ to, message })
    this.#wake()
    return true
  }

  close(): void {
    for (const node of this.nodes) {
      node.transfer.close()
      node.store.close()
    }
    for (const path of [this.root, this.disk]) rmSync(path, { recursive: true, force: true })
  }

  /** Resolves after something has happened. */
  news(): Promise<void> {
    return new Promise(resolve => this.#woken.push(resolve))
  }

  #owner(event: Parameters<Owner['handle']>[0]): void {
    const out: Effect[] = []
    this.owner.handle(event, performance.now(), out)
    this.owner.locations.invariants()
    this.#carryOut(out)
  }

  #carryOut(out: Effect[]): void {
    this.effects.push(...out)
    for (const effect of out) {
      if (effect.is === 'located') this.#located(effect)
      const nodes = effect.is === 'free' || effect.is === 'drop' ? effect.nodes : []
      const seqs = effect.is === 'free' ? effect.seqs : effect.is === 'drop' ? [effect.entry.seq] : []
      const home = this.node(nodeOf(OWNER))
      if (effect.is === 'drop') home?.store.delete(this.id(effect.entry))
      if (nodes.length > 0) home?.transfer.heard(OWNER, { is: 'freeCopies', nodes, ids: seqs.map(seq => objectId(OWNER, seq)) })
    }
    this.#wake()
  }

  #located({ to, seq, entry, nodes }: Extract<Effect, { is: 'located' }>): void {
    const failed = entry?.state === STATE.failed ? new TextEncoder().encode(String(entry.error)) : null
    const state = nodes.length > 0 ? 'stored' : failed !== null ? 'failed' : entry?.settled === false ? 'pending' : 'gone'
    const message: Control = {
      is: 'located',
      seq,
      state,
      nodes,
      sizeBytes: entry?.sizeBytes ?? 0,
      losses: entry?.losses ?? 0,
      error: failed,
    }
    setImmediate(() => this.node(nodeOf(to))?.transfer.heard(OWNER, message))
  }

  #view(): void {
    const nodes = this.nodes.map(({ nodeId, store, port }): NodeView => {
      const dataAddress = port.channel?.address ?? ''
      return { ...BLANK, nodeId, daemonId: store.workerId, dataAddress }
    })
    for (const node of this.nodes) node.transfer.heard(HEAD_ID, { is: 'view', full: true, nodes })
  }

  #wake(): void {
    for (const each of this.#woken.splice(0)) each()
  }
}

const BLANK: NodeView = {
  ...{ nodeId: '', daemonId: '', hostname: 'h', address: '', dataAddress: '', state: 'alive', labels: {} },
  ...{ gpuIds: [], total: {}, available: {}, deathCause: null },
}
