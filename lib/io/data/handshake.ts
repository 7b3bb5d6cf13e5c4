// SPDX-License-Identifier: Apache-2.0
// How two nodes know each other on a data connection: each answers the other's random challenge with a keyed hash that only the
// cluster's token makes, over both challenges and both names. Nothing is said before; the bytes afterwards are not encrypted.
//
//   server -> client   magic 4 | version 1 | zero 3 | challenge 32
//   client -> server   magic 4 | version 1 | zero 3 | node 5 | zero 3 | challenge 32 | proof 32
//   server -> client   proof 32

import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import type { NodeId } from '../../wire/messages.js'

const MAGIC = 'EGRD'
const VERSION = 1
const CHALLENGE = 32
export const GREETING_BYTES = 8 + CHALLENGE
export const ANSWER_BYTES = 16 + CHALLENGE + 32
export const PROOF_BYTES = 32

export type DataKey = Buffer

export function dataKey(token: string): DataKey {
  return Buffer.from(hkdfSync('sha256', token, 'eagleray cluster token', 'data channel 1', 32))
}

function head(): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.write(MAGIC, 'latin1')
  bytes[4] = VERSION
  return bytes
}

/** Why that is no beginning of a handshake; null when it is one. */
function headFault(bytes: Buffer): string | null {
  if (bytes.toString('latin1', 0, 4) !== MAGIC) return 'it does not speak this protocol'
  if (bytes[4] !== VERSION) return `it speaks version ${bytes[4]} of the data channel, this node version ${VERSION}`
  return null
}

function proof(key: DataKey, role: string, server: NodeId, client: NodeId, challenges: [Buffer, Buffer]): Buffer {
  const hmac = createHmac('sha256', key).update(`${role} ${server} ${client}`)
  for (const each of challenges) hmac.update(each)
  return hmac.digest()
}

/** The server's side of one handshake. */
export class Greeter {
  readonly greeting: Buffer
  private readonly challenge = randomBytes(CHALLENGE)

  constructor(
    private readonly key: DataKey,
    private readonly self: NodeId,
  ) {
    this.greeting = Buffer.concat([head(), this.challenge])
  }

  /** Who answered, and the proof it is to get; a string says why it is not let in. */
  check(answer: Buffer): { peer: NodeId; proof: Buffer } | string {
    const fault = headFault(answer)
    if (fault !== null) return fault
    const peer = answer.toString('hex', 8, 13)
    const challenges: [Buffer, Buffer] = [this.challenge, answer.subarray(16, 16 + CHALLENGE)]
    const expected = proof(this.key, 'client', this.self, peer, challenges)
    if (!timingSafeEqual(expected, answer.subarray(16 + CHALLENGE, ANSWER_BYTES))) return 'it does not have the token of this cluster'
    return { peer, proof: proof(this.key, 'server', this.self, peer, challenges) }
  }
}

/** The client's side: the answer to a greeting, and what the server must prove then. A string says what is wrong with the greeting. */
export function answerTo(greeting: Buffer, key: DataKey, self: NodeId, server: NodeId): { answer: Buffer; expected: Buffer } | string {
  const fault = headFault(greeting)
  if (fault !== null) return fault
  const challenges: [Buffer, Buffer] = [Buffer.from(greeting.subarray(8, GREETING_BYTES)), randomBytes(CHALLENGE)]
  const name = Buffer.alloc(8)
  name.write(self, 'hex')
  const answer = Buffer.concat([head(), name, challenges[1], proof(key, 'client', server, self, challenges)])
  return { answer, expected: proof(key, 'server', server, self, challenges) }
}
