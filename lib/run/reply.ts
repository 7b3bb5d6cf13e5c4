// SPDX-License-Identifier: Apache-2.0
// Writing the answer to a task: small results into the message, large ones into the store under the caller's id.

import { encode } from '@msgpack/msgpack'
import { encodeThrown } from '../codec/error-value.js'
import { type Encoded, encodeSmall, writeEncoded } from '../codec/value.js'
import type { Entry } from '../core/owner/entry.js'
import { ObjectStoreFullError, OutOfDiskError } from '../errors.js'
import { objectId } from '../ids.js'
import { limits } from '../options.js'
import { beginReply, endFrame, FORM, REPLY_FLAG, REPLY_HEADER_BYTES, STATUS, TASK_FLAG, writeObjectId } from '../wire/frames.js'
import type { IncomingTask } from './incoming.js'
import { groupContained } from './results.js'
import type { Runtime } from './runtime.js'

const SCALAR_BYTES = 32
const STRING_BYTES_MAX = 4096 * 3 + 32

/** Somebody may make room. */
function isFull(error: unknown): boolean {
  return error instanceof ObjectStoreFullError || error instanceof OutOfDiskError
}

export class Replies {
  constructor(private readonly runtime: Runtime) {}

  /** Answers with the value, or with why it cannot be sent. A promise while the store has no room for it. */
  answer(task: IncomingTask, name: string, value: unknown): Promise<void> | null {
    try {
      this.ok(task, value)
    } catch (error) {
      if (isFull(error)) return this.whenRoom(task, name, value, performance.now() + limits.roomWaitMs)
      this.error(task, name, error)
    }
    return null
  }

  /** Everybody has been asked to collect garbage: try until there is room, or the time is over. */
  private async whenRoom(task: IncomingTask, name: string, value: unknown, untilMs: number): Promise<void> {
    for (;;) {
      await new Promise(resolve => setTimeout(resolve, limits.roomRetryMs))
      try {
        this.ok(task, value)
        return
      } catch (error) {
        if (isFull(error) && performance.now() < untilMs) continue
        this.error(task, name, error)
        return
      }
    }
  }

  /** Answers with the returned value (or the values, one a ref). Throws what cannot be encoded; nothing was sent then. */
  private ok(task: IncomingTask, value: unknown): void {
    const { returns } = task.header
    if (returns === 1) return isRemade(task) ? this.several(task, [value]) : this.one(task, value)
    if (returns === 0) return this.plain(task, STATUS.ok)
    const values = Array.isArray(value)
      ? value
      : value !== null && typeof value === 'object' && Symbol.iterator in value
        ? [...(value as Iterable<unknown>)]
        : null
    if (values === null || values.length !== returns) {
      const got = values === null ? `a ${typeof value}` : `${values.length} values`
      throw new RangeError(`numReturns is ${returns}, so the task must return ${returns} values; it returned ${got}`)
    }
    this.several(task, values)
  }

  /** Answers with what the code of the task threw. */
  error(task: IncomingTask, name: string, error: unknown): void {
    let body = encodeThrown(error, name)
    if (body.length > limits.inlineBytesMax)
      body = encodeThrown(new Error(`${String((error as Error)?.message).slice(0, 1000)}… (the error was ${body.length} bytes long)`), name)
    const { mesh } = this.runtime
    const { peer, header } = task
    mesh.reserve(peer, REPLY_HEADER_BYTES + 5 + body.length)
    const start = beginReply(peer, STATUS.error, 0, header.claim, header.task, 1, task.bodyMs)
    this.begin(task, body.length)
    peer.bytes.set(body, peer.length)
    peer.length += body.length
    endFrame(peer, start)
  }

  /** Passed over because it was taken back, or ended by a cancel. */
  plain(task: IncomingTask, status: number): void {
    const { peer, header } = task
    this.runtime.mesh.reserve(peer, REPLY_HEADER_BYTES)
    endFrame(peer, beginReply(peer, status, 0, header.claim, header.task, 0, task.bodyMs))
  }

  private one(task: IncomingTask, value: unknown): void {
    const { peer, header } = task
    const room = typeof value === 'string' ? STRING_BYTES_MAX : SCALAR_BYTES
    if (typeof value !== 'string' || value.length <= 4096) {
      this.runtime.mesh.reserve(peer, REPLY_HEADER_BYTES + 5 + room)
      const before = peer.length
      const start = beginReply(peer, STATUS.ok, 0, header.claim, header.task, 1, task.bodyMs)
      const size = encodeSmall(value, peer.bytes, peer.view, peer.length + 5)
      if (size > 0) {
        this.begin(task, size)
        peer.length += size
        endFrame(peer, start)
        return
      }
      peer.length = before
    }
    this.several(task, [value])
  }

  /** All or nothing: what was placed in the store before one of the values turned out not to fit or travel goes again. */
  private several(task: IncomingTask, values: unknown[]): void {
    const stored: string[] = []
    try {
      this.place(task, values, stored)
    } catch (error) {
      for (const id of stored) this.runtime.store.delete(id)
      throw error
    }
  }

