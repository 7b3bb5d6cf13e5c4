// SPDX-License-Identifier: Apache-2.0
// What every transport must do.

import assert from 'node:assert/strict'
import type { PeerName, Refusal, Transport, TransportListener } from '#lib/io/transport.js'
import { limits } from '#lib/options.js'
import { LINK_HEADER_BYTES, newPacket } from '#lib/wire/link-frames.js'

export interface TransportHarness {
  make(options: { id: string; daemonId: string; token: string; listener: TransportListener }): Promise<Transport>
  /** Where others reach it, over a way that `cut` cuts. */
  addressOf(transport: Transport): Promise<string>
  /** Lets things happen until that is so. */
  until(condition: () => boolean, what: string): Promise<void>
  cut(): void
  join(): void
  end(): Promise<void>
}

export const A = 'aaaaaaaaaa'
export const B = 'bbbbbbbbbb'
export const C = 'cccccccccc'
const daemonOf = (id: string): string => `${id}0000${'d'.repeat(10)}`

/** A transport and what it has heard. */
export class Station implements TransportListener {
  transport!: Transport
  readonly heard: [from: string, text: string][] = []
  readonly ups: PeerName[] = []
  readonly downs: string[] = []
  readonly refusals: Refusal[] = []
  readonly restarted: string[][] = []
  writables = 0

  constructor(readonly id: string) {}

  onPacket(id: string, bytes: Uint8Array, at: number): void {
    this.heard.push([id, textOf(bytes, at)])
  }

  onUp(peer: PeerName): void {
    this.ups.push(peer)
  }

  onDown(id: string): void {
    this.downs.push(id)
  }

  onRestarted(_: string, packets: Uint8Array[]): void {
    this.restarted.push(packets.map(packet => textOf(packet, LINK_HEADER_BYTES)))
  }

  onWritable(): void {
    this.writables++
  }

  onRefused(refusal: Refusal): void {
    this.refusals.push(refusal)
  }

  say(to: string, text: string): boolean {
    return this.transport.send(to, packetOf(text))
  }

  get texts(): string[] {
    return this.heard.map(([, text]) => text)
  }
}

export function packetOf(text: string): Uint8Array {
  const bytes = Buffer.from(text)
  const packet = newPacket(bytes.length)
  packet.set(bytes, LINK_HEADER_BYTES)
  return packet
}

const textOf = (bytes: Uint8Array, at: number): string => Buffer.from(bytes.subarray(at)).toString()

/** The transports of one test. */
class Scene {
  readonly stations: Station[] = []

  constructor(readonly harness: TransportHarness) {}

  async station(id: string, token = 'token'): Promise<Station> {
    const made = new Station(id)
    made.transport = await this.harness.make({ id, daemonId: daemonOf(id), token, listener: made })
    this.stations.push(made)
    return made
  }

  async open(from: Station, to: Station): Promise<void> {
    from.transport.open({ id: to.id, address: await this.harness.addressOf(to.transport) })
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return this.harness.until(condition, what)
  }

  async end(): Promise<void> {
    for (const { transport } of this.stations) await transport.close(0)
    await this.harness.end()
  }
}

