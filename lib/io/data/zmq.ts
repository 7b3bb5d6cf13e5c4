// SPDX-License-Identifier: Apache-2.0
// The data channel over ZeroMQ: a ROUTER that answers and a DEALER for each node that is asked, encrypted with the keys of the
// cluster. Slower than TCP, since every byte is encrypted and copied once more; for networks where the bytes of objects must not
// be read on the way.
//
//   question   [request 4 | length 4 | offset 8 | object 20] [node that asks 5 | node that is meant 5]
//   farewell   [] [the same two]: it asks no more
//   answer     [request 4 | status 1 | zero 1 | errno 2 | length 4] and, of an answer with bytes, [the bytes]

import { limits } from '../../options.js'
import type { NodeId } from '../../wire/messages.js'
import { advertisedEndpoint, endpoint } from '../endpoint.js'
import { type Zmq, type ZmqContext, zmqContext } from '../zmq/context.js'
import type { DataChannel, DataOptions, DataPeer, Failure, Lent, Piece, Sink } from './channel.js'
import {
  ANSWER,
  ANSWER_HEAD_BYTES,
  type AnswerHead,
  failureOf,
  QUESTION_BYTES,
  readAnswerHead,
  readQuestion,
  writeAnswerHead,
  writeQuestion,
  writeUnread,
} from './tcp-frames.js'

const NAMES_BYTES = 10
/** What a message grows by at most when it is encrypted. */
const ENCRYPTION_BYTES = 1024
/** How long a connection that is closed may take for its last words (ms). */
const FAREWELL_MS = 200

export async function zmqDataChannel(options: DataOptions): Promise<DataChannel> {
  const { host = '127.0.0.1', port = 0, token } = options
  const shared = await zmqContext(token)
  const router = new shared.zmq.Router({
    ...shared.server,
    mandatory: true,
    // Of an answer to who takes nothing; the others wait behind it.
    sendTimeout: options.stallMs ?? limits.dataStallMs,
    maxMessageSize: 1024,
    ipv6: host.includes(':'),
  })
  try {
    await router.bind(endpoint(host, port === 0 ? '*' : port))
  } catch (error) {
    router.close()
    shared.close()
    throw error
  }
  return new ZmqDataChannel(options, shared, router)
}

interface Asked {
  piece: Piece
  sink: Sink
}

interface Answer {
  /** Whose it is, if it is known; not sent once that has left: a socket may wait for ever to send to who is just leaving. */
  visitor: string | null
  routingId: Buffer
  request: number
  length: number
  /** What it answers with; else why not. */
  lent: Lent | number
}

class ZmqDataChannel implements DataChannel {
  readonly address: string
  readonly #sources = new Map<NodeId, Source>()
  /** The connections of each node that asked for something. */
  readonly #visitors = new Map<string, NodeId>()
  /** Answers that wait for their turn: a socket takes one at a time. */
  readonly #answers: Answer[] = []
  #sending = false
  #closed = false

