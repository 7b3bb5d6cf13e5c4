// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { Head } from '#lib/core/head/head.js'
import type { Change, Storage } from '#lib/io/storage/storage.js'
import type { Transport } from '#lib/io/transport.js'
import { HeadShell } from '#lib/run/head-shell.js'
import { decodeControl, encodeControl } from '#lib/wire/codec.js'
import { FRAME } from '#lib/wire/frames.js'
import { LINK_HEADER_BYTES } from '#lib/wire/link-frames.js'
import type { Control, NodeView } from '#lib/wire/messages.js'

const A = 'aaaaaaaaaa'
const node: NodeView = {
  ...{ nodeId: A, daemonId: `${A}0000bbbbbbbbbb`, hostname: 'h', address: 'tcp://127.0.0.1:1', dataAddress: '', state: 'alive' },
  ...{ labels: {}, gpuIds: [], total: { CPU: 10_000 }, available: { CPU: 10_000 }, deathCause: null },
}

/** One write at a time is let through, by hand. */
class SlowStorage implements Storage {
  readonly writes: { batch: readonly Change[]; resolve: () => void; reject: (error: Error) => void }[] = []
  load = async () => new Map()
  close = async () => {}

  write(batch: readonly Change[]): Promise<void> {
    return new Promise((resolve, reject) => this.writes.push({ batch, resolve, reject }))
  }
}

class Bench {
  readonly storage = new SlowStorage()
  readonly sent: Control[] = []
  readonly forgotten: string[] = []
  failure: Error | null = null
  readonly shell: HeadShell

  constructor() {
    const encodeError = () => new Uint8Array(0)
    const head = new Head({ nodeId: null, clusterId: 'c', epoch: 'e', encodeError, nodeDeadAfterMs: 1e9 })
    this.shell = new HeadShell({
      head,
      storage: this.storage,
      onFailure: error => {
        this.failure = error
      },
    })
    const transport = { address: '', open() {}, isFull: () => false, unacknowledged: () => 0, close: async () => {} }
    const forget = (id: string): void => void this.forgotten.push(id)
    const send = (_: string, packet: Uint8Array): boolean => {
      this.#heard(packet)
      return true
    }
    this.shell.start({ ...transport, forget, send } as Transport)
    this.shell.onUp({ id: A, daemonId: node.daemonId, address: '' })
  }

  hear(...messages: Control[]): void {
    const frames = messages.map(message => {
      const body = encodeControl(message).slice()
      const frame = Buffer.alloc(5 + body.length)
      frame.writeUInt32LE(1 + body.length, 0)
      frame[4] = FRAME.control
      frame.set(body, 5)
      return frame
    })
    this.shell.onPacket(A, new Uint8Array(Buffer.concat(frames)), 0)
  }

  kinds(): string[] {
    return this.sent.map(message => (message.is === 'deliver' ? message.message.is : message.is))
  }

  #heard(packet: Uint8Array): void {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
    for (let at = LINK_HEADER_BYTES; at < packet.length; ) {
      const end = at + 4 + view.getUint32(at, true)
      this.sent.push(decodeControl(packet.subarray(at + 5, end)) as Control)
      at = end
    }
  }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(() => setImmediate(resolve)))
const put = (seq: number, key: string): Control => ({
  is: 'forHead',
  seq,
  from: `${A}0001bbbbbbbbbb`,
  message: { is: 'kvPut', request: seq, namespace: 'n', key, value: new Uint8Array(1), overwrite: true },
})

suite('the shell of the head', () => {
  test('nothing leaves before what it rests on is kept, and what came meanwhile is kept together', async () => {
    const bench = new Bench()
    bench.hear({ is: 'register', clusterId: null, node })
    await turn()
    assert.deepEqual(bench.kinds(), [])
    assert.equal(bench.storage.writes.length, 1)
    bench.hear(put(1, 'a'), put(2, 'b'))
    await turn()
    assert.deepEqual(bench.kinds(), [])
    assert.deepEqual(
      bench.storage.writes[1]?.batch.map(({ table, key }) => [table, key]),
      [
        ['kv', 'n/a'],
        ['seen', A],
        ['kv', 'n/b'],
        ['seen', A],
      ],
    )
    // Also where the second is kept first.
    bench.storage.writes[1]?.resolve()
    await turn()
    assert.deepEqual(bench.kinds(), [])
    bench.storage.writes[0]?.resolve()
    await turn()
    assert.deepEqual(bench.kinds(), ['registered', 'kvAnswer', 'kvAnswer', 'headAck'])
    await bench.shell.end()
  })

  test('what changes nothing is answered at once', async () => {
    const bench = new Bench()
    bench.hear({ is: 'beat', available: {}, demand: [] })
    await turn()
    assert.deepEqual(bench.kinds(), ['registerAgain'])
    await bench.shell.end()
  })

  test('a storage that fails is the end, and nobody hears of what was not kept', async () => {
    const bench = new Bench()
    bench.hear({ is: 'register', clusterId: null, node })
    await turn()
    bench.storage.writes[0]?.reject(new Error('the disk is full'))
    await turn()
    assert.match(bench.failure?.message ?? '', /the disk is full/)
    bench.hear(put(1, 'a'))
    await turn()
    assert.deepEqual(bench.kinds(), [])
  })

  test('the link of a node that lives stays while it is down; that of who is none goes', async () => {
    const bench = new Bench()
    bench.shell.onDown(A)
    assert.deepEqual(bench.forgotten, [A])
    bench.shell.onUp({ id: A, daemonId: node.daemonId, address: '' })
    bench.hear({ is: 'register', clusterId: 'another', node })
    await turn()
    assert.deepEqual(bench.kinds(), ['fenced'])
    bench.shell.onDown(A)
    assert.deepEqual(bench.forgotten, [A, A])
    bench.shell.onUp({ id: A, daemonId: node.daemonId, address: '' })
    bench.hear({ is: 'register', clusterId: null, node })
    bench.shell.onDown(A)
    assert.deepEqual(bench.forgotten, [A, A])
    await turn()
    for (const { resolve } of bench.storage.writes) resolve()
    await bench.shell.end()
  })

  test('nodes hear at once that the storage is away, also one that comes then, and that it is back', async () => {
    const bench = new Bench()
    bench.hear({ is: 'register', clusterId: null, node })
    await turn()
    assert.deepEqual(bench.kinds(), [], 'held back until it is kept')
    bench.shell.storageAway('waits for Redis')
    bench.shell.storageAway('waits for Redis')
    bench.shell.onDown(A)
    bench.shell.onUp({ id: A, daemonId: node.daemonId, address: '' })
    bench.shell.storageAway(null)
    bench.shell.onUp({ id: A, daemonId: node.daemonId, address: '' })
    const why = (message: Control): unknown => message.is === 'headStorage' && message.storage
    assert.deepEqual(bench.sent.map(why), ['waits for Redis', 'waits for Redis', null])
    for (const { resolve } of bench.storage.writes) resolve()
    await bench.shell.end()
  })

  test('garbage from a node changes nothing', async () => {
    const bench = new Bench()
    const warned = new Promise<Error>(resolve => process.once('warning', resolve))
    bench.shell.onPacket(A, new Uint8Array([1, 2, 3]), 0)
    assert.match((await warned).message, /node aaaaaaaaaa sent what is no message/)
    await turn()
    assert.deepEqual([bench.kinds(), bench.storage.writes.length], [[], 0])
    await bench.shell.end()
  })
})
