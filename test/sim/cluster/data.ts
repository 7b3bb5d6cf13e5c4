// SPDX-License-Identifier: Apache-2.0
// The channel on which pieces of objects come from other nodes: an answer, or the news that the connection broke.

import type { NodeId } from '#lib/wire/messages.js'
import type { Encoded } from '../frames.js'
import type { SimCluster } from './cluster.js'
import type { SimNode } from './node.js'

export interface Piece {
  id: string
  offset: number
  length: number
}

/** What is sent, or why nothing is. */
export type Answer = Encoded | 'missing' | 'busy' | 'the connection broke'

export interface Question extends Piece {
  /** Who asks. */
  peer: NodeId
  answer(answer: Answer): void
}

/** How long it takes to notice that the other end is silent, in milliseconds. */
const SILENCE_MS = 300

export class DataNetwork {
  constructor(private readonly cluster: SimCluster) {}

  fetch(asker: SimNode, from: NodeId, piece: Piece, then: (answer: Answer) => void): void {
    const { network, random, settings, byId } = this.cluster
    const delay = (): number => random.around(settings.linkDelay)
    const { moves } = this.cluster
    moves.asked(asker.nodeId, piece.id, piece.offset)
    let answered = false
    const answer = (what: Answer): void => {
      if (answered) return
      answered = true
      if (typeof what === 'string') moves.failed(asker.nodeId, piece.id, piece.offset)
      then(what)
    }
    const broke = (): void => asker.life.after(random.around(SILENCE_MS), () => answer('the connection broke'))
    asker.life.after(delay(), () => {
      const source = byId.get(from)
      if (source === undefined || !source.life.alive || !network.reaches(asker.nodeId, from)) return broke()
      source.life.after(0, () =>
        source.transfer.asked({
          ...piece,
          peer: asker.nodeId,
          answer: what =>
            asker.life.after(delay(), () => {
              if (network.reaches(asker.nodeId, from)) answer(what)
              else broke()
            }),
        }),
      )
      // The source may die with the question.
      const watch = (): void =>
        asker.life.after(SILENCE_MS, () => {
          if (!answered && !source.life.alive) answer('the connection broke')
          else if (!answered) watch()
        })
      watch()
    })
  }
}
