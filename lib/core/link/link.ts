// SPDX-License-Identifier: Apache-2.0
// One end of a reliable link over a path that may lose, repeat and reorder: packets are numbered, kept until the other
// end has them, and delivered once and in order. A path that breaks and comes back loses and repeats nothing.
//
//   queue   | in flight: sent, not acknowledged | waiting: beyond the window |
//           ^ acked                             ^ sent                       ^ last
//
// Invariant: acked <= sent <= highest <= last. After a loss `sent` goes back to `acked` and everything is sent again.

import { limits } from '../../options.js'
import { assert } from '../assert.js'
import type { Machine, Millis } from '../machine.js'
import type { Epoch, LinkFrame, LinkFrameKind } from './frame.js'

interface Sized {
  readonly byteLength: number
}

export type LinkEvent<Packet> =
  | { is: 'send'; packet: Packet }
  | { is: 'heard'; frame: LinkFrame<Packet> }
  /** There is a way to the peer (again), or none. */
  | { is: 'path'; up: boolean; why: string }
  | { is: 'tick' }

export type LinkEffect<Packet> =
  | { is: 'transmit'; frame: LinkFrame<Packet> }
  | { is: 'deliver'; packet: Packet }
  /** Both ends know each other. */
  | { is: 'up' }
  | { is: 'down'; why: string }
  /** The peer is another process than before. These packets, in order, may have reached the former one; they are not sent to the new one. */
  | { is: 'restarted'; packets: Packet[] }
  /** What is kept fell below half of where `full` begins. */
  | { is: 'writable' }

/** Former epochs of the peer that are remembered, so that a late frame of one does not pass for a restart. */
const PAST_EPOCHS = 16

export class Link<Packet extends Sized> implements Machine<LinkEvent<Packet>, LinkEffect<Packet>> {
  #peerEpoch: Epoch = 0
  readonly #pastEpochs: Epoch[] = []
  #up = false
  #path = false
  /** Packets not acknowledged; the first has number `#acked + 1`. What is before `#head` is gone. */
  #queue: (Packet | null)[] = []
  #head = 0
  #acked = 0
  #sent = 0
  #highest = 0
  #bytes = 0
  #flightBytes = 0
  #wasFull = false
  /** `#acked` when everything was last sent again; a repeated request of that is ignored. */
  #rewoundAt = -1
  #received = 0
  #unackedBytes = 0
  #unackedPackets = 0
  #gapToldAt = -1
  /** A hello of ours is not answered. */
  #greeting = false
  #ackAt: Millis | null = null
  #probeAt: Millis | null = null
  #probes = 0
  #helloAt: Millis | null = null
  #hellos = 0

  constructor(readonly epoch: Epoch) {
    assert(epoch !== 0, 'an epoch is never 0')
  }

  get up(): boolean {
    return this.#up
  }

  /** Bytes of packets that the peer is not known to have. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whoever can wait should send nothing more until `writable`. */
  get full(): boolean {
    return this.#bytes >= limits.linkFullBytes
  }

  handle(event: LinkEvent<Packet>, now: Millis, out: LinkEffect<Packet>[]): void {
    switch (event.is) {
      case 'send':
        this.#queue.push(event.packet)
        this.#bytes += event.packet.byteLength
        if (this.full) this.#wasFull = true
        return this.#pump(now, out)
      case 'heard':
        return this.#heard(event.frame, now, out)
      case 'path':
        this.#path = event.up
        if (event.up) return this.#greet(now, out)
        return this.#lost(event.why, out)
      case 'tick':
        return this.#tick(now, out)
    }
  }

