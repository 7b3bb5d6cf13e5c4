// SPDX-License-Identifier: Apache-2.0
// The daemon between rings and links: passes on, unopened, what processes here and on other nodes send each other, and
// tells both sides of deaths after everything the dead had sent. Frames for one node gather over a turn of the event loop.

import { WireError } from '../errors.js'
import { HEAD_ID, nodeOf } from '../ids.js'
import type { Mesh, Peer } from '../io/mesh.js'
import type { Routes, Uplink } from '../io/routes.js'
import type { PeerName, Refusal, Transport, TransportListener } from '../io/transport.js'
import { limits } from '../options.js'
import { decodeControl, encodeControl } from '../wire/codec.js'
import { FRAME, FRAME_HEADER_BYTES, ROUTE, ROUTE_HEADER_BYTES, readHex, writeHex } from '../wire/frames.js'
import type { Control, Death, NodeId, WorkerId } from '../wire/messages.js'
import { LinkOutbox } from './link-outbox.js'
import { RefusalLog } from './refusal-log.js'

export const HEAD_NODE = nodeOf(HEAD_ID)

export interface RelayHooks {
  /** A message of another node's daemon, or of the head, for this daemon itself. `from` is who speaks for that node: HEAD_ID for the head. */
  onMessage(from: WorkerId, message: Control): void
  /** The link to a node or to the head (HEAD_NODE) is up, or down; 'restarted', before 'up': there is another process than before, and what was sent last may be lost. */
  onLink(nodeId: NodeId, state: 'up' | 'down' | 'restarted'): void
  /** This daemon gives that node up by itself: nobody else says that it is dead. */
  onGivenUp(nodeId: NodeId, why: string): void
  onRefused(refusal: Refusal): void
}

/** A process of this node that has exchanged something with other nodes. */
interface Local {
  /** As it stands in routes. */
  id: Uint8Array
  nodes: Set<NodeId>
}

export class Relay implements TransportListener, Uplink {
  readonly #outboxes = new Map<NodeId, LinkOutbox>()
  readonly #locals = new Map<WorkerId, Local>()
  /** Why, of each node that is dead. */
  readonly #dead = new Map<NodeId, string>()
  /** Dead processes the other nodes were told of in this turn. */
  readonly #told = new Set<string>()
  readonly #self = new Uint8Array(12)
  readonly #refusals = new RefusalLog(text => process.emitWarning(text))
  #dirty: LinkOutbox[] = []
  #flushScheduled = false
  #mesh: Mesh | null = null
  #routes: Routes | null = null
  #transport: Transport | null = null
  #hooks: RelayHooks | null = null

