// SPDX-License-Identifier: Apache-2.0
// Objects between stores in shared memory, over real connections; the owner and the messages are in this process.

import assert from 'node:assert/strict'
import { truncateSync } from 'node:fs'
import { STATE } from '#lib/core/owner/entry.js'
import { HEAD_ID, objectId } from '#lib/ids.js'
import type { Lent, Piece } from '#lib/io/data/channel.js'
import type { NativeFileRange } from '#lib/native.js'
import { limits } from '#lib/options.js'
import { FakeStores, OWNER, type StoresOptions } from '../../fakes/stores.js'

const MB = 1 << 20
const pattern = (length: number, seed: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i += 97) bytes[i] = (i + seed) & 255
  return bytes
}
/** Asks a node for a piece; gives what it lends, or why it refuses. */
const ask = (node: FakeStores['nodes'][number], piece: Piece, peer = 'ffffffffff'): Promise<Lent | string> =>
  new Promise(resolve => node.transfer.onQuestion({ ...piece, peer, send: resolve, refuse: resolve }))
const isSame = (a: Uint8Array | null, b: Uint8Array): boolean => a !== null && Buffer.compare(a, b) === 0

suite('transfer of objects', () => {
  let cluster: FakeStores
  const start = async (options: StoresOptions): Promise<FakeStores> => (cluster = await FakeStores.start(options))
  teardown(() => {
    for (const node of cluster.nodes) assert.equal(node.store.check(), null)
    cluster.close()
  })

  test('any size arrives as it is, as a copy that may be dropped, and its owner knows', async () => {
    await start({ nodes: 2 })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    for (const size of [0, 1, 5000, limits.pieceBytes, 3 * limits.pieceBytes + 17]) {
      const bytes = pattern(size, size)
      const entry = cluster.put(a, bytes)
      cluster.want(b, entry)
      assert.equal(await cluster.answer(b, entry), null)
      assert.ok(isSame(cluster.bytes(b, entry), bytes), `${size} bytes`)
      assert.ok(b.store.list().every(each => each.secondary))
      cluster.unwant(b, entry)
      while (!entry.nodes?.has(b.nodeId)) await cluster.news()
      cluster.drop(entry)
      while (b.store.contains(cluster.id(entry))) await new Promise(resolve => setImmediate(resolve))
      assert.equal(a.store.contains(cluster.id(entry)), false)
    }
  })

  test('connections that are refused are one line for each peer and reason', async () => {
    await start({ nodes: 1 })
    const [{ transfer }, before, lines] = [cluster.at(0), process.emitWarning, [] as unknown[]]
    process.emitWarning = (text: unknown) => void lines.push(text)
    try {
      for (let port = 1; port <= 100; port++) transfer.onRefused(`10.0.0.1:${port}`, 'it has another token')
      transfer.onRefused('10.0.0.1:1', 'it sent what is no frame')
      transfer.onRefused('10.0.0.2:1', 'it has another token')
    } finally {
      process.emitWarning = before
    }
    const line = (who: string, why: string): string => `eagleray: refused a peer at ${who}: at the data port: ${why}`
    const [token, frame] = ['it has another token', 'it sent what is no frame']
    assert.deepEqual(lines, [line('10.0.0.1', token), line('10.0.0.1', frame), line('10.0.0.2', token)])
  })

  test('what no owner knows of any more goes; what is of use stays, and goes with the rest', async () => {
    await start({ nodes: 2 })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    const entry = cluster.put(a, pattern(MB, 1))
    // Runs of tasks left these there, and nobody told of them.
    const stray = objectId(OWNER, 1_000)
    for (const id of [cluster.id(entry), stray]) b.store.put(id, pattern(MB, 1), MB)
    b.transfer.tellHeld(0)
    b.transfer.tellHeld(limits.copiesHeldMs[0] + 1)
    while (b.store.contains(stray) || !entry.nodes?.has(b.nodeId)) await new Promise(resolve => setImmediate(resolve))
    assert.ok(b.store.contains(cluster.id(entry)))
    cluster.drop(entry)
    while (b.store.contains(cluster.id(entry))) await new Promise(resolve => setImmediate(resolve))
  })

  test('a result that lies elsewhere comes to the node of its owner', async () => {
    await start({ nodes: 2 })
    const entry = cluster.put(cluster.at(1), pattern(MB, 1))
    cluster.want(cluster.at(0), entry)
    assert.equal(await cluster.answer(cluster.at(0), entry), null)
    assert.ok(isSame(cluster.bytes(cluster.at(0), entry), pattern(MB, 1)))
  })

  test('several processes of a node wait for one copy, and a copy that was evicted comes again', async () => {
    await start({ nodes: 2 })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    const entry = cluster.put(a, pattern(9 * MB, 1))
    for (let round = 0; round < 2; round++) {
      for (const slot of [5, 6, 7]) cluster.want(b, entry, 'get', slot)
      for (const slot of [5, 6, 7]) {
        assert.equal(await cluster.answer(b, entry, slot), null)
        cluster.unwant(b, entry, slot)
      }
      assert.ok(b.store.delete(cluster.id(entry)))
    }
    assert.equal(cluster.effects.filter(({ is }) => is === 'located').length, 2)
  })

  test('a broadcast goes from node to node', async () => {
    await start({ nodes: 6, capacityBytes: 32 * MB })
    const bytes = pattern(20 * MB, 3)
    const entry = cluster.put(cluster.at(0), bytes)
    const others = cluster.nodes.slice(1)
    for (const node of others) cluster.want(node, entry)
    for (const node of others) {
      assert.equal(await cluster.answer(node, entry), null)
      assert.ok(isSame(cluster.bytes(node, entry), bytes))
    }
    const sources = new Set(cluster.effects.flatMap(effect => (effect.is === 'located' ? effect.nodes : [])))
    assert.ok(sources.size > 1, 'only one node served all others')
  })

  test('who waits here does not wait for a node that reads slowly what it is sent of the half copy, and gets the right bytes', async () => {
    await start({ nodes: 2 })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    const bytes = pattern(5 * limits.pieceBytes, 7)
    const entry = cluster.put(a, bytes)
    cluster.want(b, entry)
    const slow = await new Promise<Lent>(resolve => {
      const piece = { id: cluster.id(entry), offset: 0, length: limits.pieceBytes }
      b.transfer.onQuestion({ ...piece, peer: 'ffffffffff', send: resolve, refuse: why => assert.fail(why) })
    })
    assert.equal(b.store.contains(cluster.id(entry)), false, 'a part of it was sent before all of it was there')
    assert.equal(await cluster.answer(b, entry), null)
    assert.ok(isSame(cluster.bytes(b, entry), bytes))
    cluster.unwant(b, entry)
    cluster.drop(entry)
    while (b.store.contains(cluster.id(entry))) await new Promise(resolve => setImmediate(resolve))
    const sent = new Uint8Array(limits.pieceBytes)
    assert.equal(slow.read(0, sent), null)
    assert.ok(isSame(sent, bytes.subarray(0, limits.pieceBytes)))
    slow.done()
  })

  test('whose turn comes when the copy has gone and a new one is begun is refused, not sent memory that nobody wrote', async () => {
    await start({ nodes: 2 })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    /** So many pieces leave that node that no other does. */
    const occupy = async (node: typeof a): Promise<Lent[]> => {
      const piece = { id: cluster.id(cluster.put(node, pattern(10, 1))), offset: 0, length: 10 }
      const peers = Array.from({ length: limits.servesMax }, (_, i) => `${i}`.padStart(10, '0'))
      return Promise.all(peers.map(async peer => (await ask(node, piece, peer)) as Lent))
    }
    const bytes = pattern(MB, 7)
    const entry = cluster.put(a, bytes)
    cluster.want(b, entry)
    assert.equal(await cluster.answer(b, entry), null)
    const held = await occupy(b)
    const turn = ask(b, { id: cluster.id(entry), offset: 0, length: MB })
    cluster.unwant(b, entry)
    assert.ok(b.store.delete(cluster.id(entry)))
    const heldAtSource = await occupy(a)
    cluster.want(b, entry)
    while (b.transfer.counts().moving === 0) await new Promise(resolve => setImmediate(resolve))
    for (const each of held) each.done()
    assert.equal(await turn, 'busy')
    for (const each of heldAtSource) each.done()
    assert.equal(await cluster.answer(b, entry), null)
    assert.ok(isSame(cluster.bytes(b, entry), bytes))
  })

  test('a copy that can be read no further is missing when it is asked for again', async () => {
    await start({ nodes: 1, capacityBytes: 16 * MB, spill: true })
    const a = cluster.at(0)
    const entry = cluster.put(a, pattern(30 * MB, 1))
    const range = a.store.readView(cluster.id(entry)) as NativeFileRange
    truncateSync(range.path, range.fileOffset + MB)
    a.store.release(range)
    const piece = { id: cluster.id(entry), offset: 0, length: limits.pieceBytes }
    const lent = (await ask(a, piece)) as Lent
    await lent.read(0, new Uint8Array(MB))
    await assert.rejects(async () => lent.read(MB, new Uint8Array(MB)), /the file ends/)
    lent.done()
    assert.equal(await ask(a, piece), 'missing')
  })

  test('a copy whose file cannot be opened now is asked for again, and its owner does not forget it', async () => {
    await start({ nodes: 2 })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    const bytes = pattern(MB, 3)
    const entry = cluster.put(a, bytes)
    const { readView } = a.store
    let range: NativeFileRange | null = null
    Object.assign(a.store, { readView: (id: string) => (range = readView.call(a.store, id) as NativeFileRange) })
    const piece = { id: cluster.id(entry), offset: 0, length: MB }
    const lent = (await ask(a, piece)) as Lent
    const { path } = range as unknown as NativeFileRange
    // Not a way to a file, as there is none when too many are open.
    Object.assign(range as unknown as NativeFileRange, { path: `${path}/x` })
    assert.throws(() => lent.read(0, new Uint8Array(MB)), { name: 'NotNow', message: /ENOTDIR/ })
    const again = (await ask(a, piece)) as Lent
    assert.throws(() => again.read(0, new Uint8Array(MB)), { name: 'NotNow' })
    cluster.want(b, entry)
    while (b.transfer.counts().moving === 0) await new Promise(resolve => setImmediate(resolve))
    Object.assign(range as unknown as NativeFileRange, { path })
    for (const each of [lent, again]) each.done()
    assert.equal(await cluster.answer(b, entry), null)
    assert.ok(isSame(cluster.bytes(b, entry), bytes))
    while (!entry.nodes?.has(b.nodeId)) await cluster.news()
    assert.ok(entry.nodes.has(a.nodeId))
  })

  test('several copies are read at once; a source that dies in the middle is replaced', async () => {
    await start({ nodes: 3 })
    const [a, b, c] = [cluster.at(0), cluster.at(1), cluster.at(2)]
    const bytes = pattern(60 * MB, 4)
    const entry = cluster.put(a, bytes)
    cluster.want(b, entry)
    assert.equal(await cluster.answer(b, entry), null)
    cluster.want(c, entry)
    while (c.transfer.counts().moving === 0) await new Promise(resolve => setImmediate(resolve))
    assert.equal(cluster.effects.filter(effect => effect.is === 'located').at(-1)?.nodes.length, 2)
    cluster.kill(1)
    assert.equal(await cluster.answer(c, entry), null)
    assert.ok(isSame(cluster.bytes(c, entry), bytes))
  })

  test('the only source dies: it is lost, and everybody who waits hears that', async () => {
    await start({ nodes: 3 })
    const entry = cluster.put(cluster.at(1), pattern(60 * MB, 4))
    const c = cluster.at(2)
    cluster.want(c, entry)
    while (c.transfer.counts().moving === 0) await new Promise(resolve => setImmediate(resolve))
    cluster.kill(1)
    const error = await cluster.answer(c, entry)
    assert.match(new TextDecoder().decode(error ?? undefined), /is lost/)
    assert.equal(entry.state, STATE.failed)
    assert.equal(c.store.list().length, 0)
  })

  test('more than the store holds comes one after the other', async () => {
    await start({ nodes: 2, capacityBytes: 24 * MB, spill: true })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    const entries = Array.from({ length: 12 }, (_, i) => cluster.put(a, pattern(6 * MB, i)))
    for (const entry of entries) cluster.want(b, entry)
    for (const [i, entry] of entries.entries()) {
      assert.equal(await cluster.answer(b, entry), null)
      assert.ok(isSame(cluster.bytes(b, entry), pattern(6 * MB, i)), `object ${i}`)
      cluster.unwant(b, entry)
    }
  })

  test('what was read a moment ago makes room at once, without a collection', async () => {
    await start({ nodes: 3, capacityBytes: 32 * MB })
    const [a, b, c] = [cluster.at(0), cluster.at(1), cluster.at(2)]
    const [first, second] = [cluster.put(a, pattern(20 * MB, 1)), cluster.put(c, pattern(20 * MB, 2))]
    cluster.want(b, first)
    assert.equal(await cluster.answer(b, first), null)
    cluster.unwant(b, first)
    // Not by way of the node, so that its view lingers.
    b.store.delete(cluster.id(first))
    cluster.want(b, second)
    assert.equal(await cluster.answer(b, second), null)
    assert.equal(b.collects, 0)
  })

  test('what is on disk is served, and what memory has no room for is put there', async () => {
    await start({ nodes: 2, capacityBytes: 16 * MB, spill: true })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    const large = cluster.put(a, pattern(30 * MB, 1))
    assert.ok(a.store.list().some(each => each.spilled))
    cluster.want(b, large)
    assert.equal(await cluster.answer(b, large), null)
    assert.ok(isSame(cluster.bytes(b, large), pattern(30 * MB, 1)))
  })

  test('an object larger than a store without disk is an error that says so', async () => {
    await start({ nodes: 1 })
    const b = await cluster.add(4 * MB, false)
    const entry = cluster.put(cluster.at(0), pattern(8 * MB, 1))
    cluster.want(b, entry)
    assert.match(new TextDecoder().decode((await cluster.answer(b, entry)) ?? undefined), /larger than the store/)
  })

  test('nobody waits any more: what was begun is given back', async () => {
    await start({ nodes: 2 })
    const b = cluster.at(1)
    const entry = cluster.put(cluster.at(0), pattern(60 * MB, 1))
    cluster.want(b, entry)
    while (b.transfer.counts().moving === 0) await new Promise(resolve => setImmediate(resolve))
    cluster.unwant(b, entry)
    while (b.transfer.counts().moving > 0 || b.store.list().length > 0) await new Promise(resolve => setImmediate(resolve))
    assert.equal(b.told.length, 0)
  })

  test('an object freed while it is on its way leaves nothing', async () => {
    await start({ nodes: 2 })
    const b = cluster.at(1)
    const entry = cluster.put(cluster.at(0), pattern(20 * MB, 1))
    cluster.want(b, entry)
    while (b.transfer.counts().moving === 0) await new Promise(resolve => setImmediate(resolve))
    cluster.drop(entry)
    await cluster.answer(b, entry)
    cluster.unwant(b, entry)
    while (b.store.list().length > 0) await new Promise(resolve => setImmediate(resolve))
  })

  test('a copy goes also on a node that the head has not told of yet', async () => {
    await start({ nodes: 2 })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    const entry = cluster.put(a, pattern(10, 1))
    cluster.want(b, entry)
    assert.equal(await cluster.answer(b, entry), null)
    cluster.unwant(b, entry)
    while (!entry.nodes?.has(b.nodeId)) await cluster.news()
    a.transfer.heard(HEAD_ID, { is: 'view', full: true, nodes: [] })
    cluster.drop(entry)
    while (b.store.contains(cluster.id(entry))) await new Promise(resolve => setImmediate(resolve))
  })

  test('others cannot free what is not theirs', async () => {
    await start({ nodes: 2 })
    const [a, b] = [cluster.at(0), cluster.at(1)]
    const entry = cluster.put(a, pattern(10, 1))
    const ids = [cluster.id(entry)]
    a.transfer.heard(b.store.workerId, { is: 'free', ids })
    a.transfer.heard(a.process(), { is: 'freeCopies', nodes: [], ids })
    assert.ok(a.store.contains(cluster.id(entry)))
  })
})