  deadline(): Millis | null {
    let at: Millis | null = null
    for (const each of [this.#ackAt, this.#probeAt, this.#helloAt]) if (each !== null && (at === null || each < at)) at = each
    return at
  }

  invariants(): void {
    const last = this.#acked + this.#queue.length - this.#head
    assert(this.#acked <= this.#sent && this.#sent <= this.#highest && this.#highest <= last, 'a link counts its packets')
    let [bytes, flight] = [0, 0]
    for (let i = this.#head; i < this.#queue.length; i++) {
      const size = (this.#queue[i] as Packet).byteLength
      bytes += size
      if (this.#acked + 1 + i - this.#head <= this.#sent) flight += size
    }
    assert(bytes === this.#bytes && flight === this.#flightBytes, 'a link counts its bytes')
    assert(this.#up || this.#probeAt === null, 'only a link that is up is probed')
    assert(!this.#up || this.#sent === this.#acked || this.#probeAt !== null, 'what is in flight is asked for')
    assert(this.#up || !this.#path || this.#helloAt !== null, 'a link that is down says hello')
  }

  // What is heard ----------------------------------------------------------------------------------------------------

  #heard(frame: LinkFrame<Packet>, now: Millis, out: LinkEffect<Packet>[]): void {
    if (frame.kind === 'hello' || frame.kind === 'welcome') return this.#greeted(frame, now, out)
    if (frame.kind === 'stranger') {
      // The hello of the peer may have ended the repeating of ours, which was lost: then this is how it is noticed.
      if (frame.to === this.epoch && (!this.#greeting || this.#helloAt === null)) this.#greet(now, out)
      return
    }
    if (frame.from !== this.#peerEpoch || frame.to !== this.epoch) {
      if (this.#pastEpochs.includes(frame.from)) return
      return this.#transmit('stranger', 0, null, out, frame.from)
    }
    this.#probes = 0
    this.#acknowledged(frame.received, now, out)
    if (frame.kind === 'data') this.#arrived(frame.number, frame.packet as Packet, now, out)
    else if (frame.kind === 'again') this.#again(now, out)
    else if (frame.kind === 'probe') this.#transmit(frame.number > this.#received ? 'again' : 'ack', 0, null, out)
    this.#pump(now, out)
  }

  #greeted(frame: LinkFrame<Packet>, now: Millis, out: LinkEffect<Packet>[]): void {
    const { kind, from } = frame
    if (from === 0 || this.#pastEpochs.includes(from) || (kind === 'welcome' && frame.to !== this.epoch)) return
    if (from !== this.#peerEpoch) this.#meet(from, out)
    if (kind === 'welcome') this.#greeting = false
    if (frame.to === this.epoch) this.#acknowledged(frame.received, now, out)
    if (kind === 'hello') this.#transmit('welcome', 0, null, out)
    this.#helloAt = null
    this.#hellos = 0
    this.#probes = 0
    this.#path = true
    if (!this.#up) out.push({ is: 'up' })
    this.#up = true
    this.#rewind()
    this.#pump(now, out)
  }

  #meet(epoch: Epoch, out: LinkEffect<Packet>[]): void {
    const restarted = this.#peerEpoch !== 0
    if (restarted) {
      this.#pastEpochs.push(this.#peerEpoch)
      if (this.#pastEpochs.length > PAST_EPOCHS) this.#pastEpochs.shift()
      this.#lost('it was started again', out)
    }
    this.#peerEpoch = epoch
    this.#received = 0
    this.#gapToldAt = -1
    this.#unackedBytes = 0
    this.#unackedPackets = 0
    if (!restarted) return
    const packets = this.#queue.slice(this.#head) as Packet[]
    this.#queue = []
    this.#head = 0
    this.#acked = 0
    this.#sent = 0
    this.#highest = 0
    this.#bytes = 0
    this.#flightBytes = 0
    this.#rewoundAt = -1
    out.push({ is: 'restarted', packets })
    this.#drained(out)
  }

  #arrived(number: number, packet: Packet, now: Millis, out: LinkEffect<Packet>[]): void {
    if (number > this.#received + 1) {
      if (this.#gapToldAt !== this.#received) this.#transmit('again', 0, null, out)
      this.#gapToldAt = this.#received
      return
    }
    if (number === this.#received + 1) {
      this.#received = number
      this.#unackedBytes += packet.byteLength
      this.#unackedPackets++
      out.push({ is: 'deliver', packet })
    }
    if (this.#unackedBytes >= limits.linkAckBytes || this.#unackedPackets >= limits.linkAckPackets) this.#transmit('ack', 0, null, out)
    else this.#ackAt ??= now + limits.linkAckMs
  }

  #acknowledged(received: number, now: Millis, out: LinkEffect<Packet>[]): void {
    if (received <= this.#acked || received > this.#highest) return
    while (this.#acked < received) {
      const { byteLength } = this.#queue[this.#head] as Packet
      this.#queue[this.#head++] = null
      this.#acked++
      this.#bytes -= byteLength
      if (this.#acked <= this.#sent) this.#flightBytes -= byteLength
      else this.#sent = this.#acked
    }
    if (this.#head === this.#queue.length) {
      this.#queue = []
      this.#head = 0
    } else if (this.#head > 1024 && 2 * this.#head > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    this.#probeAt = this.#up && this.#sent > this.#acked ? now + limits.linkProbeMs[0] : null
    this.#drained(out)
  }

  #drained(out: LinkEffect<Packet>[]): void {
    if (!this.#wasFull || 2 * this.#bytes >= limits.linkFullBytes) return
    this.#wasFull = false
    out.push({ is: 'writable' })
  }

  // What is said -----------------------------------------------------------------------------------------------------

  #transmit(kind: LinkFrameKind, number: number, packet: Packet | null, out: LinkEffect<Packet>[], to: Epoch = this.#peerEpoch): void {
    out.push({ is: 'transmit', frame: { kind, from: this.epoch, to, received: this.#received, number, packet } })
    if (to !== this.#peerEpoch) return
    this.#ackAt = null
    this.#unackedBytes = 0
    this.#unackedPackets = 0
  }

  #pump(now: Millis, out: LinkEffect<Packet>[]): void {
    if (!this.#up) return
    while (this.#sent - this.#acked < limits.linkWindowPackets) {
      const at = this.#head + this.#sent - this.#acked
      if (at === this.#queue.length) break
      const packet = this.#queue[at] as Packet
      if (this.#flightBytes > 0 && this.#flightBytes + packet.byteLength > limits.linkWindowBytes) break
      this.#sent++
      if (this.#sent > this.#highest) this.#highest = this.#sent
      this.#flightBytes += packet.byteLength
      this.#transmit('data', this.#sent, packet, out)
    }
    if (this.#sent > this.#acked) this.#probeAt ??= now + limits.linkProbeMs[0]
  }

  #again(now: Millis, out: LinkEffect<Packet>[]): void {
    if (this.#rewoundAt === this.#acked) return
    this.#rewind()
    this.#rewoundAt = this.#acked
    this.#pump(now, out)
  }

  #rewind(): void {
    this.#sent = this.#acked
    this.#flightBytes = 0
    this.#probeAt = null
  }

  #greet(now: Millis, out: LinkEffect<Packet>[]): void {
    this.#greeting = true
    const [first, last] = limits.linkHelloMs
    this.#helloAt = now + Math.min(last, first * 2 ** this.#hellos++)
    this.#transmit('hello', 0, null, out)
  }

  #lost(why: string, out: LinkEffect<Packet>[]): void {
    this.#rewind()
    this.#ackAt = null
    if (!this.#path) this.#helloAt = null
    if (!this.#up) return
    this.#up = false
    out.push({ is: 'down', why })
  }

  #tick(now: Millis, out: LinkEffect<Packet>[]): void {
    if (this.#ackAt !== null && now >= this.#ackAt) this.#transmit('ack', 0, null, out)
    if (this.#helloAt !== null && now >= this.#helloAt) this.#greet(now, out)
    if (this.#probeAt === null || now < this.#probeAt) return
    if (this.#probes++ >= limits.linkProbesMax) {
      this.#lost('it does not answer', out)
      this.#hellos = 0
      return this.#greet(now, out)
    }
    // A second request to send again is meant, when a probe was answered by it.
    this.#rewoundAt = -1
    const [first, last] = limits.linkProbeMs
    this.#probeAt = now + Math.min(last, first * 2 ** this.#probes)
    this.#transmit('probe', this.#sent, null, out)
  }
}
