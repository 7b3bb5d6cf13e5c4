// SPDX-License-Identifier: Apache-2.0
// Large values between nodes of real processes: they are where they are needed when they are needed, once a node, and nowhere
// when nobody needs them.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { Table, tableFromArrays } from 'apache-arrow'
import { GetTimeoutError, get, init, type ObjectRef, put, release, remote, shutdown, wait } from 'eagleray'
import { ObjectStore } from 'eagleray/store'
import { Cluster, type ClusterNode } from 'eagleray/testing'
import { waitFor } from './support.js'

const MB = 1e6

const at = (name: string) => ({ resources: { [name]: 0.001 } })
/** An array that is different for each seed, cheaply. */
const make = remote((bytes: number, seed: number) => {
  const array = new Uint32Array(bytes / 4)
  for (let i = 0; i < array.length; i += 1000) array[i] = i + seed
  return array
})
function isRight(array: Uint32Array, bytes: number, seed: number): boolean {
  if (array.length !== bytes / 4) return false
  for (let i = 0; i < array.length; i += 1000) if (array[i] !== i + seed || array[i + 1] !== 0) return false
  return true
}
const check = remote((array: Uint32Array, bytes: number, seed: number) => {
  if (array.length !== bytes / 4) return false
  for (let i = 0; i < array.length; i += 1000) if (array[i] !== i + seed) return false
  return true
})

/** Whether the store of a node has the object. One that was deleted is kept, for nobody new, as long as a worker's views of it are not collected. */
async function isAt(node: ClusterNode, id: string): Promise<boolean> {
  const [segment] = /\S+\/segment$/m.exec(readFileSync(`/proc/${node.pid}/maps`, 'utf8')) ?? []
  const store = await ObjectStore.open(dirname(segment ?? ''))
  try {
    return store.contains(id)
  } finally {
    store.close()
  }
}

suite('transfer between nodes', () => {
  let cluster: Cluster
  let [a, b]: ClusterNode[] = []

  suiteSetup(async function () {
    this.timeout(120_000)
    cluster = await Cluster.start({ head: { numCpus: 1, objectStoreBytes: 260e6 } })
    a = await cluster.addNode({ numCpus: 1, resources: { a: 1 }, objectStoreBytes: 260e6 })
    b = await cluster.addNode({ numCpus: 1, resources: { b: 1 }, objectStoreBytes: 260e6 })
    await cluster.addNode({ numCpus: 1, resources: { small: 1 }, objectStoreBytes: 24e6 })
    await init({ address: cluster.address })
  })
  suiteTeardown(async () => {
    await shutdown()
    await cluster.shutdown()
  })

  test('100 MB made elsewhere come as they are; a copy that was dropped comes again', async () => {
    const ref = make.options(at('a')).remote(100 * MB, 1)
    for (let round = 0; round < 2; round++) {
      const array = await get(ref)
      assert.ok(isRight(array, 100 * MB, 1))
      release(array)
      // Room for others: a copy is the first to go.
      for (let i = 0; i < 3; i++) {
        using other = put(new Uint8Array(80 * MB))
        assert.ok(other.id)
      }
    }
  })

  test('arguments go from node to node, and results come back as what they are', async () => {
    const made = make.options(at('a')).remote(8 * MB, 2)
    assert.equal(await get(check.options(at('b')).remote(made, 8 * MB, 2)), true)
    const same = remote((array: Uint32Array) => array, at('b')).remote(made)
    assert.ok(isRight(await get(same), 8 * MB, 2))
    const table = remote(() => tableFromArrays({ x: Float64Array.from({ length: 200_000 }, (_, i) => i) }), at('b')).remote()
    const got = await get(table)
    assert.ok(got instanceof Table)
    assert.deepEqual([got.numRows, got.getChild('x')?.get(199_999)], [200_000, 199_999])
    const nested = remote(async ([inner]: [ObjectRef<Uint32Array>]) => {
      const { get } = await import('eagleray')
      return (await get(inner)).length
    }, at('b'))
    assert.equal(await get(nested.remote([made])), (8 * MB) / 4)
  })

  test('one broadcast to all nodes, and nothing is left anywhere when its ref is gone', async () => {
    const ref = put(new Uint32Array(5 * MB).map((_, i) => (i % 1000 === 0 ? i + 3 : 0)))
    const { id } = ref
    const results = ['a', 'b', 'small'].map(name => check.options(at(name)).remote(ref, 20 * MB, 3))
    assert.deepEqual(await get(results), [true, true, true])
    for (const node of [a, b]) assert.ok(await isAt(node as ClusterNode, id))
    ref[Symbol.dispose]()
    for (const result of results) result[Symbol.dispose]()
    for (const node of cluster.nodes) await waitFor(async () => !(await isAt(node, id)), `object gone from ${node.nodeId}`)
  })

  test('a node with a small store reads ten times as much in turn, and serves what it had to put on disk', async () => {
    const refs = Array.from({ length: 30 }, (_, i) => make.options(at('a')).remote(8 * MB, i))
    const ok = await get(refs.map((ref, i) => check.options(at('small')).remote(ref, 8 * MB, i)))
    assert.ok(ok.every(each => each))
    const made = Array.from({ length: 8 }, (_, i) => make.options(at('small')).remote(8 * MB, i))
    await wait(made, { numReturns: made.length, fetchLocal: false })
    for (const [i, ref] of made.entries()) {
      const array = await get(ref)
      assert.ok(isRight(array, 8 * MB, i), `object ${i}`)
      release(array)
    }
  })

  test('wait says what is here, or what is anywhere; a get that waits for bytes keeps to its time', async () => {
    const ref = make.options(at('b')).remote(60 * MB, 5)
    await wait([ref], { fetchLocal: false })
    assert.deepEqual((await wait([ref], { timeoutMs: 0 }))[1], [ref])
    await assert.rejects(get(ref, { timeoutMs: 0 }), GetTimeoutError)
    await assert.rejects(get([ref], { timeoutMs: 0 }), GetTimeoutError)
    assert.deepEqual((await wait([ref]))[0], [ref])
    assert.ok(isRight(await get(ref, { timeoutMs: 0 }), 60 * MB, 5))
  })

  test('a node that ends while it is read from: other copies are, and what has none is made again', async () => {
    const end = await cluster.addNode({ numCpus: 1, resources: { end: 1 }, objectStoreBytes: 260e6 })
    const shared = make.options(at('end')).remote(80 * MB, 6)
    assert.equal(await get(check.options(at('b')).remote(shared, 80 * MB, 6)), true)
    const only = make.options({ resources: { end: 0.001 } }).remote(80 * MB, 7)
    await wait([only], { fetchLocal: false })
    const reading = get([shared, only])
    await end.kill()
    const again = await cluster.addNode({ numCpus: 1, resources: { end: 1 }, objectStoreBytes: 260e6 })
    const [one, two] = await reading
    assert.ok(isRight(one as Uint32Array, 80 * MB, 6))
    assert.ok(isRight(two as Uint32Array, 80 * MB, 7))
    await cluster.removeNode(again)
  }).timeout(60_000)
})
