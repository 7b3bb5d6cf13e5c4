// SPDX-License-Identifier: Apache-2.0
// Ports without shared memory: rings are lists of packets with a limit in bytes, and nothing moves until a test says so.

import type { NativeModule, NativePort, NativePortListener, NativeStore } from '#lib/native.js'
import { workerIdOf } from './cluster.js'

interface Ring {
  packets: Uint8Array[]
  bytes: number
  refused: boolean
}

interface Channel {
  slots: [number, number]
  /** By the slot that reads. */
  rings: Map<number, Ring>
  claims: [Int32Array, Int32Array]
}

export class FakeSwitch {
  readonly ports = new Map<number, { listener: NativePortListener; inbox: Uint8Array; index: Int32Array }>()
  readonly channels = new Map<number, Channel>()
  #next = 0

  constructor(
    readonly ringBytes = 256 * 1024,
    /** Names the processes, so that those of several switches are of several nodes. */
    readonly idOf: (slot: number) => string = workerIdOf,
  ) {}

  store(slot: number): NativeStore {
    const clients = () => [...this.ports.keys()].map(each => ({ slot: each, pid: each, workerId: this.idOf(each), live: true }))
    return { slot, workerId: this.idOf(slot), clients } as unknown as NativeStore
  }

  readonly openPort: NativeModule['openPort'] = (store, listener, inbox, index) => {
    const { slot } = store
    this.ports.set(slot, { listener, inbox, index })
    const port: Partial<NativePort> = {
      connect: (to, workerId) => this.#connect(slot, to, workerId),
      send: (channel, bytes, length) => this.#send(channel, slot, bytes.slice(0, length)),
      claims: channel => {
        const { slots, claims } = this.channels.get(channel) as Channel
        const first = slots[0] === slot
        return { mine: claims[first ? 0 : 1] as Int32Array, theirs: claims[first ? 1 : 0] as Int32Array }
      },
      disconnect: channel => {
        if (!this.ports.has(slot)) throw new Error('the port was closed')
        this.#close(channel, slot, 'closed')
      },
      ref: () => {},
      unref: () => {},
      poll: () => this.deliver(slot),
      close: () => {
        for (const [channel, { slots }] of [...this.channels]) if (slots.includes(slot)) this.#close(channel, slot, 'closed')
        this.ports.delete(slot)
      },
    }
    return port as NativePort
  }

  /** Hands over what waits for that port, as much as one call holds; gives how many packets. */
  deliver(slot: number): number {
    const { listener, inbox, index } = this.ports.get(slot) as { listener: NativePortListener; inbox: Uint8Array; index: Int32Array }
    let count = 0
    let at = 0
    const writable: [number, number][] = []
    for (const [number, { rings, slots }] of this.channels) {
      const ring = rings.get(slot)
      while (
        ring !== undefined &&
        ring.packets.length > 0 &&
        3 * count < index.length &&
        at + (ring.packets[0] as Uint8Array).length <= inbox.length
      ) {
        const packet = ring.packets.shift() as Uint8Array
        ring.bytes -= packet.length
        inbox.set(packet, at)
        index.set([number, at, packet.length], 3 * count++)
        at += packet.length
      }
      if (ring?.refused && count > 0) writable.push([number, slots[0] === slot ? slots[1] : slots[0]])
      if (ring !== undefined) ring.refused = false
    }
    if (count > 0) listener.onPackets(count)
    for (const [channel, sender] of writable) this.ports.get(sender)?.listener.onWritable(channel)
    return count
  }

  /** Hands over everything, until nothing moves. */
  settle(): void {
    while ([...this.ports.keys()].some(slot => this.deliver(slot) > 0));
  }

  /** The process is gone; the others hear of it after its last packet. */
  die(slot: number): void {
    for (const [number, { slots }] of [...this.channels]) {
      if (!slots.includes(slot)) continue
      const other = slots[0] === slot ? slots[1] : slots[0]
      while (this.deliver(other) > 0);
      this.#close(number, slot, 'died')
    }
    this.ports.delete(slot)
  }

  #connect(from: number, to: number, workerId: string): number {
    if (!this.ports.has(to) || this.idOf(to) !== workerId) throw new Error(`no process ${workerId}`)
    const number = this.#next++
    const ring = (): Ring => ({ packets: [], bytes: 0, refused: false })
    const rings = new Map([from, to].map(slot => [slot, ring()]))
    this.channels.set(number, { slots: [from, to], rings, claims: [new Int32Array(256), new Int32Array(256)] })
    this.ports.get(to)?.listener.onOpened(number, from)
    return number
  }

  #send(number: number, from: number, packet: Uint8Array): boolean {
    const channel = this.channels.get(number)
    // The other end left before this one could hear of it: lost, as it would be underway.
    if (channel === undefined) return true
    const ring = channel.rings.get(channel.slots[0] === from ? channel.slots[1] : channel.slots[0]) as Ring
    if (ring.bytes + packet.length > this.ringBytes) {
      ring.refused = true
      return false
    }
    ring.packets.push(packet)
    ring.bytes += packet.length
    return true
  }

  #close(number: number, by: number, reason: string): void {
    const channel = this.channels.get(number)
    if (channel === undefined) return
    this.channels.delete(number)
    for (const slot of channel.slots) if (slot !== by) this.ports.get(slot)?.listener.onClosed(number, reason)
  }
}
