// SPDX-License-Identifier: Apache-2.0
// What a node has to say to its head, numbered, until the head has kept it for good: a head that was restarted may have
// lost it. Questions stay until they are answered, since their answer may be lost as well.
//
// Invariant: numbers grow along the queue, so that sending it again in order is what was sent the first time.

import type { Control, ForHead, ToHead, WorkerId } from '../../wire/messages.js'

export type Numbered = ForHead | ToHead

export class Outbox {
  readonly #waiting = new Map<number, Numbered>()
  /** By who asks and what number the question has there: its number here. */
  readonly #questions = new Map<string, number>()
  #last = 0
  #bytes = 0

  get size(): number {
    return this.#waiting.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get lastSeq(): number {
    return this.#last
  }

  forHead(from: WorkerId, message: Control): ForHead {
    const seq = ++this.#last
    const numbered = { is: 'forHead', seq, from, message } as const
    if ('request' in message) this.#questions.set(keyOf(from, message.request), seq)
    this.#keep(numbered)
    return numbered
  }

  toHead(event: ToHead['event']): ToHead {
    const numbered = { is: 'toHead', seq: ++this.#last, event } as const
    this.#keep(numbered)
    return numbered
  }

  /** The head has kept the effects of everything up to that number. */
  kept(seq: number): void {
    for (const [each, numbered] of this.#waiting) {
      if (each > seq) return
      if (!isQuestion(numbered)) this.#drop(each, numbered)
    }
  }

  answered(to: WorkerId, request: number): void {
    const key = keyOf(to, request)
    const seq = this.#questions.get(key)
    if (seq === undefined) return
    this.#questions.delete(key)
    const numbered = this.#waiting.get(seq)
    if (numbered !== undefined) this.#drop(seq, numbered)
  }

  /** Questions of why something waits, which need no head while there is none. */
  answeredHere(): { from: WorkerId; request: number }[] {
    const found: { from: WorkerId; request: number }[] = []
    for (const seq of this.#questions.values()) {
      const numbered = this.#waiting.get(seq)
      if (numbered?.is !== 'forHead' || numbered.message.is !== 'query' || numbered.message.what !== 'placement') continue
      found.push({ from: numbered.from, request: numbered.message.request })
    }
    return found
  }

  /** Nobody waits for the answers to what that process asked. */
  processGone(process: WorkerId): void {
    for (const [seq, numbered] of this.#waiting) {
      if (numbered.is !== 'forHead' || numbered.from !== process || !('request' in numbered.message)) continue
      this.#questions.delete(keyOf(process, numbered.message.request))
      this.#drop(seq, numbered)
    }
  }

  /** Everything that the head may not have, in order. */
  all(): Iterable<Numbered> {
    return this.#waiting.values()
  }

  #keep(numbered: Numbered): void {
    this.#waiting.set(numbered.seq, numbered)
    this.#bytes += sizeOf(numbered)
  }

  #drop(seq: number, numbered: Numbered): void {
    this.#waiting.delete(seq)
    this.#bytes -= sizeOf(numbered)
  }
}

function keyOf(process: WorkerId, request: number): string {
  return `${process} ${request}`
}

function isQuestion(numbered: Numbered): boolean {
  return numbered.is === 'forHead' && 'request' in numbered.message
}

/** About: what can be large is counted. */
function sizeOf(numbered: Numbered): number {
  const message = numbered.is === 'forHead' ? numbered.message : numbered.event
  if (message.is === 'actorCreate') return 512 + message.spec.code.byteLength + message.spec.args.byteLength + message.spec.shape.byteLength
  if (message.is === 'kvPut') return 512 + message.value.byteLength
  return message.is === 'processDied' ? 512 + message.death.stderrTail.length : 512
}
