// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { LinkFrame } from '#lib/core/link/frame.js'
import { Link, type LinkEffect, type LinkEvent } from '#lib/core/link/link.js'
import { limits } from '#lib/options.js'

interface Packet {
  id: number
  byteLength: number
}
type Frame = LinkFrame<Packet>

/** Two ends and what is on its way between them; nothing moves and no time passes until a test says so. */
class Pair {
  readonly ends: Link<Packet>[] = [new Link<Packet>(1), new Link<Packet>(2)]
  /** By who hears it. */
  readonly wire: Frame[][] = [[], []]
  readonly heard: number[][] = [[], []]
  readonly news: string[][] = [[], []]
  now = 0
  #next = 0

  act(end: number, event: LinkEvent<Packet>): void {
    const out: LinkEffect<Packet>[] = []
    this.#end(end).handle(event, this.now, out)
    this.#end(end).invariants()
    for (const effect of out) {
      if (effect.is === 'transmit') this.wire[1 - end]?.push(effect.frame)
      else if (effect.is === 'deliver') this.heard[end]?.push(effect.packet.id)
      else if (effect.is === 'restarted') this.news[end]?.push(`restarted ${effect.packets.map(packet => packet.id)}`)
      else this.news[end]?.push(effect.is)
    }
  }

  send(end: number, byteLength = 10): number {
    const id = this.#next++
    this.act(end, { is: 'send', packet: { id, byteLength } })
    return id
  }

  open(): void {
    this.path(true)
    this.settle()
  }

  path(up: boolean): void {
    for (const end of [0, 1]) this.act(end, { is: 'path', up, why: 'cut' })
  }

  /** Hands over one frame that is on its way. */
  deliver(end: number, at = 0): void {
    const [frame] = this.wire[end]?.splice(at, 1) ?? []
    if (frame !== undefined) this.act(end, { is: 'heard', frame })
  }

  /** Lets frames and time run until nothing is left to do. */
  settle(): void {
    for (let round = 0; round < 10_000; round++) {
      if (this.wire[0]?.length) this.deliver(0)
      else if (this.wire[1]?.length) this.deliver(1)
      else {
        const deadlines = this.ends.map(end => end.deadline()).filter(at => at !== null)
        if (deadlines.length === 0) return
        this.now = Math.max(this.now, Math.min(...deadlines))
        for (const end of [0, 1]) this.act(end, { is: 'tick' })
      }
    }
    assert.fail('the link does not come to rest')
  }

  restart(end: number, epoch: number): void {
    this.ends[end] = new Link<Packet>(epoch)
    this.act(end, { is: 'path', up: true, why: '' })
  }

  #end(end: number): Link<Packet> {
    return this.ends[end] as Link<Packet>
  }
}

const kinds = (frames: Frame[] | undefined): string[] => (frames ?? []).map(frame => frame.kind)

