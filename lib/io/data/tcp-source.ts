// SPDX-License-Identifier: Apache-2.0
// The asking end of a data connection. The socket reads straight into the memory a sink names, and only when there is enough to fill it:
// to wake up, in both nodes, costs as much as to copy a good deal.

import { timingSafeEqual } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { native } from '../../native.js'
import type { DataPeer, Failure, Piece, Sink, Timing } from './channel.js'
import { answerTo, type DataKey, GREETING_BYTES, PROOF_BYTES } from './handshake.js'
import { ANSWER, ANSWER_HEAD_BYTES, failureOf, readAnswerHead, writeQuestion } from './tcp-frames.js'

interface Asked {
  piece: Piece
  sink: Sink
}

/** No more than this is waited for before the socket is read. */
const WAKE_AT_MAX = 512 * 1024

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
  private reads = 0
  /** How many bytes must have come before the socket is read. */
  private wakesAt = 1
  /** Bytes are not waited for: the path is slow, or the system cannot. */
  private asItComes = false
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
    this.socket.setTimeout(options.handshakeMs)
    // Each time: a callback of `setTimeout` is called once only.
    this.socket.on('timeout', () => this.quiet())
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
    if (this.wakesAt > 1) {
      this.asItComes = true
      this.wakeAt(1)
    }
    const { reads } = this
    // Before this the loop looks at the socket: fewer bytes may have come than were waited for, or this process has slept itself.
    setImmediate(() => {
      if (this.reads > reads) return
      this.end(this.early === null ? `the peer sent nothing for ${this.options.stallMs} ms` : 'the peer did not answer in time')
    })
  }

  /** Called after each read, for the next one. */
  private room(): Buffer | Uint8Array {
    if (this.body === null) {
      this.wakeAt(1)
      return this.head.subarray(this.have, this.want)
    }
    const left = this.want - this.have
    const room = this.body.sink.room(this.have)
    this.wakeAt(this.asItComes ? 1 : Math.min(room.length, left, WAKE_AT_MAX))
    return room.length > left ? room.subarray(0, left) : room
  }

  private wakeAt(bytes: number): void {
    if (bytes === this.wakesAt) return
    // Node has no other way to it; undefined when it is closed.
    const fd = (this.socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd
    if (fd === undefined || fd < 0) return
    if (native.receiveAtLeast(fd, bytes)) this.wakesAt = bytes
    else this.asItComes = true
  }

  private got(count: number): boolean {
    if (this.ended) return false
    this.reads++
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
