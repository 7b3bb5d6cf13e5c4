// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import type { HeadEffect } from '#lib/core/head/events.js'
import { KeyValues } from '#lib/core/head/kv.js'
import { limits } from '#lib/options.js'
import type { KvAnswer, KvDelete, KvGet, KvList, KvPut } from '#lib/wire/messages.js'

class Bench {
  readonly kv = new KeyValues()
  readonly rows = new Map<string, unknown>()

  ask(message: KvPut | KvGet | KvDelete | KvList, from = 'a'): KvAnswer {
    const out: HeadEffect[] = []
    this.kv.handle(from, message, out)
    this.kv.invariants()
    for (const effect of out) {
      if (effect.is !== 'persist') continue
      if (effect.row === null) this.rows.delete(effect.key)
      else this.rows.set(effect.key, effect.row)
    }
    const sent = out.find(effect => effect.is === 'send')
    return sent?.message as KvAnswer
  }

  put(key: string, value: number[] | Uint8Array, more: Partial<KvPut> = {}): KvAnswer {
    return this.ask({ is: 'kvPut', request: 1, namespace: 'n', key, value: Uint8Array.from(value), overwrite: true, ...more })
  }

  get(key: string, namespace = 'n'): number[] | null {
    const { value } = this.ask({ is: 'kvGet', request: 9, namespace, key })
    return value === null ? null : [...value]
  }
}

suite('key-values', () => {
  test('put, get, delete and list, each in its namespace', () => {
    const bench = new Bench()
    assert.equal(bench.put('a/1', [1]).done, true)
    bench.put('a/2', [2], { request: 2 })
    bench.put('a/1', [3], { request: 3, namespace: 'other' })
    assert.deepEqual([bench.get('a/1'), bench.get('a/1', 'other'), bench.get('none')], [[1], [3], null])
    assert.deepEqual(bench.ask({ is: 'kvList', request: 4, namespace: 'n', prefix: 'a/' }).keys, ['a/1', 'a/2'])
    assert.equal(bench.ask({ is: 'kvDelete', request: 5, namespace: 'n', key: 'a/1' }).done, true)
    assert.equal(bench.ask({ is: 'kvDelete', request: 6, namespace: 'n', key: 'a/1' }).done, false)
    assert.deepEqual([...bench.rows.keys()].sort(), ['n/a/2', 'other/a/1'])
  })

  test('without overwrite the first one stays; the same request again is answered as the first time', () => {
    const bench = new Bench()
    const first = { request: 1, overwrite: false }
    assert.equal(bench.put('k', [1], first).done, true)
    assert.equal(bench.put('k', [1], first).done, true)
    assert.equal(bench.put('k', [2], { request: 2, overwrite: false }).done, false)
    assert.deepEqual(bench.get('k'), [1])
  })

  test('more than fits is refused, and room comes back', () => {
    const bench = new Bench()
    const half = new Uint8Array(limits.kvBytesMax / 2)
    assert.equal(bench.put('a', half).error, null)
    assert.match(bench.put('b', half, { request: 2 }).error ?? '', /may take \d+ bytes in all, and with "b" they would take/)
    bench.ask({ is: 'kvDelete', request: 3, namespace: 'n', key: 'a' })
    assert.equal(bench.put('b', half, { request: 4 }).done, true)
  })

  test('what was kept is there again', () => {
    const bench = new Bench()
    bench.put('k', [1, 2])
    const again = new Bench()
    again.kv.restore(new Map([['kv', bench.rows]]))
    again.kv.invariants()
    assert.deepEqual(again.get('k'), [1, 2])
  })
})
