// SPDX-License-Identifier: Apache-2.0
// News of an end (a process or node died, an actor is restarting or dead) is handled after everything that its subject had
// sent before, whichever ring that is on.

import { nodeOf } from '../ids.js'
import type { Peer } from '../io/mesh.js'
import type { Death, NodeDied, WorkerId } from '../wire/messages.js'
import { EndedClaims } from './ended-claims.js'
import type { Runtime } from './runtime.js'

export class BadNews {
  readonly endedClaims = new EndedClaims()
  private waiting: (() => void)[] = []

  constructor(private readonly runtime: Runtime) {}

  /** Whether some is waiting: then good news of the same subject waits behind it. */
  get any(): boolean {
    return this.waiting.length > 0
  }

  tell(news: () => void): void {
    this.waiting.push(news)
    if (this.waiting.length > 1) return
    setImmediate(() => {
      const { runtime } = this
      if (runtime.closed) return
      while (runtime.mesh.poll() > 0);
      const all = this.waiting
      this.waiting = []
      for (const each of all) each()
      runtime.mesh.scheduleFlush()
    })
  }

  workerDied(workerId: WorkerId, death: Death, then: () => void): void {
    this.tell(() => {
      const { mesh } = this.runtime
      const peer = mesh.known(workerId)
      this.runtime.act({ is: 'workerDied', workerId, death, begun: this.endedClaims.begun(workerId, peer) })
      this.forget(workerId, peer)
      then()
    })
  }

  /** Every process there is gone, and every copy of an object. */
  nodeDied({ nodeId, why }: NodeDied): void {
    this.tell(() => {
      const peers = [...this.runtime.mesh.peers()].filter(peer => nodeOf(peer.workerId) === nodeId)
      this.runtime.act({ is: 'nodeDied', nodeId, why })
      for (const peer of peers) this.forget(peer.workerId, peer)
      this.runtime.mesh.nodeGone(nodeId)
    })
  }

  /** Of the end of a process that ended before this one began, nobody tells. */
  unreachable(to: WorkerId): void {
    const { runtime } = this
    if (runtime.closed || runtime.mesh.known(to) !== null || runtime.owner.references.isDead(to)) return
    if (runtime.store.clients().some(client => client.workerId === to)) return
    const reason = 'it had ended before its object was asked for'
    const death: Death = { exitCode: null, signal: null, stderrTail: '', reason, outOfMemory: false }
    this.tell(() => runtime.act({ is: 'workerDied', workerId: to, death, begun: () => false }))
  }

  private forget(workerId: WorkerId, peer: Peer | null): void {
    if (peer !== null) this.runtime.runner?.onPeerClosed(peer)
    this.runtime.mesh.gone(workerId)
  }
}
