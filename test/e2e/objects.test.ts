// SPDX-License-Identifier: Apache-2.0
// Objects: put, get, wait, createArray, release, and memory that is shared and yet nobody's to change.

import assert from 'node:assert/strict'
import { tableFromArrays } from 'apache-arrow'
import {
  asCompleted,
  createArray,
  explain,
  GetTimeoutError,
  get,
  mapUnordered,
  type ObjectRef,
  put,
  release,
  remote,
  state,
  TaskError,
  wait,
} from 'eagleray'
import { collect, passed, privatePages, refuse } from './programs/by-reference.js'
import { begin, end, gate } from './support.js'

const held = remote(passed<number>, { numCpus: 0 })
const identity = remote((value: unknown) => value)
const countPrivate = remote(privatePages)

const anyRef = (value: unknown) => value as ObjectRef<number>

suite('objects', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('put takes a snapshot, at once', async () => {
    const plain = { list: [1, 2, 3], big: new Float64Array(10_000) }
    const ref = put(plain)
    plain.list.push(4)
    plain.big[0] = 1
    const got = await get(ref)
    assert.deepEqual(got.list, [1, 2, 3])
    assert.equal(got.big[0], 0)
    assert.equal(typeof ref.id, 'string')
    assert.equal('then' in ref, false, 'a ref is not thenable')
    assert.equal(await Promise.resolve(ref), ref)
    assert.throws(() => put(ref), TypeError, 'a ref is not a value to put')
  })

  test('get takes one ref or a list, in order, with repeats', async () => {
    const refs = [put('a'), put('b'), identity.remote('c') as ObjectRef<string>]
    assert.deepEqual(await get(refs), ['a', 'b', 'c'])
    assert.deepEqual(await get([refs[1]!, refs[0]!, refs[1]!]), ['b', 'a', 'b'])
    assert.deepEqual(await get([]), [])
    assert.equal(await get(refs[0]!), 'a')
    await assert.rejects(get(anyRef('text')), TypeError)
    await assert.rejects(get([refs[0]!, anyRef(5)]), TypeError)
    await assert.rejects(get(anyRef(undefined)), TypeError)
    await assert.rejects(get(refs[0]!, { timeout: 5 } as never), TypeError, 'an unknown option')
    await assert.rejects(get(refs[0]!, { timeoutMs: -1 }), RangeError)
  })

  test('get gives up after timeoutMs, 0 is now or never, and a later get still works', async () => {
    const door = gate()
    const late = held.remote(door.path, 5)
    for (const timeoutMs of [0, 20])
      await assert.rejects(get(late, { timeoutMs }), (error: GetTimeoutError) => {
        assert.ok(error instanceof GetTimeoutError)
        assert.equal(error.timeoutMs, timeoutMs)
        assert.deepEqual(error.pending, [late.id])
        return true
      })
    await assert.rejects(get([put(1), late], { timeoutMs: 0 }), GetTimeoutError)
    assert.equal(await get(put(1), { timeoutMs: 0 }), 1)
    assert.deepEqual(await get(put(new Uint8Array(10_000)), { timeoutMs: 0 }), new Uint8Array(10_000))
    door.open()
    assert.equal(await get(late), 5)
    assert.equal(await get(late, { timeoutMs: 0 }), 5)
  })

  test('get of a list rejects with the first failure, without waiting for the rest', async () => {
    const door = gate()
    const late = held.remote(door.path, 1)
    await assert.rejects(get([late, remote(refuse).remote(1)]), TaskError)
    assert.deepEqual(await wait([late], { timeoutMs: 0 }), [[], [late]], 'it was not waited for')
    door.open()
    await get(late)
  })

  test('wait: exact counts, input order, failures are ready too', async () => {
    const doors = [gate(), gate()] as const
    const refs = [
      held.remote(doors[0].path, 0),
      put(1),
      put(2),
      remote(refuse).remote(1) as ObjectRef<number>,
      held.remote(doors[1].path, 4),
    ]
    const [late, one, two, failed, later] = refs as [
      ObjectRef<number>,
      ObjectRef<number>,
      ObjectRef<number>,
      ObjectRef<number>,
      ObjectRef<number>,
    ]

    const [first, rest] = await wait(refs)
    assert.equal(first.length, 1)
    assert.equal(rest.length, 4)
    assert.deepEqual([...first, ...rest].map(r => r.id).sort(), refs.map(r => r.id).sort())
    assert.deepEqual(await wait([late, one, two, later], { numReturns: 2 }), [
      [one, two],
      [late, later],
    ])
    assert.deepEqual(await wait(refs, { numReturns: 3 }), [
      [one, two, failed],
      [late, later],
    ])
    assert.deepEqual(
      await wait(refs, { numReturns: 5, timeoutMs: 20 }),
      [
        [one, two, failed],
        [late, later],
      ],
      'fewer when time is up',
    )
    assert.deepEqual(await wait(refs, { numReturns: 5, timeoutMs: 0 }), [
      [one, two, failed],
      [late, later],
    ])
    assert.deepEqual(await wait([two, one]), [[two], [one]], 'no more than asked for, in input order')
    doors[1].open()
    assert.deepEqual(await wait(refs, { numReturns: 4 }), [[one, two, failed, later], [late]])
    doors[0].open()
    assert.deepEqual(await wait(refs, { numReturns: 5 }), [refs, []])
    assert.deepEqual(await wait([]), [[], []])
  })

  test('wait refuses repeats, what is no ref, and impossible numbers', async () => {
    const ref = put(1)
    await assert.rejects(wait([ref, ref]), error => error instanceof TypeError || error instanceof RangeError)
    await assert.rejects(wait(ref as unknown as ObjectRef<number>[]), TypeError)
    await assert.rejects(wait([anyRef(1)]), TypeError)
    await assert.rejects(wait([ref], { numReturns: 0 }), RangeError)
    await assert.rejects(wait([ref], { numReturns: 2 }), RangeError)
    await assert.rejects(wait([ref], { timeoutMs: -1 }), RangeError)
    await assert.rejects(wait([ref], { nope: true } as never), TypeError)
  })

  test('asCompleted yields refs as they come, mapUnordered values', async () => {
    const door = gate()
    const late = held.remote(door.path, 1)
    const early = [put(2), put(3)]
    const seen: ObjectRef<number>[] = []
    for await (const ref of asCompleted([late, ...early])) {
      seen.push(ref as ObjectRef<number>)
      if (seen.length === 2) door.open()
    }
    assert.deepEqual(
      seen
        .slice(0, 2)
        .map(r => r.id)
        .sort(),
      early.map(r => r.id).sort(),
    )
    assert.equal(seen[2], late)

    const double = remote((n: number) => 2 * n)
    const values: number[] = []
    for await (const value of mapUnordered(double, [1, 2, 3, 4, 5, 6, 7], { maxPending: 3 })) values.push(value as number)
    assert.deepEqual(
      values.sort((a, b) => a - b),
      [2, 4, 6, 8, 10, 12, 14],
    )
  })

  test('mapUnordered yields a value while its source has no more items yet, and ends the source when it is left', async () => {
    const double = remote((n: number) => n * 2)
    let seen: () => void = () => {}
    const first = new Promise<void>(resolve => {
      seen = resolve
    })
    let ended = false
    async function* source() {
      try {
        yield 1
        await first
        yield 2
        yield 3
      } finally {
        ended = true
      }
    }
    const values: number[] = []
    for await (const value of mapUnordered(double, source(), { maxPending: 1 })) {
      values.push(value)
      seen()
      if (values.length === 2) break
    }
    assert.deepEqual(values, [2, 4])
    assert.ok(ended)
    await assert.rejects(mapUnordered(double, failing()).next(), /no more/)
    await assert.rejects(mapUnordered(5 as never, [1]).next(), TypeError)
    await assert.rejects(asCompleted([5 as never]).next(), TypeError)
    await assert.rejects(explain(5 as never), TypeError)
  })

  test('thousands of refs: in a list to get, to wait for, inside a value', async () => {
    const refs = Array.from({ length: 3000 }, (_, i) => (i % 3 === 0 ? put(i) : (identity.remote(i) as ObjectRef<number>)))
    const numbers = Array.from({ length: 3000 }, (_, i) => i)
    const [ready, pending] = await wait(refs, { numReturns: 3000 })
    assert.deepEqual([ready.length, pending.length], [3000, 0])
    assert.deepEqual(await get(refs), numbers)
    const inside = await get(put({ refs }))
    assert.deepEqual(await get(inside.refs), numbers)
    const there = remote(async (list: ObjectRef<number>[]) => (await get(list)).reduce((a, b) => a + b, 0))
    assert.equal(await get(there.remote(refs)), (3000 * 2999) / 2)
  })

  test('values around every limit of size arrive whole', async () => {
    const length = remote((bytes: Uint8Array | string) => [bytes.length, bytes.at(-1)])
    for (const size of [1, 4095, 4096, 4097, 16_383, 65_535, 100 * 1024 - 1, 100 * 1024, 100 * 1024 + 1, 131_072, 1 << 20]) {
      const bytes = new Uint8Array(size).fill(7)
      assert.deepEqual(await get(length.remote(bytes)), [size, 7])
      assert.deepEqual(await get(identity.remote(bytes)), bytes)
      const text = 'y'.repeat(size)
      assert.deepEqual(await get(length.remote(text)), [size, 'y'])
      assert.equal(await get(identity.remote(text)), text)
    }
  })

  test('large arrays are views of the store: no process has a copy of its own', async () => {
    const big = put(Float64Array.from({ length: 64 * 1024 }, (_, i) => i))
    const view = await get(big)
    assert.equal(privatePages(view), 0, 'the pages this process reads are those of the store')
    assert.deepEqual(await get([countPrivate.remote(big), countPrivate.remote(big)]), [0, 0])
    const inside = await get(put({ deep: [{ buffer: Buffer.alloc(8192, 7), floats: new Float32Array(4096) }] }))
    assert.ok(Buffer.isBuffer(inside.deep[0]!.buffer))
    assert.equal(privatePages(inside.deep[0]!.buffer), 0)
    assert.equal(privatePages(inside.deep[0]!.floats), 0)
    for (const value of [{ raw: new Uint8Array(8192).fill(3).buffer }, { raw: new ArrayBuffer(8192), beside: new Uint8Array(8192) }]) {
      const { raw } = await get(put(value))
      assert.equal(raw.byteLength, 8192)
      assert.equal(privatePages(new Uint8Array(raw)), 0)
      release({ raw })
      assert.equal(raw.byteLength, 0)
    }
  })

  test('a stray write stays with the one who made it, and goes with the view', async () => {
    const ref = put(new Int32Array(8192).fill(5))
    const scribble = remote((array: Int32Array) => {
      array.fill(9)
      return array[100]
    })
    assert.equal(await get(scribble.remote(ref)), 9)
    let view = await get(ref)
    assert.ok(
      view.every(each => each === 5),
      'a worker wrote, nobody else sees it',
    )
    view[0] = 1
    assert.equal(view[0], 1)
    class Other {
      read(array: Int32Array) {
        return array[100]
      }
    }
    assert.equal(await get(remote(Other).remote().read.remote(ref)), 5, 'nor does a third process')
    release(view)
    assert.equal(view.length, 0)
    view = await get(ref)
    assert.equal(view[0], 5, 'a later view starts from the object again')
    const small = put(new Uint8Array([1, 2, 3]))
    const copy = await get(small)
    copy[0] = 9
    assert.deepEqual(await get(small), new Uint8Array([1, 2, 3]))
    const plain = put({ n: 1 })
    ;(await get(plain)).n = 2
    assert.deepEqual(await get(plain), { n: 1 })
  })

  test('a view outlives its ref, and its memory is not given away meanwhile', async () => {
    const length = 3 * 4096
    const ref = put(new Uint8Array(length).fill(4))
    const got = await get(ref)
    ref[Symbol.dispose]()
    await collect()
    const others = Array.from({ length: 20 }, (_, i) => put(new Uint8Array(length).fill(100 + i)))
    assert.ok(got.every(each => each === 4))
    got.fill(99)
    for (const [i, other] of others.entries()) assert.ok((await get(other)).every(each => each === 100 + i))
    const part = Buffer.from(got.buffer, got.byteOffset, 1)
    release(got)
    assert.equal(part.length, 0)
    assert.ok((await get(put(new Uint8Array(length).fill(5)))).every(each => each === 5))
  })

  test('release ends the view of this process, twice is once, and the object stays', async () => {
    const ref = put({ a: new Float64Array(2000).fill(1), b: [new Uint8Array(5000).fill(2)], small: new Uint8Array([3]) })
    const value = await get(ref)
    release(value)
    assert.equal(value.a.length, 0)
    assert.equal(value.b[0]!.length, 0)
    release(value)
    const again = await get(ref)
    assert.equal(again.a[1999], 1)
    assert.equal(again.b[0]![4999], 2)
    assert.deepEqual(again.small, new Uint8Array([3]))
  })

  test('aliases and cycles inside one value are kept, also in shared memory', async () => {
    const shared = new Float64Array(4096).fill(1)
    const list = [1]
    const value = { a: shared, b: shared, part: shared.subarray(8, 16), x: list, y: list, self: null as unknown }
    value.self = value
    for (const got of [await get(put(value)), (await get(identity.remote(value))) as typeof value]) {
      assert.equal(got.a, got.b)
      assert.equal(got.part.buffer, got.a.buffer)
      assert.equal(got.part.byteOffset - got.a.byteOffset, 64)
      assert.equal(got.x, got.y)
      assert.equal(got.self, got)
    }
  })

  test('an array that was neither sealed nor aborted gives its memory back when it is forgotten', async () => {
    // Together far more than the store holds.
    for (let i = 0; i < 12; i++) {
      createArray(Float64Array, 8_000_000).array[0] = i
      await collect()
    }
    const { array, seal } = createArray(Uint8Array, 8)
    array.fill(7)
    await collect()
    assert.deepEqual(await get(seal()), new Uint8Array(8).fill(7))
  })

  test('createArray: written in shared memory, sealed without a copy', async () => {
    const builder = createArray(Float64Array, 50_000)
    assert.equal(builder.array.length, 50_000)
    assert.ok(builder.array instanceof Float64Array)
    for (let i = 0; i < builder.array.length; i++) builder.array[i] = i
    const written = builder.array
    const ref = builder.seal()
    assert.equal(written.length, 0, 'no one writes to a sealed object')
    const got = (await get(ref)) as Float64Array
    assert.ok(got instanceof Float64Array)
    assert.equal(got[49_999], 49_999)
    assert.equal(privatePages(got), 0)
    assert.equal(await get(remote((array: Float64Array) => array.at(-1)).remote(ref as ObjectRef<Float64Array>)), 49_999)

    const aborted = createArray(Uint8Array, 10_000)
    const memory = aborted.array
    aborted.abort()
    assert.equal(memory.length, 0)
    const small = createArray(Int16Array, 3)
    small.array.set([1, 2, 3])
    assert.deepEqual(await get(small.seal()), new Int16Array([1, 2, 3]))
    assert.deepEqual(await get(createArray(BigInt64Array, 0).seal()), new BigInt64Array(0))
    const listed = createArray(Float64Array, 50_000).seal()
    const row = (await state.listObjects()).find(each => each.objectId === listed.id)
    assert.match(String(row?.callSite), /objects\.test\.ts/)
    assert.throws(() => createArray(Uint8Array, -1), RangeError)
    assert.throws(
      () => createArray(Uint8Array, 1.5),
      error => error instanceof RangeError || error instanceof TypeError,
    )
    assert.throws(() => createArray(Array as never, 1), TypeError)
  })

  test('an Arrow table keeps its types and its columns are views', async () => {
    const table = tableFromArrays({
      id: Int32Array.from({ length: 5000 }, (_, i) => i),
      score: Float64Array.from({ length: 5000 }, (_, i) => i / 2),
      name: Array.from({ length: 5000 }, (_, i) => `n${i % 10}`),
    })
    const ref = put(table)
    const got = await get(ref)
    assert.equal(got.numRows, 5000)
    assert.deepEqual(got.schema.fields.map(String), table.schema.fields.map(String))
    assert.equal(got.getChild('score')!.get(4999), 2499.5)
    assert.equal(got.getChild('name')!.get(13), 'n3')
    assert.equal(privatePages(got.getChild('score')!.data[0]!.values), 0)
    const sum = remote(
      (t: typeof table) =>
        t
          .getChild('id')!
          .toArray()
          .reduce((a: number, b: number) => a + b, 0) as number,
    )
    assert.equal(await get(sum.remote(ref)), (5000 * 4999) / 2)
    const batch = table.batches[0]!
    assert.equal((await get(put(batch))).numRows, batch.numRows)
  })
})

// biome-ignore lint/correctness/useYield: a source that fails before its first item
async function* failing(): AsyncGenerator<number> {
  throw new Error('no more')
}
