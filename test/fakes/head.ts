// SPDX-License-Identifier: Apache-2.0
// A cluster of machines with nothing around them: one head with tables, and nodes whose workers are names. Links are
// queues that a test may hold back or cut; the head may be killed at any moment and is begun again from what was kept.

import type { HeadEffect, HeadEvent } from '#lib/core/head/events.js'
import { Head } from '#lib/core/head/head.js'
import { Member, type MemberEffect, type MemberEvent } from '#lib/core/node/member.js'
import { Node } from '#lib/core/node/node.js'
import { toAmounts } from '#lib/core/resources.js'
import { nodeOf } from '#lib/ids.js'
import { type Control, PROTOCOL_VERSION, type WorkerId } from '#lib/wire/messages.js'
import { jobOf, type MessageOf, TOKEN } from './cluster.js'

const text = new TextEncoder()
const encodeError = (error: Error): Uint8Array => text.encode(`${error.name}: ${error.message}`)

export interface FakeNodeOptions {
  resources?: Record<string, number>
  labels?: Record<string, string>
}

/** A node with its daemon's machines and the children of it. */
export class FakeNode {
  readonly member: Member
  readonly node: Node
  readonly sent: { to: WorkerId; message: Control }[] = []
  readonly children = new Map<string, { pid: number; workerId: WorkerId | null }>()
  readonly killed = new Set<string>()
  fenced: string | null = null
  ended: string | null = null
  #next = 2

  constructor(
    readonly world: FakeWorld,
    readonly nodeId: string,
    { resources = { CPU: 2 }, labels = {} }: FakeNodeOptions,
  ) {
    const total = toAmounts(resources)
    const common = { nodeId, gpuIds: [], labels, total }
    const start = { nodeIp: '127.0.0.1', sessionDir: '/s', token: TOKEN, prestart: 1, environment: null, job: null, founded: false }
    this.node = new Node({ ...common, ...start })
    const where = { daemonId: this.id(0), hostname: 'h', address: 'tcp://127.0.0.1:1', dataAddress: '' }
    this.member = new Member(this.node, { node: { ...common, ...where }, encodeError })
  }

  id(slot: number): WorkerId {
    return `${this.nodeId}${slot.toString(16).padStart(4, '0')}bbbbbbbbbb`
  }

  handle(event: MemberEvent): void {
    const out: MemberEffect[] = []
    this.member.handle(event, this.world.now, out)
    this.member.invariants()
    for (const effect of out) this.#carryOut(effect)
  }

  /** A driver attaches. */
  driver(slot = 1): WorkerId {
    const from = this.id(slot)
    this.handle({ is: 'message', from, message: { ...hello(from, slot, 'driver'), job: jobOf(from) } })
    return from
  }

  from(from: WorkerId, message: Control): void {
    this.handle({ is: 'message', from, message })
  }

  /** Children that were started say hello, and killed ones end. */
  settle(): boolean {
    const starting = [...this.children].find(([key, child]) => child.workerId === null && !this.killed.has(key))
    const dying = [...this.killed][0]
    if (starting !== undefined) {
      const [, child] = starting
      child.workerId = this.id(this.#next++)
      this.from(child.workerId, hello(child.workerId, child.pid, 'worker'))
      return true
    }
    if (dying !== undefined) this.exit(dying)
    return dying !== undefined
  }

  /** That process of it ends. */
  die(workerId: WorkerId): void {
    const found = [...this.children].find(([, child]) => child.workerId === workerId)
    if (found !== undefined) this.exit(found[0])
    else this.handle({ is: 'peerClosed', workerId, reason: 'ended' })
  }

  exit(key: string): void {
    this.children.delete(key)
    this.killed.delete(key)
    this.handle({ is: 'workerExited', key, exitCode: 1, signal: null, stderrTail: '', kernelKills: 0 })
  }

  all<Is extends Control['is']>(is: Is, to?: WorkerId): MessageOf<Is>[] {
    const matching = this.sent.filter(each => each.message.is === is && (to === undefined || each.to === to))
    return matching.map(each => each.message as MessageOf<Is>)
  }

  last<Is extends Control['is']>(is: Is, to?: WorkerId): MessageOf<Is> | undefined {
    return this.all(is, to).at(-1)
  }

  #carryOut(effect: MemberEffect): void {
    switch (effect.is) {
      case 'send':
        this.sent.push({ to: effect.to, message: effect.message })
        return this.world.onSent(this, effect.to, effect.message)
      case 'sendHead':
        return this.world.toHead(this.nodeId, effect.message)
      case 'spawn': {
        const pid = 1000 + this.#next++
        this.children.set(effect.key, { pid, workerId: null })
        return this.handle({ is: 'spawned', key: effect.key, pid })
      }
      case 'kill':
        if (this.children.has(effect.key)) this.killed.add(effect.key)
        return
      case 'fenced':
        this.fenced = effect.why
        return
      case 'end':
        this.ended = effect.reason
    }
  }
}

