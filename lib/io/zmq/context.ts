// SPDX-License-Identifier: Apache-2.0
// ZeroMQ, loaded when the first transport is made (a program on one machine never does), and what all sockets of one
// transport share: a context that lets the process end, the keys, and the guard that admits only who has the client key.

import type * as Zmq from 'zeromq'
import { limits } from '../../options.js'
import { LINK_HEADER_BYTES } from '../../wire/link-frames.js'
import { curveKeys } from './keys.js'

export type { Zmq }

/** Where libzmq asks who may connect (RFC 27). */
const GUARD_ADDRESS = 'inproc://zeromq.zap.01'
const DOMAIN = 'eagleray'

export interface ZmqContext {
  zmq: typeof Zmq
  context: Zmq.Context
  /** Options of a socket that listens. */
  server: object
  /** Options of a socket that connects. */
  client: object
  close(): void
}

/** For a cluster with that token; null: neither encrypted nor guarded, for measurements. */
export async function zmqContext(token: string | null): Promise<ZmqContext> {
  const zmq = await import('zeromq')
  const context = new zmq.Context({ blocky: false, maxSockets: 4 * limits.linksMax })
  const shared = {
    context,
    // What a dead peer did not take does not keep a process alive.
    linger: 0,
    // A send is taken at once or not at all: links send again, and nothing waits in a second queue.
    sendTimeout: 0,
    sendHighWaterMark: 4 * limits.linkWindowPackets,
    receiveHighWaterMark: 4 * limits.linkWindowPackets,
    maxMessageSize: limits.linkPacketBytesMax + LINK_HEADER_BYTES,
    heartbeatInterval: limits.heartbeatMs,
    heartbeatTimeout: 4 * limits.heartbeatMs,
    heartbeatTimeToLive: 4 * limits.heartbeatMs,
    handshakeInterval: limits.handshakeMs,
  }
  if (token === null) return { zmq, context, server: shared, client: shared, close: () => {} }
  const keys = curveKeys(token)
  const guard = new zmq.Reply({ context, linger: 0 })
  await guard.bind(GUARD_ADDRESS)
  void watch(guard, keys.client.publicBytes)
  return {
    zmq,
    context,
    server: { ...shared, curveServer: true, curveSecretKey: keys.server.secretKey, zapDomain: DOMAIN },
    client: {
      ...shared,
      curveServerKey: keys.server.publicKey,
      curvePublicKey: keys.client.publicKey,
      curveSecretKey: keys.client.secretKey,
    },
    close: () => guard.close(),
  }
}

/** A message as the plain bytes that everything else works on. */
export function plainBytes({ buffer, byteOffset, length }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length)
}

/** A call that a signal (of a child that ended, say) may interrupt before it has done anything: made again. */
export function retried<T>(call: () => T): T {
  for (;;) {
    try {
      return call()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINTR') throw error
    }
  }
}

async function watch(guard: Zmq.Reply, admitted: Uint8Array): Promise<void> {
  for await (const [version, request, domain, , , mechanism, key] of guard) {
    const known =
      domain?.toString() === DOMAIN && mechanism?.toString() === 'CURVE' && key !== undefined && Buffer.compare(key, admitted) === 0
    const answer = known ? ['200', 'OK', 'node'] : ['400', 'this key is not of the cluster', '']
    await guard.send([version ?? '1.0', request ?? '', ...answer, ''])
  }
}
