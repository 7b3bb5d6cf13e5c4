// SPDX-License-Identifier: Apache-2.0
// One object on its way into this node: who waits for it, which pieces are here, and which source was asked for which.

import { ownerOf, seqOf } from '../../ids.js'
import { limits } from '../../options.js'
import type { NodeId, PullWhy, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Millis } from '../machine.js'

/** Smaller is served first. */
const RANK: Record<PullWhy, number> = { get: 0, wait: 1, argument: 2 }

/**
 * `asking`: the owner is asked where it is. `queued`: its turn has not come, or there was no room. `making`: the shell reserves
 * its memory. `moving`: pieces come. `sealing`: all have come. `held`: whole, and pinned for those who wait.
 */
export type PullState = 'asking' | 'queued' | 'making' | 'moving' | 'sealing' | 'held'

export class Pull {
  readonly owner: WorkerId
  readonly seq: number
  state: PullState = 'asking'
  sizeBytes = 0
  /** How often the value had been lost when the owner named these sources. */
  losses = 0
  readonly waiters = new Map<WorkerId, PullWhy>()
  /** Pieces under way, by source. */
  readonly sources = new Map<NodeId, Set<number>>()
  /** Why each source that was given up was. */
  readonly failures = new Map<NodeId, string>()
  /** Why this node could not write what came last; null when it could. */
  unwritten: string | null = null
  /** How often the owner was asked again because no source was left. */
  rounds = 0
  /** When the owner is asked again, room is looked for again, or a pin ends. */
  at: Millis | null = null
  /** When it first found no room. */
  starvedSince: Millis | null = null
  /** Whether the owner counts this node among those that have it or are getting it. */
  known = false
  /**
   * The value that pieces came of is lost, and is made again, maybe of other bytes: what has come is dropped as soon as nothing is under way,
   * and nobody else gets any of it.
   */
  stale = false
  /** Its owner died while it was asked for. */
  orphaned = false
  private here = new Set<number>()
  /** Not here and not asked for; the next one last. */
  private missing: number[] = []

  constructor(
    readonly id: string,
    /** Order of arrival, within a rank. */
    readonly order: number,
  ) {
    this.owner = ownerOf(id)
    this.seq = seqOf(id)
  }

  get pieces(): number {
    return Math.max(1, Math.ceil(this.sizeBytes / limits.pieceBytes))
  }

  get rank(): number {
    let best: number = RANK.argument
    for (const why of this.waiters.values()) best = Math.min(best, RANK[why])
    return best
  }

  /** Pieces that are under way. */
  get flying(): number {
    let count = 0
    for (const asked of this.sources.values()) count += asked.size
    return count
  }

  get whole(): boolean {
    return this.here.size === this.pieces
  }

  /** Its memory is reserved: everything is missing. */
  begin(): void {
    this.here = new Set()
    this.missing = Array.from({ length: this.pieces }, (_, i) => this.pieces - 1 - i)
  }

  range(piece: number): { offset: number; length: number } {
    const offset = piece * limits.pieceBytes
    return { offset, length: Math.min(limits.pieceBytes, this.sizeBytes - offset) }
  }

  /** Whether all of that range has come. */
  has(offset: number, length: number): boolean {
    if (this.state !== 'moving' || this.stale || offset < 0 || offset + length > this.sizeBytes) return false
    for (let piece = Math.floor(offset / limits.pieceBytes); piece * limits.pieceBytes < offset + length; piece++) {
      if (!this.here.has(piece)) return false
    }
    return true
  }

  /** The next piece to ask a source for, and which; null when none is missing or all are busy. In order, so that others can be served of it early. */
  next(): { source: NodeId; piece: number } | null {
    if (this.stale || this.missing.length === 0) return null
    let least: NodeId | null = null
    let fewest: number = limits.piecesAhead
    for (const [source, asked] of this.sources) {
      if (asked.size >= fewest || this.failures.has(source)) continue
      fewest = asked.size
      least = source
    }
    if (least === null) return null
    const piece = this.missing.pop() as number
    this.sources.get(least)?.add(piece)
    return { source: least, piece }
  }

  /** False when nobody asked that source for it (any more). */
  arrived(source: NodeId, piece: number): boolean {
    if (!this.sources.get(source)?.delete(piece)) return false
    this.here.add(piece)
    return true
  }

  /** A source is given up; pieces that are under way from it are answered for one by one. */
  failed(source: NodeId, piece: number, why: string): void {
    const asked = this.sources.get(source)
    if (!asked?.delete(piece)) return
    this.missing.push(piece)
    this.missing.sort((a, b) => b - a)
    this.failures.set(source, why)
  }

  /** Sources that were given up and have nothing under way are none any more. */
  prune(): void {
    for (const [source, asked] of this.sources) if (asked.size === 0 && this.failures.has(source)) this.sources.delete(source)
  }

  invariants(): void {
    if (this.state !== 'moving') return
    const seen = new Set<number>()
    const all = [...this.here, ...this.missing, ...[...this.sources.values()].flatMap(asked => [...asked])]
    for (const piece of all) {
      assert(!seen.has(piece), `piece ${piece} of object ${this.id} is in two places`)
      seen.add(piece)
    }
    assert(seen.size === this.pieces, `object ${this.id} has ${seen.size} of ${this.pieces} pieces accounted for`)
  }
}
