// SPDX-License-Identifier: Apache-2.0
// Why a head does not answer, for the one who wanted to join. Who has another key than a head gets no word from it, so what
// can be told is only who listens there: nobody, a peer of ZeroMQ, which a head is, or something else.

import { connect, type Socket } from 'node:net'
import { AuthenticationError, ClusterConnectionError, type EaglerayError } from '../errors.js'
import { TOKEN_ENV } from './cluster-home.js'

/** How long the first byte is waited for (ms). */
const PROBE_MS = 2_000
/** With it every connection of ZeroMQ begins, from both sides at once. */
const ZEROMQ = 0xff

/** `head`: host:port, which does not let this node in, or says nothing. Never rejects. */
export async function whyNot(head: string): Promise<EaglerayError> {
  const colon = head.lastIndexOf(':')
  const socket = connect({ host: head.slice(0, colon).replace(/[[\]]/g, ''), port: Number(head.slice(colon + 1)) })
  const found = await firstByte(socket)
  socket.destroy()
  if (found instanceof Error) {
    const unknown = found.code === 'ENOTFOUND' || found.code === 'EAI_AGAIN'
    const why = unknown ? 'no machine of that name is known here' : 'no head listens there, or it cannot be reached from here'
    return new ClusterConnectionError(`nobody answers at ${head} (${found.code ?? found.message}): ${why}`)
  }
  if (found !== ZEROMQ)
    return new ClusterConnectionError(`who listens at ${head} is no head of a cluster: a head listens where \`eagleray start --head\` said`)
  return new AuthenticationError(
    `the head at ${head} does not let this node in: its token is another than this machine's; set ${TOKEN_ENV} to that of the machine where the cluster was started (the file token in its ~/.eagleray)`,
  )
}

/** Null: it said nothing. */
function firstByte(socket: Socket): Promise<number | NodeJS.ErrnoException | null> {
  let isConnected = false
  return new Promise(resolve => {
    socket.on('connect', () => {
      isConnected = true
    })
    socket.on('data', bytes => resolve(bytes[0] ?? null))
    socket.on('end', () => resolve(null))
    socket.on('error', error => resolve(isConnected ? null : error))
    socket.setTimeout(PROBE_MS, () => resolve(isConnected ? null : Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
  })
}
