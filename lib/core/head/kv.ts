// SPDX-License-Identifier: Apache-2.0
// Small values by namespace and key, for whoever wants to leave one: bounded in bytes, and kept like all else. A put
// that comes again, because the head died before its answer arrived, is answered as the first time.

import { limits } from '../../options.js'
import type { KvAnswer, KvDelete, KvGet, KvList, KvPut, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { HeadEffect } from './events.js'
import { rowsOf, type Tables } from './tables.js'

interface Row {
  namespace: string
  key: string
  value: Uint8Array
  /** The request that wrote it. */
  by: string
}

type Request = KvPut | KvGet | KvDelete | KvList

export class KeyValues {
  readonly #rows = new Map<string, Row>()
  #bytes = 0

  restore(tables: Tables): void {
    for (const [, row] of rowsOf<Row>(tables, 'kv')) this.#set(row)
  }

  handle(from: WorkerId, message: Request, out: HeadEffect[]): void {
    const answer: KvAnswer = { is: 'kvAnswer', request: message.request, done: false, value: null, keys: [], error: null }
    out.push({ is: 'send', to: from, message: { ...answer, ...this.#answer(from, message, out) } })
  }

  invariants(): void {
    let bytes = 0
    for (const row of this.#rows.values()) bytes += sizeOf(row)
    assert(bytes === this.#bytes && bytes <= limits.kvBytesMax, 'the bytes of the key-values are miscounted')
  }

  #answer(from: WorkerId, message: Request, out: HeadEffect[]): Partial<KvAnswer> {
    if (message.is === 'kvPut') return this.#put(`${from}:${message.request}`, message, out)
    if (message.is === 'kvList') return { done: true, keys: this.#list(message) }
    const id = idOf(message.namespace, message.key)
    const row = this.#rows.get(id)
    if (message.is === 'kvGet') return { done: row !== undefined, value: row?.value ?? null }
    if (row === undefined) return { done: false }
    this.#rows.delete(id)
    this.#bytes -= sizeOf(row)
    out.push({ is: 'persist', table: 'kv', key: id, row: null })
    return { done: true }
  }

  #put(by: string, { namespace, key, value, overwrite }: KvPut, out: HeadEffect[]): Partial<KvAnswer> {
    const old = this.#rows.get(idOf(namespace, key))
    if (old?.by === by) return { done: true }
    if (old !== undefined && !overwrite) return { done: false }
    const row = { namespace, key, value, by }
    const bytes = this.#bytes + sizeOf(row) - (old === undefined ? 0 : sizeOf(old))
    if (bytes > limits.kvBytesMax) {
      const error = `the key-values of the cluster may take ${limits.kvBytesMax} bytes in all, and with ${JSON.stringify(key)} they would take ${bytes}`
      return { error }
    }
    this.#set(row)
    out.push({ is: 'persist', table: 'kv', key: idOf(namespace, key), row })
    return { done: true }
  }

  #list({ namespace, prefix }: KvList): string[] {
    const keys: string[] = []
    for (const row of this.#rows.values()) if (row.namespace === namespace && row.key.startsWith(prefix)) keys.push(row.key)
    return keys.sort()
  }

  #set(row: Row): void {
    const id = idOf(row.namespace, row.key)
    const old = this.#rows.get(id)
    if (old !== undefined) this.#bytes -= sizeOf(old)
    this.#rows.set(id, row)
    this.#bytes += sizeOf(row)
  }
}

/** Readable, and different for different pairs. */
function idOf(namespace: string, key: string): string {
  return `${encodeURIComponent(namespace)}/${key}`
}

function sizeOf({ namespace, key, value, by }: Row): number {
  return 2 * (namespace.length + key.length) + by.length + value.byteLength
}
