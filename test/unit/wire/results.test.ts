// SPDX-License-Identifier: Apache-2.0
// Replies and values as they arrive: what a peer sends gives an outcome, a WireError or a RangeError, and nothing else.

import assert from 'node:assert/strict'
import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { WireError } from '#lib/errors.js'
import type { Fetches } from '#lib/run/fetches.js'
import { bringArguments, decodeArguments, type IncomingTask, readTask } from '#lib/run/incoming.js'
import { readReply, readValue } from '#lib/run/results.js'
import { beginReply, FORM, FRAME_HEADER_BYTES, NO_CLAIM, type PacketBuffer, REPLY_FLAG, STATUS, writeTaskHeader } from '#lib/wire/frames.js'
import { workerIdOf } from '../../fakes/cluster.js'

const FROM = workerIdOf(4)
const OWNER = workerIdOf(5)

function reply(contained: unknown, bodyMs = 2.5): Uint8Array {
  const bytes = new Uint8Array(4096)
  const packet: PacketBuffer = { bytes, view: new DataView(bytes.buffer), length: 0 }
  beginReply(packet, STATUS.ok, REPLY_FLAG.contained, 3, 77, 1, bodyMs)
  bytes[packet.length] = FORM.stored
  packet.view.setFloat64(packet.length + 1, 9, true)
  const tail = encode(contained)
  bytes.set(tail, packet.length + 9)
  return bytes.slice(FRAME_HEADER_BYTES, packet.length + 9 + tail.length)
}

const read = (bytes: Uint8Array) => readReply(FROM, bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length)

function refused(run: () => unknown): boolean {
  try {
    run()
    return false
  } catch (error) {
    assert.ok(error instanceof WireError || error instanceof RangeError, `${(error as Error).stack}`)
    return true
  }
}

suite('results on the wire', () => {
  test('the refs inside a result arrive with their owners', () => {
    const got = read(
      reply([
        [
          [OWNER, false, [1, 2]],
          [OWNER, true, [3]],
        ],
      ]),
    )
    assert.deepEqual([got.task, got.claim, got.status, got.bodyMs], [77, 3, 'ok', 2.5])
    assert.deepEqual(got.results, [{ form: 'stored', sizeBytes: 9, node: 'aaaaaaaaaa' }])
    const expected = [
      [1, false],
      [2, false],
      [3, true],
    ] as const
    assert.deepEqual(got.contained, [expected.map(([seq, isActor]) => ({ owner: OWNER, seq, isActor }))])
  })

  test('what a body took is a length of time', () => {
    for (const ms of [Number.NaN, -1, Number.POSITIVE_INFINITY])
      assert.ok(
        refused(() => read(reply([[]], ms))),
        `${ms}`,
      )
  })

  test('lists of refs that are none are refused', () => {
    const none = [
      3,
      {},
      null,
      [3],
      [[3]],
      [[[OWNER, false, 3]]],
      [[[3, false, [1]]]],
      [[[OWNER, false, ['1']]]],
      [[['short', false, [1]]]],
      [[['x'.repeat(24), false, [1]]]],
      [[[OWNER, false, [-1]]]],
      [[[OWNER, false, [2 ** 53]]]],
    ]
    for (const each of none)
      assert.ok(
        refused(() => read(reply(each))),
        JSON.stringify(each),
      )
  })

  test('numbers that are none of a task, of an object or of bytes are refused', () => {
    const none = [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 53]
    const fieldsOfReply = [4, 15]
    for (const at of fieldsOfReply) {
      for (const number of none) {
        const bytes = reply([[]])
        new DataView(bytes.buffer).setFloat64(at, number, true)
        assert.ok(
          refused(() => read(bytes)),
          `reply, ${at}: ${number}`,
        )
      }
    }
    for (const at of [1, 9]) {
      for (const number of none) {
        const bytes = new Uint8Array(17)
        bytes[0] = STATUS.stored
        new DataView(bytes.buffer).setFloat64(at, number, true)
        assert.ok(
          refused(() => readValue(bytes, new DataView(bytes.buffer), 0, 17)),
          `value, ${at}: ${number}`,
        )
      }
    }
    const alias = new Uint8Array(37)
    alias[0] = STATUS.alias
    const readAlias = () => readValue(alias, new DataView(alias.buffer), 0, alias.length)
    assert.equal(readAlias().outcome.form, 'alias')
    alias.fill(0xff, 29)
    assert.ok(refused(readAlias), 'an object that no owner can have')
  })

  test('tasks of no number, of no claim word, and with arguments that are no objects are refused', () => {
    const task = (number: number, claim: number, id: number): IncomingTask => {
      const bytes = new Uint8Array(100)
      const packet: PacketBuffer = { bytes, view: new DataView(bytes.buffer), length: 0 }
      const header = { flags: 0, claim, task: number, lease: 1, code: 0, returns: 1, attempt: 0, argCount: 1 }
      const at = writeTaskHeader(packet, header, 21)
      bytes[at] = FORM.stored
      bytes.fill(id, at + 13, at + 21)
      return readTask(null as never, bytes, packet.view, FRAME_HEADER_BYTES, at + 21)
    }
    const asked: string[] = []
    const fetches = { ahead: (id: string) => void asked.push(id) } as unknown as Fetches
    bringArguments(task(7, 255, 0), fetches)
    bringArguments(task(7, NO_CLAIM, 0), fetches)
    assert.deepEqual(asked, ['0'.repeat(40), '0'.repeat(40)])
    for (const number of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 53])
      assert.ok(
        refused(() => task(number, 0, 0)),
        `${number}`,
      )
    for (const claim of [256, 300, NO_CLAIM - 1])
      assert.ok(
        refused(() => task(1, claim, 0)),
        `${claim}`,
      )
    assert.ok(refused(() => bringArguments(task(1, 0, 0xff), fetches)))
    assert.ok(refused(() => decodeArguments(task(1, 0, 0xff).args, 1, null as never, () => {})))
  })

  test('property: any reply or value gives an outcome or an error of the wire', () => {
    const good = reply([[[OWNER, false, [1]]]])
    const mutated = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }).map(changes => {
      const bytes = good.slice()
      for (const [at, to] of changes) bytes[at] = to
      return bytes
    })
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 80 })), fc.nat(100), (bytes, cut) => {
        for (const each of [bytes, bytes.slice(0, cut)]) {
          refused(() => read(each))
          refused(() => readValue(each, new DataView(each.buffer), 0, each.length))
        }
      }),
      { numRuns: 2000 },
    )
  })
})
