// SPDX-License-Identifier: Apache-2.0
// The CURVE keys of a cluster, made from its token: whoever has the token has both pairs, and who has not has neither.
// All servers share one pair and all clients another. So a client knows that the server has the token, and the other way
// round, before either says anything; and the traffic of each connection has keys of its own, made by CURVE.

import { createPrivateKey, createPublicKey, hkdfSync } from 'node:crypto'

export interface KeyPair {
  /** 40 characters of Z85, as ZeroMQ takes them. */
  publicKey: string
  secretKey: string
  /** The public key as its 32 bytes. */
  publicBytes: Uint8Array
}

/** What stands before the 32 bytes of an X25519 private key in DER (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex')
const Z85 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'

export function curveKeys(token: string): { server: KeyPair; client: KeyPair } {
  return { server: derive(token, 'server'), client: derive(token, 'client') }
}

function derive(token: string, role: 'server' | 'client'): KeyPair {
  const secret = Buffer.from(hkdfSync('sha256', token, 'eagleray cluster token', `curve ${role} 1`, 32))
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, secret]), format: 'der', type: 'pkcs8' })
  const publicBytes = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { publicKey: z85(publicBytes), secretKey: z85(secret), publicBytes }
}

/** RFC 32 of ZeroMQ: four bytes to five characters. */
export function z85(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let text = ''
  for (let at = 0; at < bytes.length; at += 4) {
    let value = view.getUint32(at)
    let five = ''
    for (let i = 0; i < 5; i++) {
      five = Z85.charAt(value % 85) + five
      value = Math.floor(value / 85)
    }
    text += five
  }
  return text
}