suite('link', () => {
  test('what is sent before the ends know each other arrives after, once and in order, and is let go', () => {
    const pair = new Pair()
    const sent = [pair.send(0), pair.send(0)]
    pair.open()
    const back = pair.send(1)
    pair.settle()
    assert.deepEqual(pair.heard, [[back], sent])
    assert.deepEqual(pair.news, [['up'], ['up']])
    assert.deepEqual(
      pair.ends.map(end => end.bytes),
      [0, 0],
    )
  })

  test('a packet that is lost is sent again, at once when a later one arrives and after a probe otherwise', () => {
    const pair = new Pair()
    pair.open()
    const sent = [pair.send(0), pair.send(0), pair.send(0)]
    pair.wire[1]?.shift()
    pair.deliver(1)
    assert.deepEqual(kinds(pair.wire[0]), ['again'])
    pair.deliver(1)
    assert.deepEqual(kinds(pair.wire[0]), ['again'], 'asked for once')
    pair.settle()
    assert.deepEqual(pair.heard[1], sent)
    const last = pair.send(0)
    pair.wire[1]?.shift()
    pair.settle()
    assert.deepEqual(pair.heard[1], [...sent, last])
  })

  test('packets whose acknowledgement was lost with the connection are not delivered twice', () => {
    const pair = new Pair()
    pair.open()
    const sent = [pair.send(0), pair.send(0)]
    pair.deliver(1)
    pair.wire[0]?.splice(0)
    pair.wire[1]?.splice(0)
    pair.path(false)
    const later = pair.send(0)
    pair.open()
    assert.deepEqual(pair.heard[1], [...sent, later])
    assert.deepEqual(pair.news[0], ['up', 'down', 'up'])
  })

  test('not more than the window is in flight, and whoever can wait is told when to', () => {
    const pair = new Pair()
    pair.open()
    const size = limits.linkWindowBytes / 4
    const sent = Array.from({ length: 9 }, () => pair.send(0, size))
    assert.equal(pair.wire[1]?.length, 4)
    assert.ok(pair.ends[0]?.full)
    pair.deliver(1)
    pair.deliver(0)
    assert.equal(pair.wire[1]?.length, 4)
    pair.settle()
    assert.deepEqual(pair.heard[1], sent)
    assert.deepEqual(pair.news[0], ['up', 'writable'])
    for (let i = 0; i < limits.linkWindowPackets + 1; i++) pair.send(0, 1)
    assert.equal(pair.wire[1]?.length, limits.linkWindowPackets)
    pair.send(0, 2 * limits.linkWindowBytes)
    pair.settle()
    assert.equal(pair.ends[0]?.bytes, 0)
  })

  test('a peer that does not answer is down, and up again when it does', () => {
    const pair = new Pair()
    pair.open()
    const sent = pair.send(0)
    for (let i = 0; pair.news[0]?.at(-1) !== 'down'; i++) {
      assert.ok(i < 100)
      pair.wire[1]?.splice(0)
      pair.now = pair.ends[0]?.deadline() as number
      pair.act(0, { is: 'tick' })
    }
    pair.settle()
    assert.deepEqual(pair.heard[1], [sent])
    assert.deepEqual(pair.news[0], ['up', 'down', 'up'])
  })

  test('of a peer that was started again the sender is told, with what the former one may not have heard', () => {
    const pair = new Pair()
    pair.open()
    pair.send(0)
    pair.settle()
    const lost = [pair.send(0), pair.send(0)]
    pair.wire[1]?.splice(0)
    pair.restart(1, 3)
    pair.settle()
    assert.deepEqual(pair.news[0], ['up', 'down', `restarted ${lost}`, 'up'])
    const next = pair.send(0)
    pair.settle()
    assert.deepEqual(pair.heard[1], [0, next])
  })

  test('a late hello of a former process is no restart', () => {
    const pair = new Pair()
    pair.open()
    const old: Frame = { kind: 'hello', from: 2, to: 1, received: 0, number: 0, packet: null }
    pair.restart(1, 3)
    pair.settle()
    pair.act(0, { is: 'heard', frame: old })
    pair.act(0, { is: 'heard', frame: { ...old, kind: 'data', number: 1, packet: { id: 99, byteLength: 1 } } })
    assert.deepEqual(kinds(pair.wire[1]), [])
    assert.deepEqual(pair.heard[0], [])
  })

  test('numbers that make no sense change nothing', () => {
    const pair = new Pair()
    pair.open()
    pair.send(0)
    const frame: Frame = { kind: 'ack', from: 2, to: 1, received: 7, number: 0, packet: null }
    for (const kind of ['ack', 'again', 'probe', 'welcome', 'hello'] as const)
      for (const received of [7, -1]) pair.act(0, { is: 'heard', frame: { ...frame, kind, received, number: received } })
    pair.act(0, { is: 'heard', frame: { ...frame, kind: 'hello', from: 0 } })
    pair.settle()
    assert.deepEqual(pair.heard[1], [0])
  })

  test('a hello that was lost is said again when who answers calls us a stranger, though the peer had said hello meanwhile', () => {
    const [out, now] = [[] as LinkEffect<Uint8Array>[], 0]
    const link = new Link<Uint8Array>(1)
    const frame = (kind: 'hello' | 'stranger', to: number) => ({
      kind,
      from: kind === 'hello' ? 2 : 0,
      to,
      received: 0,
      number: 0,
      packet: null,
    })
    const hellos = (): number => out.filter(effect => effect.is === 'transmit' && effect.frame.kind === 'hello').length
    link.handle({ is: 'path', up: true, why: '' }, now, out)
    link.handle({ is: 'heard', frame: frame('hello', 0) }, now, out)
    assert.equal(hellos(), 1)
    link.handle({ is: 'heard', frame: frame('stranger', 1) }, now, out)
    assert.equal(hellos(), 2)
    link.handle({ is: 'heard', frame: frame('stranger', 1) }, now, out)
    assert.equal(hellos(), 2, 'it is repeated anyway')
    link.invariants()
  })

  test('property: whatever is lost, repeated, reordered or cut, each packet arrives once and in order', () => {
    const end = fc.constantFrom(0, 1)
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('send' as const), end, size: fc.integer({ min: 1, max: 6 << 20 }) }) },
      {
        weight: 10,
        arbitrary: fc.record({ do: fc.constantFrom('deliver', 'lose', 'repeat') as fc.Arbitrary<'deliver'>, end, at: fc.nat(5) }),
      },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(3000) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('cut', 'join') as fc.Arbitrary<'cut'> }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), steps => {
        const pair = new Pair()
        const sent: number[][] = [[], []]
        pair.path(true)
        for (const each of steps) play(pair, each as Step, sent)
        pair.path(true)
        pair.settle()
        assert.deepEqual(pair.heard, [sent[1], sent[0]])
        assert.ok(pair.ends.every(link => link.bytes === 0 && link.up))
      }),
      { numRuns: 400 },
    )
  })
})

type Step =
  | { do: 'send'; end: number; size: number }
  | { do: 'deliver' | 'lose' | 'repeat'; end: number; at: number }
  | { do: 'wait'; ms: number }
  | { do: 'cut' | 'join' }

function play(pair: Pair, step: Step, sent: number[][]): void {
  switch (step.do) {
    case 'send':
      return void sent[step.end]?.push(pair.send(step.end, step.size))
    case 'wait':
      pair.now += step.ms
      for (const end of [0, 1]) pair.act(end, { is: 'tick' })
      return
    case 'cut':
      return pair.path(false)
    case 'join':
      return pair.path(true)
    default: {
      const wire = pair.wire[step.end] as Frame[]
      if (wire.length === 0) return
      const at = step.at % wire.length
      if (step.do === 'lose') wire.splice(at, 1)
      else if (step.do === 'repeat') wire.push(wire[at] as Frame)
      else pair.deliver(step.end, at)
    }
  }
}
