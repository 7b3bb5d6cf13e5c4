// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  beginReply,
  beginValue,
  endFrame,
  FRAME,
  FRAME_HEADER_BYTES,
  type PacketBuffer,
  REPLY_HEADER_BYTES,
  readHex,
  readTaskHeader,
  TASK_HEADER_BYTES,
  VALUE_HEADER_BYTES,
  writeObjectId,
  writeTaskHeader,
} from '#lib/wire/frames.js'

function packet(length = 0): PacketBuffer {
  const bytes = new Uint8Array(4096)
  return { bytes, view: new DataView(bytes.buffer), length }
}

const u16 = fc.nat(0xffff)
const u32 = fc.nat(0xffffffff)
const seq = fc.nat(Number.MAX_SAFE_INTEGER)
const header = fc.record(
  { flags: fc.nat(255), claim: u16, task: seq, lease: u32, code: u32, returns: u16, attempt: fc.nat(255), argCount: u16 },
  { noNullPrototype: true },
)

suite('frames', () => {
  test('property: a task header arrives as it was written, wherever in the packet', () => {
    fc.assert(
      fc.property(header, fc.nat(500), fc.nat(100), (task, start, argBytes) => {
        const to = packet(start)
        assert.equal(writeTaskHeader(to, task, argBytes), start + TASK_HEADER_BYTES)
        assert.equal(to.length, start + TASK_HEADER_BYTES + argBytes)
        assert.equal(to.view.getUint32(start, true), to.length - start - 4)
        assert.equal(to.bytes[start + 4], FRAME.task)
        assert.deepEqual(readTaskHeader(to.view, start + FRAME_HEADER_BYTES), task)
        assert.ok(to.bytes.subarray(0, start).every(byte => byte === 0))
      }),
    )
  })

  test('property: replies and values say how long they are, and what follows is untouched', () => {
    fc.assert(
      fc.property(fc.nat(3), u16, seq, u16, fc.nat(200), fc.nat(100_000), (status, claim, task, returns, body, bodyMs) => {
        const to = packet()
        const reply = beginReply(to, status, 1, claim, task, returns, bodyMs)
        assert.equal(to.length, REPLY_HEADER_BYTES)
        to.length += body
        endFrame(to, reply)
        const value = beginValue(to, status, task, body)
        assert.equal(to.length - value, VALUE_HEADER_BYTES)
        endFrame(to, value)
        assert.equal(to.view.getUint32(reply, true), REPLY_HEADER_BYTES - 4 + body)
        assert.equal(to.view.getUint32(value, true), VALUE_HEADER_BYTES - 4)
        const at = FRAME_HEADER_BYTES
        const read = [
          to.bytes[4],
          to.bytes[at],
          to.bytes[at + 1],
          to.view.getUint16(at + 2, true),
          to.view.getFloat64(at + 4, true),
          to.view.getUint16(at + 12, true),
          to.view.getFloat32(at + 14, true),
        ]
        assert.deepEqual(read, [FRAME.reply, status, 1, claim, task, returns, bodyMs])
        assert.deepEqual(
          [to.bytes[value + 4], to.bytes[value + 5], to.view.getFloat64(value + 6, true), to.view.getFloat64(value + 14, true)],
          [FRAME.value, status, task, body],
        )
      }),
    )
  })

  test('property: object ids survive', () => {
    const digits = fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: 40, maxLength: 40 }).map(all => all.join(''))
    fc.assert(
      fc.property(digits, fc.nat(20), (id, at) => {
        const bytes = new Uint8Array(60)
        writeObjectId(bytes, at, id)
        assert.equal(readHex(bytes, at, 20), id)
      }),
    )
  })
})
