// SPDX-License-Identifier: Apache-2.0
// The bytes of a data connection after the handshake, little endian. Answers come in any order.
//
//   question   request 4 | length 4 | offset 8 | object 20
//   answer     request 4 | status 1 | zero 3 | length 4, then that many bytes

import type { Piece } from './channel.js'

export const QUESTION_BYTES = 36
export const ANSWER_HEAD_BYTES = 12
export const ANSWER = { bytes: 0, missing: 1, busy: 2 } as const

export function writeQuestion(request: number, { id, offset, length }: Piece): Buffer {
  const bytes = Buffer.alloc(QUESTION_BYTES)
  bytes.writeUInt32LE(request, 0)
  bytes.writeUInt32LE(length, 4)
  bytes.writeDoubleLE(offset, 8)
  bytes.write(id, 16, 'hex')
  return bytes
}

export function readQuestion(bytes: Buffer): Piece & { request: number } {
  return {
    request: bytes.readUInt32LE(0),
    length: bytes.readUInt32LE(4),
    offset: bytes.readDoubleLE(8),
    id: bytes.toString('hex', 16, QUESTION_BYTES),
  }
}

export function writeAnswerHead(request: number, status: number, length: number): Buffer {
  const bytes = Buffer.alloc(ANSWER_HEAD_BYTES)
  bytes.writeUInt32LE(request, 0)
  bytes[4] = status
  bytes.writeUInt32LE(length, 8)
  return bytes
}

export function readAnswerHead(bytes: Buffer): { request: number; status: number; length: number } {
  return { request: bytes.readUInt32LE(0), status: bytes[4] as number, length: bytes.readUInt32LE(8) }
}
