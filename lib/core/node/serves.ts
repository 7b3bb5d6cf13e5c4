// SPDX-License-Identifier: Apache-2.0
// Pieces of objects that other nodes ask this one for: a few at a time, in turns between those who ask, and fewer still for each of
// them, since one that takes nothing keeps what leaves for it until it is given up. What is only on its way here is served as it
// comes, so that a broadcast goes from node to node.

import { limits } from '../../options.js'
import type { NodeId } from '../../wire/messages.js'
import { assert } from '../assert.js'
import type { Machine, Millis } from '../machine.js'

/** Whether those bytes are in this node: all of them, not yet, or not at all. */
export type Presence = 'here' | 'coming' | 'no'

export interface Wanted {
  /** The shell's name of the request. */
  key: number
  peer: NodeId
  id: string
  offset: number
  length: number
}

export type ServeEvent =
  | { is: 'asked'; wanted: Wanted; presence: Presence }
  /** It has left, or never will. */
  | { is: 'served'; key: number }
  /** Of an object that is on its way here: more of it has come, or it has ended. */
  | { is: 'changed'; id: string; presence: (offset: number, length: number) => Presence }
  | { is: 'peerGone'; peer: NodeId }

export type ServeEffect = { is: 'serve'; wanted: Wanted } | { is: 'refuse'; key: number; why: 'missing' | 'busy' }

export class Serves implements Machine<ServeEvent, ServeEffect> {
  /** Those that are leaving, by key. */
  private readonly leaving = new Map<number, Wanted>()
  /** Those whose bytes are here, by peer; the peer whose turn is next first. */
  private readonly ready = new Map<NodeId, Wanted[]>()
  /** Those whose bytes are on their way here, by object. */
  private readonly coming = new Map<string, Wanted[]>()
  private readonly perPeer = new Map<NodeId, number>()

  handle(event: ServeEvent, _now: Millis, out: ServeEffect[]): void {
    switch (event.is) {
      case 'asked':
        this.asked(event.wanted, event.presence, out)
        break
      case 'served': {
        const wanted = this.leaving.get(event.key)
        if (wanted === undefined) return
        this.leaving.delete(event.key)
        this.count(wanted.peer, -1)
        break
      }
      case 'changed':
        this.changed(event.id, event.presence, out)
        break
      case 'peerGone':
        this.peerGone(event.peer)
        break
    }
    this.serve(out)
  }

  deadline(): null {
    return null
  }

  invariants(): void {
    assert(this.leaving.size <= limits.servesMax, `${this.leaving.size} pieces leave at once`)
    const waiting = [...this.ready.values(), ...this.coming.values()]
    assert(
      waiting.every(list => list.length > 0),
      'a list of nothing to serve is kept',
    )
    const atOnce = this.leavingByPeer()
    for (const [peer, count] of atOnce) assert(count <= limits.servesPerPeerAtOnce, `${count} pieces leave at once for ${peer}`)
    const isIdle = [...this.ready.keys()].some(peer => (atOnce.get(peer) ?? 0) < limits.servesPerPeerAtOnce)
    assert(!isIdle || this.leaving.size === limits.servesMax, 'pieces wait though few leave')
    const count = waiting.reduce((sum, list) => sum + list.length, this.leaving.size)
    const counted = [...this.perPeer.values()].reduce((sum, each) => sum + each, 0)
    assert(count === counted, `${counted} pieces are counted and ${count} are there`)
  }

  private asked(wanted: Wanted, presence: Presence, out: ServeEffect[]): void {
    if (presence === 'no') return void out.push({ is: 'refuse', key: wanted.key, why: 'missing' })
    if ((this.perPeer.get(wanted.peer) ?? 0) >= limits.servesPerPeerMax)
      return void out.push({ is: 'refuse', key: wanted.key, why: 'busy' })
    this.count(wanted.peer, 1)
    if (presence === 'here') push(this.ready, wanted.peer, wanted)
    else push(this.coming, wanted.id, wanted)
  }

  private changed(id: string, presence: (offset: number, length: number) => Presence, out: ServeEffect[]): void {
    const waiting = this.coming.get(id)
    if (waiting === undefined) return
    this.coming.delete(id)
    for (const wanted of waiting) {
      const now = presence(wanted.offset, wanted.length)
      if (now === 'here') push(this.ready, wanted.peer, wanted)
      else if (now === 'coming') push(this.coming, id, wanted)
      else {
        this.count(wanted.peer, -1)
        out.push({ is: 'refuse', key: wanted.key, why: 'missing' })
      }
    }
  }

  private serve(out: ServeEffect[]): void {
    if (this.ready.size === 0) return
    const atOnce = this.leavingByPeer()
    // Whoever had its turn goes to the end, and so comes again, until nobody may have more.
    for (const [peer, list] of this.ready) {
      if (this.leaving.size >= limits.servesMax) return
      const count = atOnce.get(peer) ?? 0
      if (count >= limits.servesPerPeerAtOnce) continue
      const wanted = list.shift() as Wanted
      this.ready.delete(peer)
      if (list.length > 0) this.ready.set(peer, list)
      atOnce.set(peer, count + 1)
      this.leaving.set(wanted.key, wanted)
      out.push({ is: 'serve', wanted })
    }
  }

  private leavingByPeer(): Map<NodeId, number> {
    const counts = new Map<NodeId, number>()
    for (const { peer } of this.leaving.values()) counts.set(peer, (counts.get(peer) ?? 0) + 1)
    return counts
  }

  /** Nobody is there to take it: what waits for that peer goes; what is leaving ends by itself. */
  private peerGone(peer: NodeId): void {
    this.count(peer, -(this.ready.get(peer)?.length ?? 0))
    this.ready.delete(peer)
    for (const [id, waiting] of [...this.coming]) {
      const rest = waiting.filter(wanted => wanted.peer !== peer)
      this.count(peer, rest.length - waiting.length)
      if (rest.length > 0) this.coming.set(id, rest)
      else this.coming.delete(id)
    }
  }

  private count(peer: NodeId, by: number): void {
    const count = (this.perPeer.get(peer) ?? 0) + by
    assert(count >= 0, `fewer than no pieces are served to ${peer}`)
    if (count === 0) this.perPeer.delete(peer)
    else this.perPeer.set(peer, count)
  }
}

function push<K>(map: Map<K, Wanted[]>, key: K, wanted: Wanted): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [wanted])
  else list.push(wanted)
}
