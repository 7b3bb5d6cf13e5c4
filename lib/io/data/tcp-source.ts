// SPDX-License-Identifier: Apache-2.0
// The asking end of a data connection. The socket reads straight into the memory a sink names.

import { timingSafeEqual } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import type { DataPeer, Failure, Piece, Sink, Timing } from './channel.js'
import { answerTo, type DataKey, GREETING_BYTES, PROOF_BYTES } from './handshake.js'
import { ANSWER, ANSWER_HEAD_BYTES, failureOf, readAnswerHead, writeQuestion } from './tcp-frames.js'

interface Asked {
  piece: Piece
  sink: Sink
}

/** What the next bytes are. */
type Expect = 'greeting' | 'proof' | 'head' | 'body'

export class TcpSource {
  readonly peer: DataPeer
  private readonly socket: Socket
  private readonly asked = new Map<number, Asked>()
  /** Questions until the handshake is over. */
  private early: Buffer[] | null = []
  private lastRequest = 0
  private expect: Expect = 'greeting'
  private readonly head = Buffer.alloc(GREETING_BYTES)
  /** Of what is expected: how many bytes it has, and how many are here. */
  private want = GREETING_BYTES
  private have = 0
  /** Whose bytes come now, and the number of that question. */
  private body: Asked | null = null
  private bodyRequest = 0
  private expected: Buffer | null = null
  private ended = false

  constructor(
    peer: DataPeer,
    private readonly key: DataKey,
    private readonly options: Timing,
    /** Called once, when nothing can be asked of it any more. */
    private readonly onEnd: (source: TcpSource) => void,
  ) {
    this.peer = peer
    const { hostname, port } = new URL(peer.address)
    this.socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port),
      noDelay: true,
      onread: { buffer: () => this.room(), callback: count => this.got(count) },
    })
    this.socket.setTimeout(options.handshakeMs, () => this.quiet())
    this.socket.on('error', error => this.end(`the connection to ${peer.address} failed: ${error.message}`))
    this.socket.on('close', () => this.end('the connection ended'))
    this.socket.on('end', () => this.end('the peer ended the connection'))
    // A node that has nothing else to do may end.
    this.socket.unref()
  }

  ask(piece: Piece, sink: Sink): void {
    if (this.ended) return sink.done({ missing: false, why: 'the connection ended' })
    const request = (this.lastRequest = (this.lastRequest + 1) % 2 ** 32)
    this.asked.set(request, { piece, sink })
    const question = writeQuestion(request, piece)
    if (this.early === null) this.socket.write(question)
    else this.early.push(question)
  }

  /** Fails all that was asked. */
  end(why: string): void {
    if (this.ended) return
    this.ended = true
    this.socket.destroy()
    this.onEnd(this)
    const failure: Failure = { missing: false, why }
    const asked = [...this.asked.values()]
    this.asked.clear()
    this.body = null
    for (const { sink } of asked) sink.done(failure)
  }

  /** Nothing was heard for a while: bad if something is due, else the connection is not needed. */
  private quiet(): void {
    if (this.asked.size === 0 && this.early === null) return this.end('the connection was idle')
    this.end(this.early === null ? `the peer sent nothing for ${this.options.stallMs} ms` : 'the peer did not answer in time')
  }

  private room(): Buffer | Uint8Array {
    if (this.body !== null) {
      const room = this.body.sink.room(this.have)
      return room.length > this.want - this.have ? room.subarray(0, this.want - this.have) : room
    }
    return this.head.subarray(this.have, this.want)
  }

  private got(count: number): boolean {
    if (this.ended) return false
    this.body?.sink.wrote(this.have, count)
    this.have += count
    if (this.have === this.want) this.whole()
    return !this.ended
  }

  private next(expect: Expect, want: number): void {
    this.expect = expect
    this.want = want
    this.have = 0
  }

  private whole(): void {
    switch (this.expect) {
      case 'greeting': {
        const answer = answerTo(this.head.subarray(0, GREETING_BYTES), this.key, this.options.nodeId, this.peer.nodeId)
        if (typeof answer === 'string') return this.end(answer)
        this.expected = answer.expected
        this.socket.write(answer.answer)
        return this.next('proof', PROOF_BYTES)
      }
      case 'proof': {
        if (!timingSafeEqual(this.expected as Buffer, this.head.subarray(0, PROOF_BYTES)))
          return this.end(`who listens at ${this.peer.address} is not node ${this.peer.nodeId} of this cluster`)
        const early = this.early ?? []
        this.early = null
        if (early.length > 0) this.socket.write(Buffer.concat(early))
        this.socket.setTimeout(this.options.stallMs)
        return this.next('head', ANSWER_HEAD_BYTES)
      }
      case 'head':
        return this.answered()
      case 'body':
        return this.arrived()
    }
  }

  private answered(): void {
    const head = readAnswerHead(this.head)
    const { request, status, length } = head
    const asked = this.asked.get(request)
    if (asked === undefined) return this.end('the peer answered what it was not asked')
    if (status === ANSWER.bytes) {
      if (length !== asked.piece.length) return this.end(`the peer sent ${length} bytes of ${asked.piece.length}`)
      this.body = asked
      this.bodyRequest = request
      this.next('body', length)
      if (length === 0) this.arrived()
      return
    }
    const failure = failureOf(head)
    if (failure === null) return this.end('the peer sent what is no answer')
    this.asked.delete(request)
    this.next('head', ANSWER_HEAD_BYTES)
    asked.sink.done(failure)
  }

  private arrived(): void {
    const { sink } = this.body as Asked
    this.body = null
    this.asked.delete(this.bodyRequest)
    this.next('head', ANSWER_HEAD_BYTES)
    sink.done(null)
  }
}