  constructor(readonly daemonId: WorkerId) {
    writeHex(this.#self, 0, daemonId, 12)
  }

  /** Before anything is sent or heard. */
  attach(mesh: Mesh, transport: Transport, hooks: RelayHooks): void {
    this.#mesh = mesh
    this.#routes = mesh.routeOver(this)
    this.#transport = transport
    this.#hooks = hooks
  }

  /** Makes a link to a node of the cluster, or to the head. */
  openNode(node: { nodeId: NodeId; address: string }): void {
    if (this.#dead.has(node.nodeId) || node.nodeId === nodeOf(this.daemonId)) return
    this.#transport?.open({ id: node.nodeId, address: node.address })
    this.#outbox(node.nodeId).linked = true
    this.#touch(this.#outbox(node.nodeId))
  }

  /** To the daemon of that node. False when the node is dead, or the message too large. */
  sendToNode(nodeId: NodeId, message: Control): boolean {
    if (this.#dead.has(nodeId)) return false
    const outbox = this.#outbox(nodeId)
    const body = encodeControl(message)
    if (body.length > limits.linkPacketBytesMax) {
      process.emitWarning(`eagleray: a message ${message.is} of ${body.length} bytes is too large for another node (linkPacketBytesMax)`)
      return false
    }
    outbox.control(body)
    this.#touch(outbox)
    return true
  }

  sendToHead(message: Control): void {
    this.sendToNode(HEAD_NODE, message)
  }

  /** A process of this node is dead: the nodes it talked to hear of it after what it had sent. */
  processDied(workerId: WorkerId, death: Death): void {
    const local = this.#locals.get(workerId)
    if (local === undefined) return
    this.#locals.delete(workerId)
    for (const nodeId of local.nodes) this.sendToNode(nodeId, { is: 'workerDied', workerId, death })
  }

  /** A node is dead, and what is for it is dropped. */
  nodeDied(nodeId: NodeId, why: string): void {
    if (this.#dead.has(nodeId)) return
    this.#dead.set(nodeId, why)
    const [oldest] = this.#dead.keys()
    if (this.#dead.size > limits.deadNodesKept && oldest !== undefined) this.#dead.delete(oldest)
    this.#transport?.forget(nodeId)
    this.#outboxes.get(nodeId)?.end()
    this.#outboxes.delete(nodeId)
    for (const local of this.#locals.values()) local.nodes.delete(nodeId)
    this.#mesh?.nodeGone(nodeId)
    this.#tellLocals({ is: 'nodeDied', nodeId, why })
  }

  // Uplink: from rings to links --------------------------------------------------------------------------------------

  /** From this daemon itself. */
  send(bytes: Uint8Array, length: number): void {
    const outbox = this.#outbox(readHex(bytes, ROUTE.to, 5))
    outbox.frame(bytes, 0, length)
    this.#touch(outbox)
  }

  forward(peer: Peer, bytes: Uint8Array, _view: DataView, start: number, end: number): WireError | null {
    if (peer.route !== null) return new WireError('a route inside a route')
    const local = this.#local(peer.workerId)
    for (let i = 0; i < 12; i++)
      if (bytes[start + ROUTE.from + i] !== local.id[i]) return new WireError('a route in the name of another process')
    const nodeId = readHex(bytes, start + ROUTE.to, 5)
    const dead = this.#dead.get(nodeId)
    if (nodeId === nodeOf(this.daemonId)) return new WireError('a route to a process of its own node')
    if (nodeId === HEAD_NODE) return new WireError('a route to the head')
    if (dead !== undefined) {
      this.#mesh?.sendTo(peer, { is: 'nodeDied', nodeId, why: dead })
      return null
    }
    const outbox = this.#outbox(nodeId)
    if (!local.nodes.has(nodeId)) {
      local.nodes.add(nodeId)
      if (outbox.held) this.#mesh?.sendTo(peer, { is: 'routeHold', nodeId, held: true })
    }
    outbox.frame(bytes, start, end)
    this.#touch(outbox)
    return null
  }

  trusts(): boolean {
    return false
  }

  /** Sends what has gathered. */
  flush = (): void => {
    this.#flushScheduled = false
    this.#told.clear()
    const outboxes = this.#dirty
    this.#dirty = []
    for (const outbox of outboxes) this.#flushOne(outbox)
  }

  // TransportListener: from links to rings ---------------------------------------------------------------------------

  onPacket(id: NodeId, bytes: Uint8Array, at: number): void {
    if (this.#dead.has(id)) return
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const error = this.#packet(id, bytes, view, at)
    if (error !== null) this.#giveUp(id, `it sent what is no message of this protocol: ${error.message}`)
  }

  onUp({ id, daemonId }: PeerName): void {
    if (this.#dead.has(id)) return
    const outbox = this.#outbox(id)
    outbox.linked = true
    outbox.daemonId = daemonId
    this.#touch(outbox)
    this.#hooks?.onLink(id, 'up')
  }

  onDown(id: NodeId): void {
    this.#hooks?.onLink(id, 'down')
  }

  /** Only the head can be: a node that starts again has another id. A new head is told again what the last one had not kept, so packets need not be kept here. */
  onRestarted(id: NodeId): void {
    this.#hooks?.onLink(id, 'restarted')
  }

  onWritable(id: NodeId): void {
    const outbox = this.#outboxes.get(id)
    if (outbox?.held) this.#hold(outbox, false)
  }

  /** A node that will not hear this one is dead for it: what is for it would wait for ever. */
  onRefused(refusal: Refusal): void {
    this.#refusals.refused(refusal)
    this.#hooks?.onRefused(refusal)
    const { id, why, refusesUs = false } = refusal
    if (refusesUs && id !== null && id !== HEAD_NODE) this.#lose(id, why)
  }

  // ------------------------------------------------------------------------------------------------------------------

  #packet(id: NodeId, bytes: Uint8Array, view: DataView, start: number): WireError | null {
    for (let at = start; at < bytes.length; ) {
      if (bytes.length - at < FRAME_HEADER_BYTES) return new WireError('a frame header is cut short')
      const next = at + 4 + view.getUint32(at, true)
      if (next > bytes.length || next < at + FRAME_HEADER_BYTES)
        return new WireError(`a frame claims ${next - at} bytes, of ${bytes.length - at}`)
      const kind = bytes[at + 4]
      const error =
        kind === FRAME.route
          ? this.#route(id, bytes, view, at, next)
          : this.#control(id, kind, bytes.subarray(at + FRAME_HEADER_BYTES, next))
      if (error !== null) return error
      at = next
    }
    return null
  }

  #route(id: NodeId, bytes: Uint8Array, view: DataView, at: number, end: number): WireError | null {
    if (end - at < ROUTE_HEADER_BYTES) return new WireError(`a route of ${end - at} bytes`)
    if (readHex(bytes, at + ROUTE.from, 5) !== id) return new WireError('a route in the name of another node')
    const to = readHex(bytes, at + ROUTE.to, 12)
    if (nodeOf(to) !== nodeOf(this.daemonId)) return new WireError('a route to another node')
    if (to === this.daemonId) {
      this.#routes?.unwrap(bytes, view, at, end)
      return null
    }
    const peer = this.#mesh?.peer(to) ?? null
    if (peer === null) this.#absent(id, to)
    else {
      this.#local(to).nodes.add(id)
      this.#mesh?.pass(peer, bytes, at, end)
    }
    return null
  }

  #control(id: NodeId, kind: number | undefined, body: Uint8Array): WireError | null {
    if (kind !== FRAME.control) return new WireError(`a frame of kind ${kind}, which is none for a daemon`)
    const message = decodeControl(body)
    if (message instanceof WireError) return message
    if (message.is === 'workerDied' && nodeOf(message.workerId) === id) {
      this.#mesh?.gone(message.workerId)
      this.#tellLocals(message)
    }
    if (message.is === 'nodeDied' && id === HEAD_NODE) this.nodeDied(message.nodeId, message.why)
    this.#hooks?.onMessage(this.#outbox(id).daemonId, message)
    return null
  }

  /** What was sent to a process that is not here any more. */
  #absent(id: NodeId, workerId: WorkerId): void {
    if (this.#told.has(id + workerId)) return
    this.#told.add(id + workerId)
    const death: Death = { exitCode: null, signal: null, stderrTail: '', reason: 'it had ended before', outOfMemory: false }
    this.sendToNode(id, { is: 'workerDied', workerId, death })
  }

  #giveUp(id: NodeId, why: string): void {
    process.emitWarning(`eagleray: giving up the link to node ${id}: ${why}`)
    if (id !== HEAD_NODE) this.#lose(id, `its link was given up: ${why}`)
  }

  #lose(nodeId: NodeId, why: string): void {
    if (this.#dead.has(nodeId)) return
    // It may live, and would wait for this one for ever.
    this.#transport?.forget(nodeId, `node ${nodeOf(this.daemonId)} has given it up: ${why}`)
    this.nodeDied(nodeId, why)
    this.#hooks?.onGivenUp(nodeId, why)
  }

  #tellLocals(message: Control): void {
    for (const peer of this.#mesh?.peers() ?? [])
      if (peer.route === null && peer.workerId !== this.daemonId) this.#mesh?.sendTo(peer, message)
  }

  #hold(outbox: LinkOutbox, held: boolean): void {
    outbox.held = held
    this.#routes?.hold(outbox.nodeId, held)
    for (const [workerId, local] of this.#locals)
      if (local.nodes.has(outbox.nodeId)) this.#mesh?.send(workerId, { is: 'routeHold', nodeId: outbox.nodeId, held })
  }

  #flushOne(outbox: LinkOutbox): void {
    const { nodeId } = outbox
    if (this.#transport === null || this.#outboxes.get(nodeId) !== outbox) return
    if (!outbox.flush(packet => this.#transport?.send(nodeId, packet) ?? false)) return this.#giveUp(nodeId, 'too much is kept for it')
    const full = outbox.waitingBytes > limits.linkFullBytes || this.#transport.isFull(nodeId)
    if (full && !outbox.held) this.#hold(outbox, true)
    else if (!full && outbox.held) this.#hold(outbox, false)
  }

  #touch(outbox: LinkOutbox): void {
    if (outbox.dirty) return
    outbox.dirty = true
    this.#dirty.push(outbox)
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    queueMicrotask(this.flush)
  }

  #outbox(nodeId: NodeId): LinkOutbox {
    let outbox = this.#outboxes.get(nodeId)
    if (outbox === undefined) {
      outbox = new LinkOutbox(nodeId, () => this.#lose(nodeId, 'no node of that id is in the cluster'))
      this.#outboxes.set(nodeId, outbox)
    }
    return outbox
  }

  #local(workerId: WorkerId): Local {
    let local = this.#locals.get(workerId)
    if (local === undefined) {
      local = { id: new Uint8Array(12), nodes: new Set() }
      writeHex(local.id, 0, workerId, 12)
      this.#locals.set(workerId, local)
    }
    return local
  }
}