/** What goes one way between a node and the head, in order. */
interface Pipe {
  toHead: Control[]
  toNode: Control[]
  /** Neither way moves. */
  cut: boolean
}

export class FakeWorld {
  now = 0
  readonly nodes = new Map<string, FakeNode>()
  /** What is kept for good, as the storage has it. */
  readonly tables = new Map<string, Map<string, unknown>>()
  /** Null: it is dead. */
  head: Head | null = null
  epoch = 0
  /** Of the last head, how many messages each kind it got. */
  readonly heard = new Map<string, number>()
  /** Constructors return at once. */
  constructs = true
  readonly #pipes = new Map<string, Pipe>()
  readonly #nodeDeadAfterMs: number

  constructor(nodeDeadAfterMs = 10_000) {
    this.#nodeDeadAfterMs = nodeDeadAfterMs
    this.startHead()
  }

  startHead(): void {
    this.epoch++
    const options = { nodeId: null, clusterId: 'c', epoch: `e${this.epoch}`, encodeError, nodeDeadAfterMs: this.#nodeDeadAfterMs }
    this.head = new Head(options)
    this.head.restore(structuredClone(this.tables), this.now)
    for (const node of this.nodes.values()) this.#connect(node)
  }

  /** What it had not sent yet, and what was under way to it, is lost. */
  killHead(): void {
    this.head = null
    for (const [nodeId, pipe] of this.#pipes) {
      pipe.toHead = []
      pipe.toNode = []
      this.nodes.get(nodeId)?.handle({ is: 'headDown' })
    }
  }

  add(nodeId: string, options: FakeNodeOptions = {}): FakeNode {
    const node = new FakeNode(this, nodeId, options)
    this.nodes.set(nodeId, node)
    this.#pipes.set(nodeId, { toHead: [], toNode: [], cut: false })
    node.handle({ is: 'tick' })
    if (this.head !== null) this.#connect(node)
    return node
  }

  /** The machine is gone, without a word. */
  removeNode(nodeId: string): void {
    this.nodes.delete(nodeId)
    this.#pipes.delete(nodeId)
  }

  cut(nodeId: string, cut: boolean): void {
    const pipe = this.#pipes.get(nodeId)
    if (pipe !== undefined) pipe.cut = cut
  }

  toHead(nodeId: string, message: Control): void {
    if (this.head !== null) this.#pipes.get(nodeId)?.toHead.push(message)
  }

  onSent(node: FakeNode, to: WorkerId, message: Control): void {
    if (message.is === 'actorStop') return node.die(to)
    if (message.is !== 'actorStart' || !this.constructs) return
    const { actorId } = message.spec
    node.from(to, { is: 'actorStarted', actorId, incarnation: message.incarnation, error: null })
  }

  /** One thing that can happen next; false when nothing can. `choose` picks among so many. */
  step(choose: (count: number) => number): boolean {
    const able: (() => void)[] = []
    for (const [nodeId, pipe] of this.#pipes) {
      if (pipe.cut) continue
      if (pipe.toHead.length > 0 && this.head !== null) able.push(() => this.#headHears(nodeId, pipe.toHead.shift() as Control))
      if (pipe.toNode.length > 0)
        able.push(() => this.nodes.get(nodeId)?.handle({ is: 'fromHead', message: pipe.toNode.shift() as Control }))
    }
    for (const node of this.nodes.values()) {
      if (node.killed.size > 0 || [...node.children.values()].some(each => each.workerId === null)) able.push(() => node.settle())
    }
    if (able.length === 0) return false
    able[choose(able.length)]?.()
    return true
  }

  /** Until nothing more happens without time. */
  settle(): void {
    for (let i = 0; this.step(() => 0); i++) if (i > 100_000) throw new Error('the cluster never comes to rest')
  }

  /** Lets time pass, with every tick that is asked for, and all that follows. */
  pass(ms: number): void {
    const until = this.now + ms
    this.settle()
    for (let ticks = 0; ; ticks++) {
      const next = Math.min(...this.#deadlines())
      if (next > until) break
      if (ticks > 200_000) throw new Error(`somebody asks for ticks without end, at ${next}`)
      this.now = Math.max(this.now, next)
      this.tick()
      this.settle()
    }
    this.now = until
  }

  tick(): void {
    this.headHandle({ is: 'tick' })
    for (const node of this.nodes.values()) node.handle({ is: 'tick' })
  }

  headHandle(event: HeadEvent): void {
    if (this.head === null) return
    const out: HeadEffect[] = []
    this.head.handle(event, this.now, out)
    this.head.handle({ is: 'turnEnd' }, this.now, out)
    this.head.invariants()
    // As the shell does: first what is to be kept, then all else.
    for (const effect of out) if (effect.is === 'persist') this.#keep(effect.table, effect.key, effect.row)
    for (const effect of out) this.#carryOut(effect)
  }

  #headHears(nodeId: string, message: Control): void {
    const kind = message.is === 'forHead' ? message.message.is : message.is === 'toHead' ? message.event.is : message.is
    this.heard.set(kind, (this.heard.get(kind) ?? 0) + 1)
    this.headHandle({ is: 'fromDaemon', nodeId, message: structuredClone(message) })
  }

  #keep(table: string, key: string, row: unknown): void {
    let rows = this.tables.get(table)
    if (rows === undefined) this.tables.set(table, (rows = new Map()))
    if (row === null) rows.delete(key)
    else rows.set(key, structuredClone(row))
  }

  #carryOut(effect: HeadEffect): void {
    if (effect.is === 'send') {
      const message = { is: 'deliver', to: effect.to, message: effect.message } as const
      this.#pipes.get(nodeOf(effect.to))?.toNode.push(structuredClone(message))
    } else if (effect.is === 'toNode') this.#pipes.get(effect.nodeId)?.toNode.push({ is: 'toNode', event: structuredClone(effect.event) })
    else if (effect.is === 'toDaemon') this.#pipes.get(effect.nodeId)?.toNode.push(structuredClone(effect.message))
  }

  #connect(node: FakeNode): void {
    if (this.epoch > 1) node.handle({ is: 'headRestarted' })
    node.handle({ is: 'headUp' })
  }

  *#deadlines(): Generator<number> {
    yield Number.POSITIVE_INFINITY
    const head = this.head?.deadline() ?? null
    if (head !== null) yield head
    for (const node of this.nodes.values()) {
      const next = node.member.deadline()
      if (next !== null) yield next
    }
  }
}

function hello(workerId: WorkerId, pid: number, kind: 'driver' | 'worker'): MessageOf<'hello'> {
  return { is: 'hello', protocol: PROTOCOL_VERSION, workerId, pid, kind, token: TOKEN, job: null }
}
