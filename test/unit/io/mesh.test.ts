// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Mesh, type MeshListener, type Peer } from '#lib/io/mesh.js'
import { native } from '#lib/native.js'
import { FRAME, FRAME_HEADER_BYTES } from '#lib/wire/frames.js'
import type { Control } from '#lib/wire/messages.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { FakeSwitch } from '../../fakes/port.js'

/** A mesh that writes down what it hears. */
class Process implements MeshListener {
  readonly mesh: Mesh
  readonly heard: Control[] = []
  readonly frames: { kind: number; body: number[] }[] = []
  readonly closed: string[] = []
  batches = 0
  /** What `onFrame` does besides. */
  onFrameDo: () => void = () => {}
  onClosedDo: () => void = () => {}

  constructor(
    readonly net: FakeSwitch,
    readonly slot: number,
  ) {
    this.mesh = new Mesh(net.store(slot), this, 0, net.openPort)
  }

  onControl(_: Peer, message: Control): void {
    this.heard.push(message)
  }

  onFrame(_: Peer, kind: number, bytes: Uint8Array, _view: DataView, at: number, end: number): void {
    this.frames.push({ kind, body: [...bytes.subarray(at, end)] })
    this.onFrameDo()
  }

  onPeerClosed(_: Peer, reason: string): void {
    this.closed.push(reason)
    this.onClosedDo()
  }

  onBatchEnd(): void {
    this.batches++
  }

  say(to: Process, text: string): boolean {
    return this.mesh.send(workerIdOf(to.slot), { is: 'warning', text })
  }

  get texts(): string[] {
    return this.heard.map(message => (message.is === 'warning' ? message.text : message.is))
  }

  /** Writes bytes to another's ring as they are, past the mesh. */
  inject(to: Process, bytes: Uint8Array): void {
    const peer = this.mesh.peer(workerIdOf(to.slot)) as Peer
    this.mesh.reserve(peer, bytes.length)
    peer.bytes.set(bytes, peer.length)
    peer.length += bytes.length
    this.mesh.flush()
  }
}

function pair(ringBytes?: number): { net: FakeSwitch; a: Process; b: Process } {
  const net = new FakeSwitch(ringBytes)
  return { net, a: new Process(net, 1), b: new Process(net, 2) }
}

function frame(kind: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + body.length)
  new DataView(bytes.buffer).setUint32(0, 1 + body.length, true)
  bytes[4] = kind
  bytes.set(body, FRAME_HEADER_BYTES)
  return bytes
}

/** Warnings of the process while `run` runs, kept from the terminal. */
function warnings(run: () => void): string[] {
  const seen: string[] = []
  const { emitWarning } = process
  process.emitWarning = (warning: string | Error) => void seen.push(String(warning))
  try {
    run()
  } finally {
    process.emitWarning = emitWarning
  }
  return seen
}

