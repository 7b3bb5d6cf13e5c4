// SPDX-License-Identifier: Apache-2.0
// What a call carries: many arguments, refused ones, and arguments that run code of their own.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { get, type ObjectRef, put, remote } from 'eagleray'
import { native } from '#lib/native.js'
import { collect } from './programs/by-reference.js'
import { begin, end, sessionTraces, waitFor } from './support.js'

const countAll = remote((...all: unknown[]) => all.length)

class Taker {
  taken: number
  constructor(...all: unknown[]) {
    this.taken = all.length
  }
  take(...all: unknown[]) {
    return [this.taken, all.length]
  }
}

suite('calls', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('more arguments than fit one packet, of tasks, constructors and methods', async () => {
    const texts = Array.from({ length: 300 }, (_, i) => `${i}`.padEnd(4000, '.'))
    const numbers = Array.from({ length: 20_000 }, (_, i) => i)
    assert.equal(await get(countAll.remote(...texts)), 300)
    assert.equal(await get(countAll.remote(...numbers)), 20_000)
    assert.equal(await get(countAll.remote(...numbers.map(each => put(each)))), 20_000)
    const last = remote((...all: string[]) => all.at(-1))
    assert.equal(await get(last.remote(...texts)), texts.at(-1))
    // Refs whose values travel in the message.
    const large = Array.from({ length: 10 }, (_, i) => remote((n: number) => `${n}`.repeat(90_000)).remote(i))
    assert.equal(await get(last.remote(...large)), '9'.repeat(90_000))

    const taker = remote(Taker).remote(...texts)
    assert.deepEqual(await get(taker.take.remote(...numbers)), [300, 20_000])
  })

  test('a string result of any length is an argument like any other, here and for who borrows it', async () => {
    const repeat = remote((letter: string, n: number) => letter.repeat(n))
    const length = remote((text: string) => text.length)
    const borrowed = remote(async ({ ref }: { ref: ObjectRef<string> }) => (await get(ref)).length)
    for (const letter of ['a', 'é', '\ud800'])
      for (const n of [0, 4095, 4096, 4097, 30_000]) {
        const text = repeat.remote(letter, n)
        assert.equal(await get(text), letter.repeat(n))
        assert.deepEqual(await get([length.remote(text), borrowed.remote({ ref: text })]), [n, n])
      }
  })

  test('more than a frame can count is refused', () => {
    const numbers = Array.from({ length: 65_536 }, (_, i) => i)
    assert.throws(() => countAll.remote(...numbers), /RangeError: a call takes at most 65535 arguments, not 65536/)
    assert.throws(() => remote(Taker).remote(...numbers), RangeError)
  })

  test('a getter of an argument may make calls', async () => {
    const box = {
      get sum() {
        return countAll.remote('a longer text than what follows', 2)
      },
      after: 7,
    }
    const unpack = remote(async (first: string, { sum, after }: { sum: ObjectRef<number>; after: number }, last: string) => {
      return [first, await get(sum), after, last]
    })
    assert.deepEqual(await get(unpack.remote('first', box, 'last')), ['first', 2, 7, 'last'])
  })

  test('a refused call holds nothing of what it was given', async () => {
    const taker = remote(Taker).remote()
    const attempts: ((...args: unknown[]) => unknown)[] = [
      (...args) => countAll.remote(...args),
      (...args) => taker.take.remote(...args),
      (...args) => remote(Taker).remote(...args),
    ]
    const before = await objectsInStore()
    for (const attempt of attempts) {
      const ref = put(new Float64Array(50_000))
      // The second argument goes through the store too, on behalf of the call alone.
      assert.throws(() => attempt(ref, new Float64Array(50_000), [ref], new WeakMap()), /args\[3\]: a WeakMap cannot be serialised/)
      ref[Symbol.dispose]()
    }
    await waitFor(async () => (await objectsInStore()) === before, 'nothing new in the store')
  })

  test('results of which one cannot travel leave nothing in the store', async () => {
    const before = await objectsInStore()
    const pair = remote(() => [new Float64Array(50_000), new WeakMap()] as const, { numReturns: 2 })
    const [first, second] = pair.remote()
    await assert.rejects(get(first), /return value\[1\]: a WeakMap cannot be serialised/)
    await assert.rejects(get(second))
    assert.equal(await objectsInStore(), before)
  })
})

async function objectsInStore(): Promise<number> {
  await collect()
  const folders = sessionTraces().folders.flatMap(folder => [folder, join(folder, 'store')])
  const store = native.openStore(folders.find(folder => existsSync(join(folder, 'segment')))!)
  try {
    return store.stats().objects
  } finally {
    store.close()
  }
}