  /** Each value is encoded and placed before the next, because an Encoded is valid only until then. */
  private place(task: IncomingTask, values: unknown[], stored: string[]): void {
    const { peer, header } = task
    const results: Uint8Array[] = []
    const contained: [string, boolean, number[]][][] = []
    const held: Entry[] = []
    let inlineBytes = 0
    for (let i = 0; i < values.length; i++) {
      const encoded = this.runtime.encoder.encode(values[i], values.length === 1 ? 'return value' : `return value[${i}]`)
      const entries = this.runtime.travel.entriesOf(encoded.references)
      for (const entry of entries) held.push(entry)
      contained.push(groupContained(this.runtime.self, entries))
      const alias = task.stored === null ? null : this.runtime.reader.sourceOf(encoded)
      if (alias !== null && task.stored?.includes(alias) && !isRemade(task)) {
        results.push(aliasResult(alias, encoded.byteLength))
        continue
      }
      const inline = inlineBytes + encoded.byteLength <= limits.inlineBytesMax && !isRemade(task)
      if (inline) inlineBytes += encoded.byteLength
      const id = inline ? null : objectId(peer.workerId, header.task + i)
      results.push(id === null ? inlineResult(encoded) : this.storedResult(id, encoded))
      if (id !== null) stored.push(id)
    }
    const refs = held.length > 0 ? encode(contained) : null
    // A caller that is gone will never say that it has registered them.
    if (held.length > 0 && peer.open) this.runtime.owner.references.holdForCaller(peer.workerId, header.task, held)
    this.write(task, results, refs)
  }

  private write(task: IncomingTask, results: Uint8Array[], refs: Uint8Array | null): void {
    const { peer, header } = task
    const size = results.reduce((sum, result) => sum + result.length, refs?.length ?? 0)
    if (this.runtime.mesh.reserveOrFragment(peer, REPLY_HEADER_BYTES + size)) {
      const start = beginReply(
        peer,
        STATUS.ok,
        refs === null ? 0 : REPLY_FLAG.contained,
        header.claim,
        header.task,
        results.length,
        task.bodyMs,
      )
      for (const result of refs === null ? results : [...results, refs]) {
        peer.bytes.set(result, peer.length)
        peer.length += result.length
      }
      endFrame(peer, start)
      return
    }
    const whole = { bytes: new Uint8Array(REPLY_HEADER_BYTES + size), view: new DataView(new ArrayBuffer(0)), length: 0 }
    whole.view = new DataView(whole.bytes.buffer)
    beginReply(whole, STATUS.ok, refs === null ? 0 : REPLY_FLAG.contained, header.claim, header.task, results.length, task.bodyMs)
    for (const result of refs === null ? results : [...results, refs]) {
      whole.bytes.set(result, whole.length)
      whole.length += result.length
    }
    this.runtime.mesh.sendFrame(peer, whole.bytes.subarray(4))
  }

  private storedResult(id: string, encoded: Encoded): Uint8Array {
    const { puts, store } = this.runtime
    try {
      puts.write(id, encoded)
    } catch (error) {
      if (!exists(error)) throw error
      // An earlier attempt sealed it and died before it could answer.
      if (store.delete(id)) puts.write(id, encoded)
      else this.writeOver(id, encoded)
    }
    const result = new Uint8Array(9)
    result[0] = FORM.stored
    new DataView(result.buffer).setFloat64(1, encoded.byteLength, true)
    return result
  }

  /** The node is still bringing a copy of the value that was lost; it gives that up when it hears so, and when nothing is under way. */
  private writeOver(id: string, encoded: Encoded): void {
    const { puts } = this.runtime
    const until = performance.now() + limits.copyGoneWaitMs
    const nobody = new Int32Array(new SharedArrayBuffer(4))
    for (;;) {
      Atomics.wait(nobody, 0, 0, limits.copyGoneLookMs)
      try {
        return puts.write(id, encoded)
      } catch (error) {
        if (!exists(error) || performance.now() > until) throw error
      }
    }
  }

  private begin(task: IncomingTask, size: number): void {
    const { peer } = task
    peer.view.setUint8(peer.length, FORM.inline)
    peer.view.setUint32(peer.length + 1, size, true)
    peer.length += 5
  }
}

const exists = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ERR_EAGLERAY_OBJECT_EXISTS'

/** Who reads it looks for it in the store, where it was before. */
function isRemade({ header }: IncomingTask): boolean {
  return (header.flags & TASK_FLAG.remake) !== 0
}

/** An argument that comes back as it was is named, not copied. */
function aliasResult(id: string, sizeBytes: number): Uint8Array {
  const result = new Uint8Array(29)
  result[0] = FORM.alias
  new DataView(result.buffer).setFloat64(1, sizeBytes, true)
  writeObjectId(result, 9, id)
  return result
}

function inlineResult(encoded: Encoded): Uint8Array {
  const result = new Uint8Array(5 + encoded.byteLength)
  result[0] = FORM.inline
  new DataView(result.buffer).setUint32(1, encoded.byteLength, true)
  writeEncoded(encoded, result, 5)
  return result
}
