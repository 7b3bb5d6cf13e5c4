// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { LinkFrame } from '#lib/core/link/frame.js'
import { WireError } from '#lib/errors.js'
import { decodeLinkFrame, encodeLinkFrame, LINK_HEADER_BYTES, newPacket } from '#lib/wire/link-frames.js'

const kinds = ['hello', 'welcome', 'data', 'ack', 'again', 'probe', 'stranger', 'refused'] as const

suite('link frames', () => {
  test('every kind arrives as it was sent', () => {
    for (const kind of kinds) {
      const packet = kind === 'data' ? newPacket(5).fill(9, LINK_HEADER_BYTES) : null
      const frame = { kind, from: 2 ** 32 - 1, to: 1, received: 2 ** 50, number: 2 ** 53 - 1, packet } as LinkFrame<Uint8Array>
      const bytes = encodeLinkFrame(frame, packet === null ? new Uint8Array([1, 2]) : null)
      const decoded = decodeLinkFrame(bytes)
      assert.ok(!(decoded instanceof WireError))
      assert.deepEqual({ ...decoded, packet: null }, { ...frame, packet: null })
      assert.deepEqual([...bytes.subarray(LINK_HEADER_BYTES)], packet === null ? [1, 2] : [9, 9, 9, 9, 9])
      assert.equal(decoded.packet !== null, kind === 'data')
    }
  })

  test('a packet is sent in its own memory once; after that its sender may still read it, and a copy is written', () => {
    const packet = newPacket(3)
    const frame = (number: number): LinkFrame<Uint8Array> => ({ kind: 'data', from: 1, to: 2, received: 0, number, packet })
    const first = encodeLinkFrame(frame(1), null)
    assert.equal(first.buffer, packet.buffer)
    const before = first.slice()
    const second = encodeLinkFrame({ ...frame(1), received: 5 }, null)
    assert.notEqual(second.buffer, packet.buffer)
    assert.deepEqual(first, before)
    const decoded = decodeLinkFrame(second)
    assert.ok(!(decoded instanceof WireError) && decoded.received === 5)
  })

  test('property: any bytes give a frame or an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
        const decoded = decodeLinkFrame(bytes)
        if (decoded instanceof WireError) return
        assert.ok(bytes.length >= LINK_HEADER_BYTES && Number.isSafeInteger(decoded.received) && decoded.number >= 0)
      }),
    )
    const counts = encodeLinkFrame({ kind: 'ack', from: 1, to: 2, received: 0.5, number: 0, packet: null }, null)
    assert.ok(decodeLinkFrame(counts) instanceof WireError)
  })
})
