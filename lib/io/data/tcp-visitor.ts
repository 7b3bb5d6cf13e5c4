// SPDX-License-Identifier: Apache-2.0
// The answering end of a data connection: who connected, and what it asks for.

import type { Socket } from 'node:net'
import { limits } from '../../options.js'
import type { NodeId } from '../../wire/messages.js'
import type { Question, Timing } from './channel.js'
import { ANSWER_BYTES, type DataKey, Greeter } from './handshake.js'
import { TcpAnswers } from './tcp-answers.js'
import { ANSWER, QUESTION_BYTES, readQuestion } from './tcp-frames.js'

export interface Host {
  asked(question: Question): void
  /** `why`: what was wrong with it, if anything. */
  left(visitor: TcpVisitor, why: string | null): void
}

export class TcpVisitor {
  /** Null until it has proved to be of the cluster. */
  peer: NodeId | null = null
  readonly address: string
  private readonly greeter: Greeter
  private rest: Buffer = Buffer.alloc(0)
  private ended = false
  /** Questions that are not answered. */
  private open = 0
  private readonly answers: TcpAnswers

  constructor(
    private readonly socket: Socket,
    key: DataKey,
    private readonly timing: Timing,
    private readonly host: Host,
  ) {
    this.address = `${socket.remoteAddress}:${socket.remotePort}`
    this.greeter = new Greeter(key, timing.nodeId)
    this.answers = new TcpAnswers(
      socket,
      () => this.open--,
      why => this.end(why),
    )
    socket.setTimeout(timing.handshakeMs)
    // Each time: a callback of `setTimeout` is called once only.
    socket.on('timeout', () => this.quiet())
    socket.on('error', () => this.end(null))
    socket.on('close', () => this.end(null))
    socket.on('data', bytes => this.heard(bytes))
    socket.unref()
    socket.write(this.greeter.greeting)
  }

  end(why: string | null): void {
    if (this.ended) return
    this.ended = true
    this.socket.destroy()
    this.answers.end()
    this.host.left(this, why)
  }

  private quiet(): void {
    if (this.peer === null) return this.end('it did not say who it is in time')
    // Idle connections are the business of who opened them; one that does not take what it asked for is ended.
    if (this.socket.writableLength > 0) this.end(`it took nothing for ${this.timing.stallMs} ms`)
  }

  private heard(bytes: Buffer): void {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    while (!this.ended) {
      const size = this.peer === null ? ANSWER_BYTES : QUESTION_BYTES
      if (this.rest.length < size) return
      const message = this.rest.subarray(0, size)
      this.rest = this.rest.subarray(size)
      if (this.peer === null) this.introduced(message)
      else this.question(message)
    }
  }

  private introduced(answer: Buffer): void {
    const checked = this.greeter.check(answer)
    if (typeof checked === 'string') return this.end(checked)
    this.peer = checked.peer
    this.socket.write(checked.proof)
    this.socket.setTimeout(this.timing.stallMs)
  }

  private question(bytes: Buffer): void {
    const { request, ...piece } = readQuestion(bytes)
    if (piece.length > limits.pieceBytes || !Number.isSafeInteger(piece.offset) || piece.offset < 0)
      return this.end(`it asked for ${piece.length} bytes from ${piece.offset} on`)
    if (++this.open > 2 * limits.servesPerPeerMax) return this.end('it asked for too much at once')
    this.host.asked({
      ...piece,
      peer: this.peer as NodeId,
      send: lent => this.answers.send(request, piece.length, lent),
      refuse: why => this.answers.refuse(request, ANSWER[why]),
    })
  }
}