const cases: [what: string, run: (scene: Scene) => Promise<void>][] = [
  [
    'packets arrive in order, both ways, over a link that one end opened, and both hear who the other is',
    async scene => {
      const [a, b] = [await scene.station(A), await scene.station(B)]
      await scene.open(a, b)
      const said = Array.from({ length: 50 }, (_, i) => `${i} ${'x'.repeat(i * 20)}`)
      for (const text of said) assert.ok(a.say(B, text))
      await scene.until(() => b.heard.length === said.length, 'all arrived')
      assert.deepEqual(b.texts, said)
      assert.ok(b.say(A, 'back'))
      await scene.until(() => a.heard.length === 1, 'the answer arrived')
      assert.deepEqual(a.heard, [[B, 'back']])
      assert.deepEqual(b.ups, [{ id: A, daemonId: daemonOf(A), address: a.transport.address }])
      assert.equal(a.ups[0]?.daemonId, daemonOf(B))
      await scene.until(() => a.transport.unacknowledged(B) + b.transport.unacknowledged(A) === 0, 'all is acknowledged')
    },
  ],
  [
    'two that open each other at once have one link',
    async scene => {
      const [a, b] = [await scene.station(A), await scene.station(B)]
      await scene.open(a, b)
      await scene.open(b, a)
      for (let i = 0; i < 20; i++) {
        a.say(B, `a${i}`)
        b.say(A, `b${i}`)
      }
      await scene.until(() => a.heard.length === 20 && b.heard.length === 20, 'all arrived')
      a.say(B, 'last')
      await scene.until(() => b.texts.at(-1) === 'last', 'the last arrived')
      assert.deepEqual(
        b.texts.slice(0, 20),
        Array.from({ length: 20 }, (_, i) => `a${i}`),
      )
      assert.equal(a.restarted.length + b.restarted.length, 0)
    },
  ],
  [
    'one listens to many, and answers each',
    async scene => {
      const head = await scene.station(A)
      const nodes = [await scene.station(B), await scene.station(C)]
      for (const node of nodes) {
        await scene.open(node, head)
        node.say(A, `from ${node.id}`)
      }
      await scene.until(() => head.heard.length === 2, 'both arrived')
      for (const [from] of head.heard) head.say(from, `to ${from}`)
      await scene.until(() => nodes.every(node => node.heard.length === 1), 'both were answered')
      assert.deepEqual(
        nodes.map(node => node.texts[0]),
        [`to ${B}`, `to ${C}`],
      )
    },
  ],
  [
    'a cut loses and repeats nothing',
    async scene => {
      const [a, b] = [await scene.station(A), await scene.station(B)]
      await scene.open(a, b)
      const said: string[] = []
      const say = (text: string): void => {
        said.push(text)
        a.say(B, text)
      }
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 30; i++) say(`${round}.${i} ${'y'.repeat(2000)}`)
        await scene.until(() => b.heard.length > round * 60, 'some arrived')
        scene.harness.cut()
        for (let i = 30; i < 60; i++) say(`${round}.${i}`)
        scene.harness.join()
      }
      await scene.until(() => b.heard.length >= said.length, 'all arrived')
      b.say(A, 'end')
      await scene.until(() => a.heard.length === 1, 'the way back stands too')
      assert.deepEqual(b.texts, said)
      assert.ok(a.downs.length > 0)
    },
  ],
  [
    'what is sent to a peer that is not there yet arrives when it is',
    async scene => {
      const a = await scene.station(A)
      assert.equal(a.say(B, 'nobody'), false, 'no link was opened')
      const b = await scene.station(B)
      scene.harness.cut()
      await scene.open(a, b)
      a.say(B, 'early')
      scene.harness.join()
      await scene.until(() => b.heard.length === 1, 'it arrived')
    },
  ],
  [
    'large packets arrive whole, and whoever can wait is told when to',
    async scene => {
      const [a, b] = [await scene.station(A), await scene.station(B)]
      await scene.open(a, b)
      const texts = Array.from({ length: 9 }, (_, i) => String(i).repeat(4 << 20))
      for (const text of texts) a.say(B, text)
      assert.ok(a.transport.isFull(B))
      await scene.until(() => b.heard.length === 9 && a.writables === 1, 'all arrived')
      assert.ok(b.texts.every((text, i) => text === texts[i]))
      assert.equal(a.transport.isFull(B), false)
    },
  ],
  [
    'more than is kept for a peer is not taken',
    async scene => {
      const [a, b] = [await scene.station(A), await scene.station(B)]
      scene.harness.cut()
      await scene.open(a, b)
      const packet = (): Uint8Array => newPacket(limits.linkPacketBytesMax - LINK_HEADER_BYTES)
      const kept = limits.linkBytesMax / limits.linkPacketBytesMax
      for (let i = 0; i < kept; i++) assert.ok(a.transport.send(B, packet()))
      assert.equal(a.transport.send(B, packet()), false)
      a.transport.forget(B)
      assert.equal(a.transport.unacknowledged(B), 0)
    },
  ],
  [
    'a peer that was forgotten and speaks again has a new link, and hears what may be lost',
    async scene => {
      const [a, b] = [await scene.station(A), await scene.station(B)]
      await scene.open(a, b)
      a.say(B, 'one')
      await scene.until(() => b.heard.length === 1 && a.transport.unacknowledged(B) === 0, 'it arrived')
      b.transport.forget(A)
      assert.equal(b.say(A, 'nobody'), false)
      a.say(B, 'two')
      await scene.until(() => a.restarted.length === 1 && a.ups.length === 2, 'it heard of the restart')
      assert.deepEqual(a.restarted, [['two']])
      a.say(B, 'three')
      await scene.until(() => b.heard.length === 2, 'the link works')
      assert.deepEqual(b.texts, ['one', 'three'])
    },
  ],
  [
    'a peer that is forgotten for a reason is told that when it speaks again, over whichever connection',
    async scene => {
      const [a, b, c] = [await scene.station(A), await scene.station(B), await scene.station(C)]
      await scene.open(a, b)
      await scene.open(b, c)
      a.say(B, 'one')
      b.say(C, 'one')
      await scene.until(() => b.heard.length + c.heard.length === 2, 'the links are up')
      for (const forgotten of [a, c]) {
        b.transport.forget(forgotten.id, 'it talks too much')
        forgotten.say(B, 'two')
        const told = (): Refusal[] => forgotten.refusals.filter(({ refusesUs }) => refusesUs)
        await scene.until(() => told().length > 0, 'it was told')
        assert.equal(told()[0]?.id, B)
        assert.match(told()[0]?.why ?? '', /it refuses us: it talks too much/)
        assert.equal(forgotten.downs.length, 1)
      }
      assert.deepEqual([b.texts, b.ups.length], [['one'], 2])
    },
  ],
  [
    'a peer with another token is refused, and nothing else happens',
    async scene => {
      const [a, b, thief] = [await scene.station(A), await scene.station(B), await scene.station(C, 'stolen')]
      await scene.open(thief, b)
      thief.say(B, 'evil')
      await scene.open(a, b)
      a.say(B, 'good')
      await scene.until(() => b.heard.length === 1 && b.refusals.length > 0, 'the good one arrived and the other was refused')
      assert.deepEqual(b.heard, [[A, 'good']])
      assert.deepEqual(
        b.ups.map(peer => peer.id),
        [A],
      )
      assert.equal(thief.ups.length, 0)
    },
  ],
]

export function transportSuite(name: string, start: () => Promise<TransportHarness>): void {
  suite(`transport: ${name}`, () => {
    for (const [what, run] of cases)
      test(what, async () => {
        const scene = new Scene(await start())
        try {
          await run(scene)
        } finally {
          await scene.end()
        }
      })
  })
}