  constructor(
    private readonly options: DataOptions,
    private readonly shared: ZmqContext,
    private readonly router: Zmq.Router,
  ) {
    this.address = advertisedEndpoint(router.lastEndpoint ?? '', options.advertised)
    router.events.on('handshake:error:auth', ({ address, error }) =>
      this.#refused(address, `the key is not the cluster's (${error.message})`),
    )
    router.events.on('handshake:error:protocol', ({ address, error }) => this.#refused(address, `no such handshake (${error.message})`))
    void this.#listen()
  }

  fetch(peer: DataPeer, piece: Piece, sink: Sink): void {
    if (this.#closed) return sink.done({ missing: false, why: 'this node ends' })
    const known = this.#sources.get(peer.nodeId)
    if (known !== undefined && known.peer.address !== peer.address) known.end('the node listens elsewhere now')
    const source = this.#sources.get(peer.nodeId) ?? this.#connect(peer)
    source.ask(piece, sink)
  }

  forget(nodeId: NodeId): void {
    this.#sources.get(nodeId)?.end('the node is dead')
    for (const [routingId, node] of this.#visitors) if (node === nodeId) this.#visitors.delete(routingId)
    this.options.listener.onPeerGone(nodeId)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const source of [...this.#sources.values()]) source.end('this node ends')
    this.router.close()
    for (const answer of this.#answers.splice(0)) giveBack(answer)
    this.shared.close()
  }

  #connect(peer: DataPeer): Source {
    const source = new Source(peer, this.shared, this.options, () => {
      if (this.#sources.get(peer.nodeId) === source) this.#sources.delete(peer.nodeId)
    })
    this.#sources.set(peer.nodeId, source)
    return source
  }

  async #listen(): Promise<void> {
    for await (const [routingId, question, names, ...more] of this.router) {
      if (routingId === undefined || question === undefined || names?.length !== NAMES_BYTES || more.length > 0)
        this.#refused('', 'it sent what is no question')
      else if (question.length === 0) this.#left(routingId.toString('latin1'))
      else if (question.length !== QUESTION_BYTES) this.#refused('', 'it sent what is no question')
      else this.#asked(Buffer.from(routingId), readQuestion(question), names.toString('hex', 0, 5), names.toString('hex', 5))
    }
  }

  #asked(routingId: Buffer, question: Piece & { request: number }, peer: NodeId, meant: NodeId): void {
    const { request, ...piece } = question
    const isFair =
      meant === this.options.nodeId && piece.length <= limits.pieceBytes && Number.isSafeInteger(piece.offset) && piece.offset >= 0
    const visitor = isFair ? routingId.toString('latin1') : null
    const answer = (lent: Lent | number): void => this.#answer({ visitor, routingId, request, length: piece.length, lent })
    if (visitor === null) return answer(ANSWER.busy)
    this.#visitors.set(visitor, peer)
    this.options.listener.onQuestion({
      ...piece,
      peer,
      send: answer,
      refuse: why => answer(ANSWER[why]),
    })
  }

  #left(routingId: string): void {
    const peer = this.#visitors.get(routingId)
    this.#visitors.delete(routingId)
    if (peer !== undefined && ![...this.#visitors.values()].includes(peer)) this.options.listener.onPeerGone(peer)
  }

  #answer(answer: Answer): void {
    if (this.#closed) return giveBack(answer)
    this.#answers.push(answer)
    if (!this.#sending) void this.#send()
  }

  async #send(): Promise<void> {
    this.#sending = true
    for (let answer = this.#answers.shift(); answer !== undefined; answer = this.#answers.shift()) {
      const { visitor, routingId } = answer
      if (visitor !== null && !this.#visitors.has(visitor)) {
        giveBack(answer)
        continue
      }
      const parts = await partsOf(answer)
      try {
        await this.router.send([routingId, ...parts])
      } catch {
        // Who asked is gone, or this channel.
      }
    }
    this.#sending = false
  }

  #refused(address: string, why: string): void {
    if (!this.#closed) this.options.listener.onRefused(address, why)
  }
}

/** A node that is asked. */
class Source {
  private readonly dealer: Zmq.Dealer
  private readonly asked = new Map<number, Asked>()
  private readonly questions: Buffer[][] = []
  private readonly names: Buffer
  private lastRequest = 0
  private sending = false
  private ended = false
  private timer: NodeJS.Timeout | null = null

  constructor(
    readonly peer: DataPeer,
    { zmq, client }: ZmqContext,
    private readonly options: DataOptions,
    private readonly onEnd: () => void,
  ) {
    this.names = Buffer.from(options.nodeId + peer.nodeId, 'hex')
    this.dealer = new zmq.Dealer({
      ...client,
      sendTimeout: -1,
      immediate: true,
      ipv6: peer.address.includes('['),
      linger: FAREWELL_MS,
      maxMessageSize: limits.pieceBytes + ENCRYPTION_BYTES,
    })
    const failed = (why: string): void => void setImmediate(() => this.end(why))
    this.dealer.events.on('handshake:error:auth', ({ error }) => failed(`it does not admit our key (${error.message})`))
    this.dealer.events.on('handshake:error:protocol', ({ error }) => failed(`it does not shake hands as we do (${error.message})`))
    this.dealer.events.on('disconnect', () => failed('the connection ended'))
    this.dealer.events.on('connect:retry', () => failed('nobody listens there'))
    try {
      this.dealer.connect(peer.address)
    } catch (error) {
      failed(`'${peer.address}' is no address (${(error as Error).message})`)
    }
    void this.listen()
  }

  ask(piece: Piece, sink: Sink): void {
    if (this.ended) return sink.done({ missing: false, why: 'the connection ended' })
    const request = (this.lastRequest = (this.lastRequest + 1) % 2 ** 32)
    this.asked.set(request, { piece, sink })
    this.questions.push([writeQuestion(request, piece), this.names])
    if (!this.sending) void this.send()
    this.arm()
  }

  end(why: string): void {
    if (this.ended) return
    this.ended = true
    if (this.timer !== null) clearTimeout(this.timer)
    this.onEnd()
    // Said if it can be at once; the end of a node that cannot is told by the head.
    if (!this.sending) this.dealer.send([Buffer.alloc(0), this.names]).catch(() => {})
    this.dealer.close()
    const failure: Failure = { missing: false, why }
    const asked = [...this.asked.values()]
    this.asked.clear()
    for (const { sink } of asked) sink.done(failure)
  }

  private async send(): Promise<void> {
    this.sending = true
    try {
      for (let question = this.questions.shift(); question !== undefined; question = this.questions.shift())
        await this.dealer.send(question)
    } catch (error) {
      this.end(`nothing can be sent to it: ${(error as Error).message}`)
    }
    this.sending = false
  }

  private async listen(): Promise<void> {
    for await (const [head, bytes] of this.dealer) {
      if (this.ended) return
      this.arm()
      if (head?.length !== ANSWER_HEAD_BYTES) return this.end('the peer sent what is no answer')
      this.answered(readAnswerHead(head), bytes ?? null)
    }
  }

  private answered(head: AnswerHead, bytes: Buffer | null): void {
    const { request, status } = head
    const asked = this.asked.get(request)
    if (asked === undefined) return this.end('the peer answered what it was not asked')
    const { piece, sink } = asked
    if (status !== ANSWER.bytes) {
      const failure = failureOf(head)
      if (failure === null) return this.end('the peer sent what is no answer')
      this.asked.delete(request)
      return sink.done(
        status === ANSWER.busy ? { missing: false, why: 'it serves too many others, or another node than this one' } : failure,
      )
    }
    if (bytes?.length !== piece.length) return this.end(`the peer sent ${bytes?.length} bytes of ${piece.length}`)
    this.asked.delete(request)
    for (let at = 0; at < bytes.length; ) {
      const room = sink.room(at)
      const count = Math.min(room.length, bytes.length - at)
      room.set(bytes.subarray(at, at + count))
      sink.wrote(at, count)
      at += count
    }
    sink.done(null)
  }

  /** What is due comes in time, or the connection is given up; one that is idle for so long is not needed. */
  private arm(): void {
    const { stallMs = limits.dataStallMs } = this.options
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = setTimeout(() => this.end(`the peer sent nothing for ${stallMs} ms`), stallMs)
    this.timer.unref()
  }
}

/** The bytes are read into memory of their own: ZeroMQ holds on to what it was given until it is on the wire, and does not say when. */
async function partsOf({ request, length, lent }: Answer): Promise<Buffer[]> {
  if (typeof lent === 'number') return [writeAnswerHead(request, lent, 0)]
  const bytes = Buffer.allocUnsafe(length)
  try {
    await lent.read(0, bytes)
    return [writeAnswerHead(request, ANSWER.bytes, length), bytes]
  } catch (error) {
    return [writeUnread(request, error)]
  } finally {
    lent.done()
  }
}

function giveBack({ lent }: Answer): void {
  if (typeof lent !== 'number') lent.done()
}
