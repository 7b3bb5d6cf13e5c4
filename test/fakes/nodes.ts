// SPDX-License-Identifier: Apache-2.0
// Nodes without shared memory, sockets or machines: the production mesh, relay and links over fake rings and a fake
// network. Nothing moves until a test says so.

import { Mesh, type MeshListener, type Peer } from '#lib/io/mesh.js'
import type { Routes } from '#lib/io/routes.js'
import { DaemonUplink } from '#lib/io/uplink.js'
import { Relay } from '#lib/run/relay.js'
import type { Control, WorkerId } from '#lib/wire/messages.js'
import type { FakeNetwork } from './network.js'
import { FakeSwitch } from './port.js'

/** A process that writes down what it hears. */
export class FakeProcess implements MeshListener {
  readonly mesh: Mesh
  readonly id: WorkerId
  readonly heard: [from: WorkerId, message: Control][] = []
  readonly frames: { from: WorkerId; kind: number; body: Uint8Array }[] = []
  readonly closed: [workerId: WorkerId, reason: string][] = []
  routes: Routes | null = null

  constructor(
    readonly node: FakeNode,
    readonly slot: number,
  ) {
    this.id = node.idOf(slot)
    this.mesh = new Mesh(node.rings.store(slot), this, 0, node.rings.openPort)
    if (slot !== 0) this.routes = this.mesh.routeOver(new DaemonUplink(this.mesh, node.idOf(0)))
  }

  onControl(from: Peer, message: Control): void {
    if (message.is === 'routeHold') this.routes?.hold(message.nodeId, message.held)
    if (message.is === 'nodeDied') this.mesh.nodeGone(message.nodeId)
    this.heard.push([from.workerId, message])
  }

  onFrame(from: Peer, kind: number, bytes: Uint8Array, _view: DataView, at: number, end: number): void {
    this.frames.push({ from: from.workerId, kind, body: bytes.slice(at, end) })
  }

  onPeerClosed(peer: Peer, reason: string): void {
    this.closed.push([peer.workerId, reason])
  }

  onBatchEnd(): void {}

  say(to: FakeProcess | WorkerId, text: string): boolean {
    return this.mesh.send(typeof to === 'string' ? to : to.id, { is: 'warning', text })
  }

  /** What others said, without what the daemon tells. */
  get texts(): string[] {
    return this.heard.flatMap(([, message]) => (message.is === 'warning' ? [message.text] : []))
  }

  of<Is extends Control['is']>(is: Is): Extract<Control, { is: Is }>[] {
    return this.heard.flatMap(([, message]) => (message.is === is ? [message as Extract<Control, { is: Is }>] : []))
  }
}

export class FakeNode {
  readonly rings: FakeSwitch
  readonly relay: Relay
  readonly daemon: FakeProcess
  readonly address: string
  /** What the daemon heard from other daemons. */
  readonly heard: [from: WorkerId, message: Control][] = []
  readonly givenUp: string[] = []
  readonly processes: FakeProcess[] = []
  #slots = 0

  constructor(
    network: FakeNetwork,
    readonly nodeId: string,
    ringBytes?: number,
  ) {
    this.rings = new FakeSwitch(ringBytes, slot => this.idOf(slot))
    this.daemon = new FakeProcess(this, 0)
    this.relay = new Relay(this.daemon.id)
    const transport = network.make({ id: nodeId, daemonId: this.daemon.id, token: 't', listener: this.relay })
    this.address = transport.address
    this.relay.attach(this.daemon.mesh, transport, {
      onMessage: (from, message) => this.heard.push([from, message]),
      onLink: () => {},
      onGivenUp: nodeId => this.givenUp.push(nodeId),
      onRefused: () => {},
    })
  }

  idOf(slot: number): WorkerId {
    return `${this.nodeId}${slot.toString(16).padStart(4, '0')}bbbbbbbbbb`
  }

  /** A new process, known to the daemon as any that said hello. */
  process(): FakeProcess {
    const made = new FakeProcess(this, ++this.#slots)
    made.mesh.send(this.daemon.id, { is: 'goodbye', reason: 'hello' })
    this.processes.push(made)
    return made
  }

  open(other: FakeNode): void {
    this.relay.openNode({ nodeId: other.nodeId, address: other.address })
  }

  flush(): void {
    for (const each of [...this.processes, this.daemon]) each.mesh.flush()
    this.relay.flush()
  }
}

/** Lets everything that can move do so, without letting time pass. */
export function settle(network: FakeNetwork, nodes: FakeNode[]): void {
  for (let round = 0; round < 10_000; round++) {
    for (const node of nodes) node.flush()
    const moved = nodes.map(node => [...node.rings.ports.keys()].map(slot => node.rings.deliver(slot)).some(count => count > 0))
    const before = network.messages.length
    if (before > 0) network.step()
    else network.connect()
    if (!moved.includes(true) && before === 0 && network.messages.length === 0) return
  }
  throw new Error('the nodes do not come to rest')
}
