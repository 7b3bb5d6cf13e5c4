// SPDX-License-Identifier: Apache-2.0
// Answers on their way out of one connection, one after the other. The bytes of a piece go through two small buffers in turn: one
// is filled while the other leaves. So a connection that takes nothing holds little, and what is copied is still in the processor's
// cache when the socket copies it again.

import type { Socket } from 'node:net'
import type { Lent } from './channel.js'
import { ANSWER, writeAnswerHead, writeUnread } from './tcp-frames.js'

/** Larger ones fall out of the cache, smaller ones cost a call each. */
const BUFFER_BYTES = 512 * 1024
/** Of one connection at once. */
const BUFFERS = 2
/** Kept between answers, of all connections together. */
const SPARE_BUFFERS = 8

interface Answer {
  request: number
  length: number
  /** What it answers with; else why not. */
  lent: Lent | number
}

const spare: Uint8Array[] = []

export class TcpAnswers {
  private readonly waiting: Answer[] = []
  private busy = false
  private ended = false
  /** Buffers that the socket has. */
  private leaving = 0
  private onLeft: (() => void) | null = null

  constructor(
    private readonly socket: Socket,
    /** One is over. */
    private readonly onAnswered: () => void,
    /** Bytes of which some have left cannot be read: nothing can be said after them. */
    private readonly onBroken: (why: string) => void,
  ) {}

  send(request: number, length: number, lent: Lent): void {
    this.add({ request, length, lent })
  }

  refuse(request: number, status: number): void {
    this.add({ request, length: 0, lent: status })
  }

  /** The connection has ended: nothing is sent any more, and all that was lent is given back. */
  end(): void {
    this.ended = true
    this.onLeft?.()
    for (const answer of this.waiting.splice(0)) giveBack(answer)
  }

  private add(answer: Answer): void {
    if (this.ended) return giveBack(answer)
    this.waiting.push(answer)
    if (!this.busy) void this.sendAll()
  }

  private async sendAll(): Promise<void> {
    this.busy = true
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      const { request, length, lent } = next
      if (typeof lent === 'number') this.socket.write(writeAnswerHead(request, lent, 0))
      else await this.sendPiece(request, length, lent)
      this.onAnswered()
    }
    this.busy = false
  }

  private async sendPiece(request: number, length: number, lent: Lent): Promise<void> {
    let at = 0
    try {
      if (length === 0 && !this.ended) this.socket.write(writeAnswerHead(request, ANSWER.bytes, 0))
      while (at < length) {
        if (this.leaving === BUFFERS) await new Promise<void>(resolve => (this.onLeft = resolve))
        if (this.ended) return
        const buffer = spare.pop() ?? new Uint8Array(BUFFER_BYTES)
        const part = buffer.subarray(0, Math.min(BUFFER_BYTES, length - at))
        const reading = lent.read(at, part)
        if (reading !== null) await reading
        if (this.ended) return
        this.write(at === 0 ? writeAnswerHead(request, ANSWER.bytes, length) : null, part, buffer)
        at += part.length
      }
    } catch (error) {
      if (at === 0) this.socket.write(writeUnread(request, error))
      else this.onBroken(`a piece that was on its way cannot be read: ${(error as Error).message}`)
    } finally {
      lent.done()
    }
  }

  private write(head: Buffer | null, part: Uint8Array, buffer: Uint8Array): void {
    this.leaving++
    if (head !== null) {
      this.socket.cork()
      this.socket.write(head)
    }
    this.socket.write(part, () => {
      this.leaving--
      if (spare.length < SPARE_BUFFERS) spare.push(buffer)
      this.onLeft?.()
      this.onLeft = null
    })
    if (head !== null) this.socket.uncork()
  }
}

function giveBack({ lent }: Answer): void {
  if (typeof lent !== 'number') lent.done()
}
