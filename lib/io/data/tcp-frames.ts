// SPDX-License-Identifier: Apache-2.0
// The bytes of a data connection after the handshake, little endian. Answers come in any order.
//
//   question   request 4 | length 4 | offset 8 | object 20
//   answer     request 4 | status 1 | zero 1 | errno 2 | length 4, then that many bytes
//
// `errno` says why what is there cannot be read now, else it is 0.

import { getSystemErrorName } from 'node:util'
import { type Failure, NotNow, type Piece } from './channel.js'

export const QUESTION_BYTES = 36
export const ANSWER_HEAD_BYTES = 12
export const ANSWER = { bytes: 0, missing: 1, busy: 2, notNow: 3 } as const

export interface AnswerHead {
  request: number
  status: number
  errno: number
  length: number
}

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

export function writeAnswerHead(request: number, status: number, length: number, errno = 0): Buffer {
  const bytes = Buffer.alloc(ANSWER_HEAD_BYTES)
  bytes.writeUInt32LE(request, 0)
  bytes[4] = status
  bytes.writeUInt16LE(errno, 6)
  bytes.writeUInt32LE(length, 8)
  return bytes
}

/** Of a piece that cannot be read from its start. */
export function writeUnread(request: number, error: unknown): Buffer {
  if (!(error instanceof NotNow)) return writeAnswerHead(request, ANSWER.missing, 0)
  return writeAnswerHead(request, ANSWER.notNow, 0, Math.min(0xffff, Math.abs(error.errno)))
}

export function readAnswerHead(bytes: Buffer): AnswerHead {
  return { request: bytes.readUInt32LE(0), status: bytes[4] as number, errno: bytes.readUInt16LE(6), length: bytes.readUInt32LE(8) }
}

/** What an answer without bytes says; null where it is none. */
export function failureOf({ status, errno, length }: AnswerHead): Failure | null {
  if (length !== 0) return null
  if (status === ANSWER.missing) return { missing: true, why: 'it has no copy' }
  if (status === ANSWER.busy) return { missing: false, why: 'it serves too many others' }
  if (status !== ANSWER.notNow) return null
  const name = errno === 0 ? '' : ` (${getSystemErrorName(-errno)})`
  return { missing: false, why: `it cannot read its copy now${name}` }
}
