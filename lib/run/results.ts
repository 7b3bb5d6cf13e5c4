// SPDX-License-Identifier: Apache-2.0
// Results between processes: reading reply and value frames into outcomes, and writing a settled entry as a value frame.

import { decode } from '@msgpack/msgpack'
import { decodeSmall, encodeSmall, NOT_SMALL, SMALL_BYTES_MAX } from '../codec/value.js'
import { type Entry, STATE } from '../core/owner/entry.js'
import type { ContainedRef, Outcome } from '../core/owner/outcome.js'
import type { TaskReply } from '../core/owner/tasks.js'
import { WireError } from '../errors.js'
import { isOwnedId, isWorkerId, nodeOf } from '../ids.js'
import type { Mesh, Peer } from '../io/mesh.js'
import { beginValue, endFrame, FORM, REPLY_FLAG, readHex, STATUS, VALUE_HEADER_BYTES, writeObjectId } from '../wire/frames.js'
import type { WorkerId } from '../wire/messages.js'

const STATUS_NAMES = ['ok', 'error', 'revoked', 'cancelled'] as const

function outcome(bytes: Uint8Array, view: DataView, at: number, length: number): Outcome {
  // A value that is kept as such must be encoded again when it is an argument or another process asks for it.
  const value = length > SMALL_BYTES_MAX ? NOT_SMALL : decodeSmall(bytes, view, at, length)
  if (value !== NOT_SMALL) return { form: 'plain', value }
  return { form: 'inline', envelope: bytes.slice(at, at + length) }
}

/** Reads a reply's body. Throws WireError (or RangeError, when cut short) for what is not one. */
export function readReply(from: WorkerId, bytes: Uint8Array, view: DataView, at: number, end: number): TaskReply {
  const status = STATUS_NAMES[view.getUint8(at)]
  if (status === undefined) throw new WireError(`a reply has status ${view.getUint8(at)}`)
  const flags = view.getUint8(at + 1)
  const claim = view.getUint16(at + 2, true)
  const task = countAt(view, at + 4)
  const count = view.getUint16(at + 12, true)
  const bodyMs = view.getFloat32(at + 14, true)
  if (!(bodyMs >= 0 && bodyMs < Number.POSITIVE_INFINITY)) throw new WireError(`a body took ${bodyMs} ms`)
  const results: Outcome[] = []
  let next = at + 18
  for (let i = 0; i < count; i++) {
    const form = view.getUint8(next)
    if (form === FORM.stored) {
      results.push({ form: 'stored', sizeBytes: countAt(view, next + 1), node: nodeOf(from) })
      next += 9
    } else if (form === FORM.alias) {
      if (next + 29 > end) throw new WireError('a result is longer than its reply')
      results.push({ form: 'alias', sizeBytes: countAt(view, next + 1), id: idAt(bytes, next + 9) })
      next += 29
    } else {
      const length = view.getUint32(next + 1, true)
      if (next + 5 + length > end) throw new WireError('a result is longer than its reply')
      results.push(
        status === 'ok' ? outcome(bytes, view, next + 5, length) : { form: 'failed', error: bytes.slice(next + 5, next + 5 + length) },
      )
      next += 5 + length
    }
  }
  if (next > end) throw new WireError('a reply is cut short')
  if (status === 'error' && count === 0) throw new WireError('a reply tells of an error and has none')
  const contained = (flags & REPLY_FLAG.contained) !== 0 ? readContained(bytes.subarray(next, end)) : null
  return { is: 'reply', from, claim, task, status, results, contained, retry: false, bodyMs }
}

/** A sequence number, or a size in bytes. */
function countAt(view: DataView, at: number): number {
  const count = view.getFloat64(at, true)
  if (!Number.isSafeInteger(count) || count < 0) throw new WireError(`${count} is no number of an object, and no size of one`)
  return count
}

function idAt(bytes: Uint8Array, at: number): string {
  const id = readHex(bytes, at, 20)
  if (!isOwnedId(id)) throw new WireError(`${id} names no object`)
  return id
}

/** Refs inside results: a list for each, of owner, then whether actors, then numbers. */
function readContained(bytes: Uint8Array): ContainedRef[][] {
  let lists: unknown
  try {
    lists = decode(bytes.slice())
  } catch (error) {
    throw new WireError(`the refs inside a result are not MessagePack: ${(error as Error).message}`)
  }
  return listOf(lists, groups => listOf(groups, readGroup).flat())
}

function readGroup(group: unknown): ContainedRef[] {
  const [owner, isActor, seqs] = listOf(group, each => each)
  if (typeof owner !== 'string' || !isWorkerId(owner) || typeof isActor !== 'boolean')
    throw new WireError('refs inside a result name no owner')
  return listOf(seqs, seq => {
    if (!Number.isSafeInteger(seq) || (seq as number) < 0) throw new WireError('a ref inside a result has no number')
    return { owner, seq: seq as number, isActor }
  })
}

function listOf<T>(value: unknown, read: (each: unknown) => T): T[] {
  if (!Array.isArray(value)) throw new WireError('the refs inside a result are not a list')
  return value.map(read)
}

/** The grouping `readContained` reads. */
export function groupContained(self: WorkerId, entries: Entry[]): [string, boolean, number[]][] {
  const groups: [string, boolean, number[]][] = []
  for (const entry of entries) {
    const owner = entry.owner ?? self
    const last = groups.at(-1)
    if (last !== undefined && last[0] === owner && last[1] === entry.isActor) last[2].push(entry.seq)
    else groups.push([owner, entry.isActor, [entry.seq]])
  }
  return groups
}

/** Reads a value's body into its sequence number and outcome. */
export function readValue(bytes: Uint8Array, view: DataView, at: number, end: number): { seq: number; outcome: Outcome } {
  if (end < at + 17) throw new WireError('a value is cut short')
  const form = view.getUint8(at)
  const seq = countAt(view, at + 1)
  const sizeBytes = countAt(view, at + 9)
  const start = at + 17
  if (form === STATUS.ok) return { seq, outcome: outcome(bytes, view, start, end - start) }
  if (form === STATUS.error) return { seq, outcome: { form: 'failed', error: bytes.slice(start, end) } }
  if (form === STATUS.stored) return { seq, outcome: { form: 'stored', sizeBytes } }
  if (form === STATUS.alias && end - start === 20) return { seq, outcome: { form: 'alias', sizeBytes, id: idAt(bytes, start) } }
  throw new WireError(`a value has form ${form}`)
}

/** Writes a settled entry for a borrower who asked. */
export function writeValue(mesh: Mesh, peer: Peer, entry: Entry, encodeError: (error: Error) => Uint8Array): void {
  let body: Uint8Array | null = null
  let form: number = STATUS.ok
  if (entry.state === STATE.failed) {
    form = STATUS.error
    body = entry.error instanceof Uint8Array ? entry.error : encodeError(entry.error as Error)
    entry.seen = true
  } else if (entry.state === STATE.stored) {
    form = entry.storedAs === null ? STATUS.stored : STATUS.alias
    if (entry.storedAs !== null) {
      body = new Uint8Array(20)
      writeObjectId(body, 0, entry.storedAs)
    }
  } else body = entry.envelope
  mesh.reserve(peer, VALUE_HEADER_BYTES + (body === null ? 16 * 1024 : body.length))
  const start = beginValue(peer, form, entry.seq, entry.sizeBytes)
  if (body !== null) {
    peer.bytes.set(body, peer.length)
    peer.length += body.length
  } else if (form === STATUS.ok) peer.length += encodeSmall(entry.plain, peer.bytes, peer.view, peer.length)
  endFrame(peer, start)
}
