// SPDX-License-Identifier: Apache-2.0
// How a driver's node was lost, and what to do: in its own words, where it could still say them.

import type { NodeEnds } from '../wire/messages.js'
import type { Seat } from './seat.js'

/** The channel to a process closes so when that ends, in whatever way. */
const CLOSED = 'closed'
/** Nobody was told how it ended. */
export const SILENT_END = CLOSED

export class NodeLoss {
  #last: NodeEnds | null = null

  constructor(private readonly seat: Pick<Seat, 'address' | 'nodeId' | 'ended'>) {}

  told(last: NodeEnds): void {
    this.#last = last
  }

  /** `how`: as far as it was seen from here. */
  of(how: string): string {
    const isOwn = this.seat.ended !== null
    if (isOwn) return this.#text(how, 'call init() to start another')
    if (this.#last === null) {
      const silent = 'its process ended without a word: it was killed, or failed (`eagleray logs` shows what it printed)'
      return this.#text(how === CLOSED ? silent : how, this.#another())
    }
    return this.#text(this.#last.why, this.#last.comesAgain ? this.#again() : this.#another())
  }

  /** Its process lives, with another store. */
  begunAnew(): string {
    return this.#text(this.#last?.why ?? 'the cluster had given it up', this.#again())
  }

  #text(why: string, advice: string): string {
    return `the node ${this.seat.nodeId} of this session is gone: ${why}; ${advice}`
  }

  #again(): string {
    return `it joins again as another node, to which init({ address: '${this.seat.address}' }) attaches this program`
  }

  #another(): string {
    const { address } = this.seat
    return `init({ address: '${address}' }) attaches this program to another node of the cluster on this machine, which \`eagleray start --address ${address}\` starts where there is none`
  }
}
