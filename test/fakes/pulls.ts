// SPDX-License-Identifier: Apache-2.0
// The machine of pulls with nothing around it: stores, owners and sources are sets of names, and every step checks the
// invariants. Tests say what happens and read what was asked for.

import { type PullEffect, type PullEvent, Pulls } from '#lib/core/node/pulls.js'
import { objectId } from '#lib/ids.js'
import type { Control, Located, NodeId, WorkerId } from '#lib/wire/messages.js'
import { remoteWorker, workerIdOf } from './cluster.js'

export type PullEffectOf<Is extends PullEffect['is']> = Extract<PullEffect, { is: Is }>
export type SentOf<Is extends Control['is']> = Extract<Control, { is: Is }>

export const HERE: NodeId = 'aaaaaaaaaa'
export const OWNER = remoteWorker(9)
export const [A, B, C] = ['a000000000', 'b000000000', 'c000000000'] as const
export const PROCESS = workerIdOf(1)

export const idOf = (seq: number, owner: WorkerId = OWNER): string => objectId(owner, seq)

export class FakePulls {
  now = 0
  readonly pulls: Pulls
  readonly effects: PullEffect[] = []

  constructor(budgetBytes = 100 << 20) {
    this.pulls = new Pulls(HERE, budgetBytes)
  }

  act(event: PullEvent): PullEffect[] {
    const out: PullEffect[] = []
    this.pulls.handle(event, this.now, out)
    this.pulls.invariants()
    this.effects.push(...out)
    for (const effect of out) if (effect.is === 'seal' && this.sealsAtOnce) this.act({ is: 'sealed', id: effect.id })
    return out
  }

  /** Else the test says when. */
  sealsAtOnce = true

  /** Time passes, and the machine is told each time that it asked for. */
  pass(ms: number): void {
    const until = this.now + ms
    for (let at = this.pulls.deadline(); at !== null && at <= until; at = this.pulls.deadline()) {
      this.now = Math.max(this.now, at)
      this.act({ is: 'tick' })
    }
    this.now = until
  }

  want(seq: number, why: 'get' | 'wait' | 'argument' = 'get', from = PROCESS): void {
    this.act({ is: 'want', from, id: idOf(seq), why, here: false })
  }

  unwant(seq: number, from = PROCESS): void {
    this.act({ is: 'unwant', from, id: idOf(seq) })
  }

  located(seq: number, sizeBytes: number, nodes: NodeId[], more: Partial<Located> = {}, here = false): void {
    const located: Located = { is: 'located', seq, state: 'stored', nodes, sizeBytes, losses: 0, error: null, ...more }
    this.act({ is: 'located', id: idOf(seq), located, here })
  }

  made(seq: number): void {
    this.act({ is: 'made', id: idOf(seq) })
  }

  /** An object as far as its pieces coming. */
  moving(seq: number, sizeBytes: number, nodes: NodeId[], why: 'get' | 'wait' | 'argument' = 'get'): void {
    this.want(seq, why)
    this.located(seq, sizeBytes, nodes)
    this.made(seq)
  }

  arrived({ id, source, piece }: PullEffectOf<'fetch'>): void {
    this.act({ is: 'arrived', id, source, piece })
  }

  failed({ id, source, piece }: PullEffectOf<'fetch'>, missing = false): void {
    this.act({ is: 'failed', id, source, piece, missing, unwritten: false, why: missing ? 'it has none' : 'the connection broke' })
  }

  all<Is extends PullEffect['is']>(is: Is): PullEffectOf<Is>[] {
    return this.effects.filter(effect => effect.is === is) as PullEffectOf<Is>[]
  }

  sent<Is extends Control['is']>(is: Is, to?: WorkerId): SentOf<Is>[] {
    return this.all('send').flatMap(each =>
      each.message.is === is && (to === undefined || each.to === to) ? [each.message as SentOf<Is>] : [],
    )
  }

  /** Answers every fetch that was not answered yet, and those that follow, and counts them by source. */
  deliver(): Map<NodeId, number> {
    const counts = new Map<NodeId, number>()
    for (let i = this.#answered; i < this.effects.length; i++) {
      const effect = this.effects[i] as PullEffect
      if (effect.is !== 'fetch') continue
      counts.set(effect.source, (counts.get(effect.source) ?? 0) + 1)
      this.arrived(effect)
    }
    this.#answered = this.effects.length
    return counts
  }

  #answered = 0
}
