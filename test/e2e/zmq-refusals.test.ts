// SPDX-License-Identifier: Apache-2.0
// What strangers and broken peers send to a transport over ZeroMQ: it is refused, told of, and nothing else happens.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import fc from 'fast-check'
import { type ZmqContext, zmqContext } from '#lib/io/zmq/context.js'
import { zmqTransport } from '#lib/io/zmq/transport.js'
import { limits } from '#lib/options.js'
import { encodeControl } from '#lib/wire/codec.js'
import { LINK_HEADER_BYTES } from '#lib/wire/link-frames.js'
import { PROTOCOL_VERSION } from '#lib/wire/messages.js'
import { A, B, Station } from '../conformance/transport.js'
import { runProgram, waitFor } from './support.js'

const HELLO = 1
const REFUSED = 8

function frame(kind: number, body: Uint8Array, from = 7): Buffer {
  const bytes = Buffer.alloc(LINK_HEADER_BYTES + body.length)
  bytes[0] = kind
  bytes.writeUInt32LE(from, 4)
  bytes.set(body, LINK_HEADER_BYTES)
  return bytes
}

const hello = (fields: object): Uint8Array =>
  encodeControl({ is: 'linkHello', protocol: PROTOCOL_VERSION, nodeId: A, daemonId: `${A}0000${'d'.repeat(10)}`, address: '', ...fields })

suite('refusals of a transport over ZeroMQ', () => {
  const stations: Station[] = []
  const contexts: ZmqContext[] = []

  teardown(async () => {
    for (const { transport } of stations.splice(0)) await transport.close(0)
    for (const context of contexts.splice(0)) context.close()
  })

  async function station(id: string, token = 'token'): Promise<Station> {
    const made = new Station(id)
    made.transport = await zmqTransport({ id, daemonId: `${id}0000${'d'.repeat(10)}`, token, listener: made })
    stations.push(made)
    return made
  }

  /** A socket that has the token and says what it likes. */
  async function rogue(to: Station): Promise<{ send(...parts: Uint8Array[]): Promise<void>; receive(): Promise<Buffer[]>; close(): void }> {
    const context = await zmqContext('token')
    contexts.push(context)
    const dealer = new context.zmq.Dealer({ ...context.client, sendTimeout: -1 })
    dealer.connect(to.transport.address)
    return { send: (...parts) => dealer.send(parts as Buffer[]), receive: () => dealer.receive(), close: () => dealer.close() }
  }

  /** An honest peer gets through. */
  async function stillWorks(b: Station): Promise<void> {
    const a = await station(A)
    a.transport.open({ id: B, address: b.transport.address })
    a.say(B, 'good')
    await waitFor(() => b.texts.includes('good'), 'the honest peer')
    assert.deepEqual(b.heard, [[A, 'good']])
  }

  test('peers of another version, with no proper id, or with ours', async () => {
    const b = await station(B)
    const socket = await rogue(b)
    const offences: [string, object][] = [
      [`a peer of protocol 99 does not fit one of protocol ${PROTOCOL_VERSION}: use one version of eagleray`, { protocol: 99 }],
      ['a peer of protocol 3 does not fit', { protocol: 3 }],
      ['it has no proper id', { nodeId: 'x' }],
      ['it has no proper id', { daemonId: `${B}0000${'d'.repeat(10)}` }],
      [`it says that it is ${B}`, { nodeId: B, daemonId: `${B}0000${'d'.repeat(10)}` }],
    ]
    for (const [i, [why, fields]] of offences.entries()) {
      await socket.send(frame(HELLO, hello(fields)))
      const [answer] = await socket.receive()
      assert.equal(answer?.[0], REFUSED)
      assert.match(String(answer), new RegExp(why))
      assert.equal(b.refusals.length, i + 1)
      assert.ok(b.refusals[i]?.why.startsWith(why))
    }
    socket.close()
    await stillWorks(b)
  })

  test('who has another token hears what is most likely wrong', async () => {
    const [b, a] = [await station(B), await station(A, 'another')]
    a.transport.open({ id: B, address: b.transport.address })
    await waitFor(() => a.refusals.length > 0 && b.refusals.length > 0, 'the refusals')
    assert.equal(a.refusals[0]?.address, b.transport.address)
    assert.equal(a.refusals[0]?.turnedAway, true)
    assert.match(a.refusals[0]?.why ?? '', /most likely its token is another/)
    assert.match(b.refusals[0]?.why ?? '', /it has another token/)
  })

  test('a node that is refused for its version is told, and gives up', async () => {
    const b = await station(B)
    const context = await zmqContext('token')
    contexts.push(context)
    const router = new context.zmq.Router(context.server)
    await router.bind('tcp://127.0.0.1:*')
    b.transport.open({ id: A, address: router.lastEndpoint ?? '' })
    const [routingId] = await router.receive()
    await router.send([routingId as Buffer, frame(REFUSED, encodeControl({ is: 'linkRefused', message: 'too old' }))])
    await waitFor(() => b.refusals.length === 1, 'the refusal')
    assert.deepEqual(b.refusals[0], { why: 'it refuses us: too old', address: router.lastEndpoint, id: A, refusesUs: true })
    router.close()
  })

  test('property: any frames from one who has the token', async () => {
    const b = await station(B)
    const socket = await rogue(b)
    const header = fc.tuple(fc.nat(9), fc.uint8Array({ maxLength: 80 })).map(([kind, body]) => frame(kind, body))
    const message = fc.array(fc.oneof(fc.uint8Array({ maxLength: 60 }), header), { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(message, parts => socket.send(...parts)),
      { numRuns: 300 },
    )
    await socket.send(new Uint8Array(3))
    await waitFor(() => b.refusals.some(({ why }) => why.includes('a link frame of 3 bytes')), 'the refusal')
    socket.close()
    assert.equal(b.ups.length, 0)
    await stillWorks(b)
  })

  test('bytes that are no ZeroMQ', async () => {
    const b = await station(B)
    const port = Number(b.transport.address.split(':').at(-1))
    const greeting = Buffer.from(`ff00000000000000017f0300${Buffer.from('NULL').toString('hex').padEnd(40, '0')}`.padEnd(128, '0'), 'hex')
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(1 << 20, 0xff),
      greeting,
      Buffer.concat([greeting, Buffer.alloc(4096, 7)]),
    ]) {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.resume()
      socket.end(bytes)
      await new Promise(resolve => socket.on('close', resolve))
    }
    await waitFor(() => b.refusals.length > 0, 'a refusal')
    assert.equal(b.ups.length, 0)
    await stillWorks(b)
  })

  test('a message that is too large ends the connection it comes on', async () => {
    const b = await station(B)
    const socket = await rogue(b)
    await socket.send(Buffer.alloc(limits.linkPacketBytesMax + 2 * LINK_HEADER_BYTES))
    await socket.send(new Uint8Array(3))
    await waitFor(() => b.refusals.length > 0, 'what came after, on another connection')
    socket.close()
    await stillWorks(b)
  })

  test('a process whose peer never took what it sent can still end', async () => {
    const ended = await runProgram('undelivered.mjs')
    assert.match(ended.stdout, /closed/)
  })
})
