// SPDX-License-Identifier: Apache-2.0
// Rows as text: JSON that people can read, with bytes as { "$bytes": base64 }. Keys of objects that begin with `$` get another one.

import { Buffer } from 'node:buffer'

const BYTES = '$bytes'

export function toText(row: unknown): string {
  return JSON.stringify(plain(row))
}

export function fromText(text: string): unknown {
  return rich(JSON.parse(text))
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { [BYTES]: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') }
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key.startsWith('$') ? `$${key}` : key, plain(each)]))
}

function rich(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rich)
  if (typeof value !== 'object' || value === null) return value
  const bytes = (value as Record<string, unknown>)[BYTES]
  if (typeof bytes === 'string') return new Uint8Array(Buffer.from(bytes, 'base64'))
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key.startsWith('$') ? key.slice(1) : key, rich(each)]))
}
