// SPDX-License-Identifier: Apache-2.0
// A node's way into its cluster, and how programs on its machine find it there.

import { hostname } from 'node:os'
import { encodeError } from '../codec/error-value.js'
import { Member } from '../core/node/member.js'
import type { Node } from '../core/node/node.js'
import { ClusterConnectionError } from '../errors.js'
import { nodeOf } from '../ids.js'
import type { Refusal } from '../io/transport.js'
import { limits } from '../options.js'
import type { WorkerId } from '../wire/messages.js'
import { type NodeRecord, recordOf, rejoiningNodes, removeRecord, sweepRecords, writeRecord } from './cluster-home.js'
import type { DaemonSettings, JoinSettings, ReadyDaemon } from './daemon-settings.js'
import { whyNot } from './head-probe.js'
import { type Links, openLinks } from './links.js'
import { Membership, type MembershipHooks } from './membership.js'

export class ClusterEntry {
  readonly links: Links
  readonly #join: JoinSettings
  /** Resolves when the head knows the node; rejects when it does not let it in, or is not there. */
  readonly entered: Promise<void>
  #enter: () => void = () => {}
  #fail: (error: Error) => void = () => {}
  /** How programs find the node; null: they do not yet. */
  #record: NodeRecord | null = null
  /** It is given up, and its process joins again. */
  #rejoins = false
  readonly #timers: NodeJS.Timeout[]

  /** `onWaiting`: told when the head lets wait for its answer. */
  constructor(join: JoinSettings, links: Links, onWaiting: (text: string) => void) {
    this.links = links
    this.#join = join
    this.entered = new Promise<void>((resolve, reject) => {
      this.#enter = resolve
      this.#fail = reject
    })
    this.entered.catch(() => {})
    this.#timers = [
      setTimeout(() => onWaiting(`waits for the head at ${join.head}, which has not answered yet`), limits.headSilenceTellMs),
      setTimeout(() => void this.#notLetIn(), limits.joinMs),
    ]
  }

  member(node: Node, { labels, gpuIds, total }: DaemonSettings, daemonId: WorkerId): Member {
    const { transport, data } = this.links
    const where = { hostname: hostname(), address: transport.address, dataAddress: data.channel?.address ?? '' }
    return new Member(node, { encodeError, node: { nodeId: nodeOf(daemonId), daemonId, ...where, labels, gpuIds, total } })
  }

  membership(hooks: Omit<MembershipHooks, 'joined' | 'refused'>): Membership {
    const joined = (): void => {
      this.#stopTimers()
      this.#enter()
    }
    const refused = ({ why, turnedAway }: Refusal): void => {
      this.#stopTimers()
      if (turnedAway === true) void this.#notLetIn()
      else this.#fail(new ClusterConnectionError(`the head at ${this.#join.head} and this node do not get on: ${why}`))
    }
    const fenced = (why: string): void => {
      const { home } = this.#join
      // Before anybody can find that it is gone: whoever looks for it then waits for what comes after it.
      if (this.#record !== null) writeRecord(home, 'nodes', this.#record.nodeId, { ...this.#record, rejoins: true })
      this.#rejoins = true
      hooks.fenced(why)
    }
    return new Membership(this.links, this.#join.head, { ...hooks, joined, refused, fenced })
  }

  #stopTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer)
  }

  async #notLetIn(): Promise<void> {
    this.#fail(await whyNot(this.#join.head))
  }

  /** From now on programs on this machine find the node. Gives where other nodes do. */
  announce({ nodeId, daemonId, storePath, sessionDir, token }: Omit<ReadyDaemon, 'ok' | 'address'>): string {
    const { home, head, listed, withHead } = this.#join
    sweepRecords(home)
    const seat = { nodeId, daemonId, storePath, sessionDir, token, listed, withHead, since: Date.now() }
    this.#record = { ...recordOf(process.pid, head), ...seat }
    writeRecord(home, 'nodes', nodeId, this.#record)
    for (const before of rejoiningNodes(home)) if (before.pid === process.pid) removeRecord(home, 'nodes', before.nodeId)
    return this.links.transport.address
  }

  withdraw(nodeId: string): void {
    this.#stopTimers()
    if (!this.#rejoins) removeRecord(this.#join.home, 'nodes', nodeId)
  }
}

/** Listens for the other nodes; nothing else happens yet. */
export async function entryTo(join: JoinSettings, daemonId: WorkerId, onWaiting: (text: string) => void): Promise<ClusterEntry> {
  return new ClusterEntry(join, await openLinks(daemonId, join), onWaiting)
}