suite('mesh', () => {
  test('what is said in one turn travels in one packet, in order, both ways on one channel', async () => {
    const { net, a, b } = pair()
    for (const text of ['1', '2', '3']) assert.ok(a.say(b, text))
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(net.deliver(2), 1)
    assert.deepEqual(b.texts, ['1', '2', '3'])
    assert.equal(b.batches, 1)
    b.say(a, 'back')
    b.mesh.flush()
    net.settle()
    assert.deepEqual(a.texts, ['back'])
    assert.equal(net.channels.size, 1)
  })

  test('words for tasks are the same memory, seen from both ends', () => {
    const { a, b } = pair()
    const there = a.mesh.peer(workerIdOf(2)) as Peer
    const here = b.mesh.peer(workerIdOf(1)) as Peer
    there.claims.mine[3] = 1
    assert.equal(here.claims.theirs[3], 1)
    assert.equal(here.claims.mine[3], 0)
  })

  test('there is no peer where no process is, and none again after its end', () => {
    const { net, a, b } = pair()
    assert.equal(a.mesh.peer(workerIdOf(9)), null)
    assert.equal(a.mesh.send(workerIdOf(9), { is: 'collect' }), false)
    b.say(a, 'last words')
    b.mesh.flush()
    net.die(2)
    assert.deepEqual([a.texts, a.closed], [['last words'], ['died']])
    assert.equal(a.say(b, 'too late'), false)
    assert.equal(a.mesh.known(workerIdOf(2)), null)
  })

  test('frames larger than a packet arrive whole, between others', () => {
    const { net, a, b } = pair(1 << 20)
    const text = 'x'.repeat(3 * native.packetBytesMax)
    a.say(b, 'before')
    a.say(b, text)
    const body = new Uint8Array(2 * native.packetBytesMax + 7).map((_, i) => i % 251)
    a.mesh.sendFrame(a.mesh.peer(workerIdOf(2)) as Peer, new Uint8Array([FRAME.reply, ...body]))
    a.say(b, 'after')
    a.mesh.flush()
    net.settle()
    assert.deepEqual(b.texts, ['before', text, 'after'])
    assert.deepEqual(b.frames, [{ kind: FRAME.reply, body: [...body] }])
  })

  test('what a full ring refuses waits and follows in order once there is room', () => {
    const { net, a, b } = pair(40_000)
    const peer = a.mesh.peer(workerIdOf(2)) as Peer
    const texts = Array.from({ length: 400 }, (_, i) => `${i} ${'y'.repeat(1000)}`)
    for (const text of texts) a.say(b, text)
    a.mesh.flush()
    assert.ok(peer.backlog.length > 0 && a.mesh.isWaiting)
    assert.equal(
      peer.backlogBytes,
      peer.backlog.reduce((sum, packet) => sum + packet.length, 0),
    )
    assert.equal(net.deliver(2) > 0, true)
    a.say(b, 'last')
    a.mesh.flush()
    net.settle()
    assert.deepEqual(b.texts, [...texts, 'last'])
    assert.equal(peer.backlogBytes, 0)
    assert.equal(a.mesh.isWaiting, false)
  })

  test('property: any messages arrive as they were sent, whatever the sizes, flushes and deliveries between', () => {
    const message = fc.oneof(fc.nat(200), fc.integer({ min: 5000, max: 12_000 }), fc.integer({ min: 125_000, max: 140_000 }))
    const step = fc.oneof({ weight: 6, arbitrary: message }, { weight: 2, arbitrary: fc.constantFrom('flush', 'deliver') })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        const { net, a, b } = pair(300_000)
        const said: string[] = []
        for (const each of steps) {
          if (each === 'flush') a.mesh.flush()
          else if (each === 'deliver') net.deliver(2)
          else {
            said.push(String(said.length).padEnd(each as number, '.'))
            a.say(b, said.at(-1) as string)
          }
        }
        a.mesh.flush()
        net.settle()
        assert.deepEqual(b.texts, said)
      }),
      { numRuns: 60 },
    )
  })

  test('a process can send to itself, and hears it in a later turn', async () => {
    const { a } = pair()
    a.say(a, 'to me')
    a.mesh.flush()
    assert.deepEqual(a.texts, [])
    await new Promise(resolve => setImmediate(resolve))
    assert.deepEqual(a.texts, ['to me'])
    const peer = a.mesh.peer(workerIdOf(1)) as Peer
    peer.claims.mine[0] = 2
    assert.equal(peer.claims.theirs[0], 2)
  })

  test('garbage closes the channel it came on, and nothing else', () => {
    const offences: [string, Uint8Array][] = [
      ['cut short', new Uint8Array(3)],
      ['claims', new Uint8Array([255, 255, 255, 0, 0])],
      ['claims', new Uint8Array([0, 0, 0, 0, 0])],
      ['unknown frame kind', frame(77, new Uint8Array(4))],
      ['not MessagePack', frame(FRAME.control, new Uint8Array([0xc1]))],
      ['unknown control', frame(FRAME.control, new Uint8Array([0x80]))],
      ['empty fragment', frame(FRAME.fragment, new Uint8Array(0))],
      ['fragments of nothing', frame(FRAME.fragment, new Uint8Array([1]))],
      [
        'fragments of a fragment',
        frame(
          FRAME.fragment,
          new Uint8Array(60_000).fill(1).map((_, i) => (i % 2 === 0 ? 1 : FRAME.fragment)),
        ),
      ],
    ]
    for (const [text, bytes] of offences) {
      const { net, a, b } = pair()
      const c = new Process(net, 3)
      c.say(b, 'hello')
      c.mesh.flush()
      a.say(b, 'before')
      a.mesh.flush()
      a.inject(b, bytes)
      a.say(b, 'after')
      const seen = warnings(() => {
        a.mesh.flush()
        net.settle()
      })
      assert.deepEqual(b.closed, ['corrupt'], text)
      assert.ok(b.texts.includes('before') && b.texts.includes('hello') && !b.texts.includes('after'), text)
      assert.match(seen.join(), new RegExp(`${workerIdOf(1)}.*${text}`))
      assert.deepEqual(a.closed, ['closed'])
      c.say(b, 'still here')
      c.mesh.flush()
      net.settle()
      assert.equal(b.texts.at(-1), 'still here')
    }
  })

  test('a process may end its mesh because a channel was closed on garbage', () => {
    const { net, a, b } = pair()
    b.onClosedDo = () => b.mesh.close()
    a.inject(b, new Uint8Array(3))
    warnings(() => {
      a.mesh.flush()
      net.settle()
    })
    assert.deepEqual(b.closed, ['corrupt'])
    assert.equal(b.say(a, 'anything'), false)
  })

  test('who sent garbage is not talked to any more, until it is known to be dead', () => {
    const { net, a, b } = pair()
    a.inject(b, frame(77, new Uint8Array(4)))
    warnings(() => net.settle())
    assert.equal(b.say(a, 'back'), false)
    assert.equal(b.mesh.peer(workerIdOf(1)), null)
    // It opens another channel, which is not taken.
    a.say(b, 'again')
    a.mesh.flush()
    net.settle()
    assert.deepEqual(b.texts, [])
    b.mesh.gone(workerIdOf(1))
    assert.equal(b.say(a, 'another of that name'), true)
  })

  test('a frame whose reader runs over its end closes the channel; our own bugs are not hidden', () => {
    const { net, a, b } = pair()
    b.onFrameDo = () => void new DataView(new ArrayBuffer(1)).getUint32(0)
    a.inject(b, frame(FRAME.task, new Uint8Array(3)))
    warnings(() => net.settle())
    assert.deepEqual(b.closed, ['corrupt'])
    const other = pair()
    other.b.onFrameDo = () => {
      throw new TypeError('a bug')
    }
    other.a.inject(other.b, frame(FRAME.task, new Uint8Array(3)))
    assert.throws(() => other.net.settle(), /a bug/)
  })

  test('property: any bytes on a ring give messages or a closed channel', () => {
    warnings(() =>
      fc.assert(
        fc.property(
          fc.array(
            fc.oneof(
              fc.uint8Array({ maxLength: 300 }),
              fc.tuple(fc.nat(5), fc.uint8Array({ maxLength: 60 })).map(([kind, body]) => frame(kind, body)),
            ),
            { maxLength: 5 },
          ),
          packets => {
            const { net, a, b } = pair()
            for (const packet of packets) if (a.mesh.peer(workerIdOf(2)) !== null) a.inject(b, packet)
            net.settle()
            assert.ok(b.closed.every(reason => reason === 'corrupt'))
          },
        ),
        { numRuns: 300 },
      ),
    )
  })

  test('after close nothing is sent and the others hear of it', () => {
    const { net, a, b } = pair()
    a.say(b, 'last')
    a.mesh.close()
    assert.deepEqual(b.closed, ['closed'])
    assert.equal(net.ports.size, 1)
  })
})
